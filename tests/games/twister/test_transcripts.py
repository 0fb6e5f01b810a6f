"""
Conversations of the real API client with the original server, replayed.

Where this server answers otherwise, C{<scenario>.differs.json} beside the transcript says so:
for each such row its number, what comes instead, and why.  Lists are compared as JSON, since
this server writes them without blanks, and without the clients' port numbers; all other replies
byte for byte.

C{python -m tests.games.twister.test_transcripts} prints the table of all scenarios.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.twister import wire
from tests.games.twister.house import LOOPBACK, House

TRANSCRIPTS = Path(__file__).parents[2] / "transcripts" / "twister"

SCENARIOS = (
    "api_chat_ring",
    "api_get_data_over_1024",
    "api_get_map",
    "api_tour",
    "foreign_disconnect",
    "full_server",
    "get_logs",
    "id_shift",
    "raw_errors",
    "raw_invalid",
    "raw_minimal",
    "raw_odd_types",
    "repeat_connect",
    "reply_too_long",
    "wrong_key_or_id",
)

#: Settings of the recorded server that were not its defaults.
SETTINGS: dict[str, dict[str, Any]] = {
    "api_chat_ring": {"chat_size": 3},
    "full_server": {"max_players": 2},
}

#: Its admin key, where a recorded client knew it.
ADMIN_KEYS = {"api_chat_ring": "6654b6510479472ba0a7dbde35bbcb55"}

NO_REPLY = "no reply"


@dataclass(frozen=True)
class Reply:
    """A recorded reply and what comes now, as JSON; L{NO_REPLY} where there was or is none."""

    seq: int
    recorded: str
    now: str


def normalised(reply: bytes | None) -> str:
    if not reply:
        return NO_REPLY
    decoded = json.loads(reply)
    if not isinstance(decoded, dict) or not isinstance(decoded["response"], list | dict):
        return reply.decode()
    for each in decoded["response"]:
        if isinstance(each, dict):
            each["addres"][1] = "port"
    return json.dumps(decoded)


def crowd(house: House) -> None:
    """What was not kept of reply_too_long: eighty clients with as much data as is allowed."""
    for number in range(80):
        address = (LOOPBACK, 30_000 + number)
        who = {"id": number, "key": "k"}
        house.ask(address, request="connect", client_data=who)
        house.ask(address, request="push_data", client_data=who, player_data={"pad": "x" * 310})


def replay(scenario: str) -> list[Reply]:
    house = House(
        admin_key=ADMIN_KEYS.get(scenario, "unknown to all"), **SETTINGS.get(scenario, {})
    )
    rows = [json.loads(row) for row in (TRANSCRIPTS / f"{scenario}.jsonl").open()][1:]
    if scenario == "reply_too_long":
        crowd(house)
    if scenario == "api_get_map":  # the original had made its map at random
        recorded = json.loads(bytes.fromhex(rows[-1]["hex"]))
        house.arena.map_reply = wire.map_reply(bytes(recorded["response"]["map"]))
    ports: dict[str, int] = {}
    answers: dict[str, bytes | None] = {}
    replies = []
    for row in rows:
        conn, recorded = row["conn"], bytes.fromhex(row["hex"])
        if row["dir"] == "c2s" and not row["text"].startswith("[the real client raised"):
            port = ports.setdefault(conn, 40_000 + len(ports))
            answers[conn] = house.exchange(recorded, (LOOPBACK, port))
        elif row["dir"] == "s2c" and conn in answers:
            now = normalised(answers.pop(conn))
            replies.append(Reply(row["seq"], normalised(recorded), now))
    return replies


def declared(scenario: str) -> list[dict[str, Any]]:
    path = TRANSCRIPTS / f"{scenario}.differs.json"
    if not path.exists():
        return []
    known: list[dict[str, Any]] = json.loads(path.read_text())
    return known


class TranscriptTests(SynchronousTestCase):
    """Every recorded scenario: what comes is what was recorded, or differs as declared."""

    def check(self, scenario: str) -> None:
        replies = replay(scenario)
        self.assertTrue(replies)
        known = declared(scenario)
        self.assertEqual(
            [(each.seq, each.now) for each in replies if each.recorded != each.now],
            [(each["seq"], each["instead"]) for each in known],
        )
        for each in known:
            self.assertTrue(each["because"], each["seq"])

    def test_none_left_out(self) -> None:
        """Every transcript is replayed and every declared difference is looked at."""
        found = {path.stem for path in TRANSCRIPTS.glob("*.jsonl")}
        self.assertEqual(found, set(SCENARIOS))
        differing = {path.name.split(".")[0] for path in TRANSCRIPTS.glob("*.differs.json")}
        self.assertEqual(differing - found, set())


def _test_of(scenario: str) -> Any:
    def test(self: TranscriptTests) -> None:
        self.check(scenario)

    return test


for _scenario in SCENARIOS:
    setattr(TranscriptTests, f"test_{_scenario}", _test_of(_scenario))


def print_table() -> None:
    print(f"{'scenario':<24} replies  equal  differing, as declared")
    for scenario in SCENARIOS:
        replies, known = replay(scenario), declared(scenario)
        differing = [each for each in replies if each.recorded != each.now]
        rows = ", ".join(str(each["seq"]) for each in known)
        equal = len(replies) - len(differing)
        print(f"{scenario:<24} {len(replies):>7} {equal:>6}  {len(differing)}: {rows or '-'}")


if __name__ == "__main__":
    print_table()
