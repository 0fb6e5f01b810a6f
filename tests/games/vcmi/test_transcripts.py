"""
Real launchers and game connections of VCMI, replayed against the running service.
"""

from __future__ import annotations

import re
from typing import Any

from tests.games.vcmi.clients import Client, House, VcmiTestCase
from tests.transcripts import replay

WIRE = "vcmi"
UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
GIVEN = re.compile(rb":>>(?:HOST|START):(%s)" % UUID.pattern)

#: Scenarios in which the recorded server was a script that tries out what clients accept: they
#: show nothing a server does.
SCRIPTED = ("client-parser-probe-v3", "client-parser-probe-v4", "client-parser-probe-v5")

#: Settings of the recorded server that were not its defaults, scenario by scenario.
SETTINGS: dict[str, dict[str, Any]] = {
    "health-old-server": {"ping_interval": 10},
    "pipe-session-expiry": {"pipe_lifetime": 30},  # 3, as the waiting below ten times as long
}

#: Seconds that pass before a connection is made: scenario and connection.  (The recorded server
#: kept a game for ever that nobody ever came to; here it is given the same time as any other, so
#: its connection comes before that time is over.)
WAITED = {
    ("pipe-session-expiry", "after4s-never-used"): 15.0,
    ("pipe-session-expiry", "after1.5s"): 15.0,
    ("pipe-session-expiry", "after4s"): 40.0,
}


class TranscriptTests(VcmiTestCase):
    """Every scenario: what each client receives is what was recorded, or differs as declared."""

    def replay(self, scenario: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Return what every connection received, then and now, as lists of messages."""
        house = House(**{"ping_interval": 0, **SETTINGS.get(scenario, {})})
        house.service.startService()
        clients: dict[str, Client] = {}
        recorded: dict[str, bytes] = {}
        asked = False

        def ours(data: bytes) -> bytes:
            """The client's bytes with the uuids of this run in place of the recorded ones."""
            known = {}
            for name, then in recorded.items():
                now = clients[name].heard
                known.update(zip(GIVEN.findall(then), GIVEN.findall(now), strict=False))
            return UUID.sub(lambda found: known.get(found[0], found[0]), data)

        for row in replay.without_teardown(replay.rows(WIRE, scenario)):
            if row.dir == "s2c":
                if b":>>HEALTH:" in row.data and not asked:
                    _to_the_next_check(house)
                asked = b":>>HEALTH:" in row.data
                recorded[row.conn] += row.data
                continue
            asked = False
            if row.event == "connect":
                house.turn(WAITED.get((scenario, row.conn), 0))
                clients[row.conn] = house.connect()
                recorded[row.conn] = b""
            elif row.event != "incomplete frame":
                if row.event:
                    clients[row.conn].lose()
                else:
                    clients[row.conn].send_bytes(ours(row.data))
            house.settle()
        return _by_message(recorded), _by_message(
            {name: client.heard for name, client in clients.items()}
        )

    def check(self, scenario: str) -> None:
        recorded, received = self.replay(scenario)
        found = replay.differences(recorded, received)
        known = replay.known_differences(WIRE, scenario)
        self.assertEqual(
            [(each.conn, each.recorded, each.instead) for each in found],
            [(each.conn, each.recorded, each.instead) for each in known],
        )
        self.assertTrue(all(each.because for each in known), "a difference without a reason")

    def test_none_left_out(self) -> None:
        """Every scenario is replayed, exactly or with reasons; this prints which is which."""
        table = []
        for scenario in replay.scenarios(WIRE):
            known = replay.known_differences(WIRE, scenario)
            if scenario in SCRIPTED:
                how = "not a server: recorded against a script that tries what clients accept"
            elif known:
                how = "differs: " + "; ".join(dict.fromkeys(each.because for each in known))
            else:
                how = "exact"
            table.append(f"  {scenario:24} {how}")
            self.assertTrue(scenario in SCRIPTED or hasattr(self, _test_name(scenario)))
        print("\nVCMI transcripts:\n" + "\n".join(table))


def _test_name(scenario: str) -> str:
    return "test_" + re.sub(r"\W", "_", scenario)


def _add_tests() -> None:
    for scenario in replay.scenarios(WIRE):
        if scenario not in SCRIPTED:

            def test(self: TranscriptTests, scenario: str = scenario) -> None:
                self.check(scenario)

            test.__doc__ = str(replay.header(WIRE, scenario)["notes"])
            setattr(TranscriptTests, _test_name(scenario), test)


def _to_the_next_check(house: House) -> None:
    every = house.settings.ping_interval
    house.turn(every - house.clock.seconds() % every)
    house.settle()


def _by_message(streams: dict[str, bytes]) -> dict[str, list[str]]:
    """
    The messages of each connection's stream, with numbered names for uuids.

    A USERS or SESSIONS list that says what the last one said is left out: the recorded server
    repeats them whenever any connection ends.
    """
    names: dict[bytes, str] = {}
    result = {}
    for conn, stream in streams.items():
        shown = UUID.sub(
            lambda found: names.setdefault(found[0], f"<uuid {len(names)}>").encode(), stream
        )
        text = shown.decode("utf-8", "backslashreplace")
        last: dict[str, str] = {}
        messages = []
        for message in re.split("(?=:>>)", text):
            kind = message.partition(":>>")[2].partition(":")[0]
            if kind in ("USERS", "SESSIONS"):
                if last.get(kind) == message:
                    continue
                last[kind] = message
            if message:
                messages.append(message)
        result[conn] = messages
    return result


_add_tests()
