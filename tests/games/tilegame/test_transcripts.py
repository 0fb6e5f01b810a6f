"""
Recorded conversations of the game with its own server, had again with ours.

What a client said is said again when the original dealt with it, and what it is told must be
what the original told it, message by message: each map and each state is unpacked first, and a
state that does not repeat what is broken counts as one that does.  Where this server differs on
purpose, the expectation and its reason stand here next to the scenario.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tilegame.protocol import FAREWELL
from tests.games.tilegame.reading import Map, State, Unreadable, messages
from tests.games.tilegame.support import Client, Game, Made

RECORDED = Path(__file__).parents[2] / "transcripts" / "tilegame"
SCENARIOS = {path.stem: path for path in sorted(RECORDED.glob("*.jsonl"))}

#: The worlds other than the usual one.
WORLDS = {
    "world_large": ("abc", "default", 192),
    "world_medium_hell_islands": ("Zz9", "hell_islands", 128),
}

#: Players whose connections are not in the recording.
ALREADY_THERE = {
    "full_server": [f"p{number}" for number in range(9)],
    "poison_long_names": [f"{number}234567890123456" for number in range(8)],
}

Said = list[Any]  # names of tokens, maps and states, in order


@dataclass
class Difference:
    """Why a scenario does not go as recorded, and what each connection is told instead."""

    reason: str
    instead: dict[str, Callable[[Said], Said]]


def only(count: int, *then: Any) -> Callable[[Said], Said]:
    """As many messages as recorded, then something else."""
    return lambda said: [*said[:count], *then]


def goes_on(*players: str) -> Callable[[Said], Said]:
    """The recording breaks off with GLGAME_RES; here the state of these players follows."""

    def change(said: Said) -> Said:
        assert said[-1] == "GLGAME_RES"
        bits = known(said)[1]
        here = tuple((name, 0, 0, 0, 0) for name in players)
        return [*said, State(here, bits), "LCGAME_REQ"]

    return change


def with_state(at: int, change: Callable[[State], State]) -> Callable[[Said], Said]:
    """One state is another."""
    return lambda said: [*said[:at], change(said[at]), *said[at + 1 :]]


def whole(column: int, row: int) -> Callable[[State], State]:
    """A tile of a map of 64 tiles square is not broken."""

    def change(state: State) -> State:
        at = row * 64 + column
        bits = bytearray(state.bits)
        assert bits[at >> 3] & 0x80 >> (at & 7)
        bits[at >> 3] ^= 0x80 >> (at & 7)
        return replace(state, bits=bytes(bits))

    return change


def players(*here: tuple[str, int, int, int, int]) -> Callable[[State], State]:
    """Other players are seen, or elsewhere."""
    return lambda state: replace(state, players=here)


def alone(said: Said) -> Said:
    """Bob of C{vanish}, from the moment when alice is lost."""
    again = ["GLGAME_RES", State((("bob_v", 0, 0, 0, 0),), known(said)[1]), "LCGAME_REQ"]
    return [*said[:23], "PACKETRECV_RES", "PACKETRECV_RES", *again, "PACKETRECV_RES", *again]


DIFFERENCES = {
    "bad_recognition": Difference(
        "a client that does not say what it is is cut off at once, not served",
        {"mallory": only(0), "noise": only(0)},
    ),
    "bad_tokens": Difference(
        "the handshake has one order; a step left out is the end", {"alice": only(1)}
    ),
    "disconnect_mid_handshake": Difference(
        "the lost connection is gone: it is told nothing more, and leaves no ghost",
        {
            "after-recognition": only(1),
            "in-map": only(2),
            "after-name": only(4),
            "bye": only(1),
            "looker": with_state(5, players(("looker", 0, 0, 0, 0))),
        },
    ),
    "full_server": Difference(
        "a refused client is not asked for its position", {"eleventh": only(4)}
    ),
    "name_taken": Difference(
        "a refused client is not asked for its position", {"alice-2": only(4)}
    ),
    "odd_packets": Difference(
        "a packet that means nothing is answered, and harms nobody",
        {
            "alice": lambda said: [*said, "PACKETRECV_RES"],
            "bobby": lambda said: [*said, "PACKETRECV_RES"],
        },
    ),
    "poison_bad_name": Difference(
        "the name is refused, and everybody plays on",
        {
            "mallory": only(3, "NAMEALREXIST_ERR"),
            "bob": goes_on("bob"),
            "carol": goes_on("bob", "carol"),
        },
    ),
    "poison_long_names": Difference(
        "of ten players with long names nine are shown, oneself always among them",
        {"ninth": goes_on(*ALREADY_THERE["poison_long_names"], "9999999999999999")},
    ),
    "poison_unknown_name": Difference(
        "a packet in the name of nobody is answered and changes nothing",
        {"bob": goes_on("bob", "mallory"), "carol": goes_on("bob", "mallory", "carol")},
    ),
    "queued_packets": Difference(
        "column 200 of 64 is not column 8: no tile breaks there",
        {"alice": with_state(32, whole(8, 63))},
    ),
    "spoofed_name": Difference(
        "nobody is moved by another",
        {"bob": with_state(9, players(("alice", 10, 10, 0, 0), ("bob", 20, 20, 0, 0)))},
    ),
    "utf8_and_edge_names": Difference(
        "a name has letters, digits, - and _ only", {"Īé": only(3, "NAMEALREXIST_ERR")}
    ),
    "vanish": Difference(
        "a lost client is gone (and two rows of bob are missing in the recording after that)",
        {"alice_v": lambda said: [*said, "PACKETRECV_RES"], "bob_v": alone},
    ),
}


def known(said: Said) -> tuple[Said, bytes | None]:
    """What was said, with the broken tiles that the client knows in every state; and those."""
    bits = None
    told: Said = []
    for message in said:
        if isinstance(message, Map | State) and message.bits is not None:
            bits = message.bits
        told.append(replace(message, bits=bits) if isinstance(message, State) else message)
    return told, bits


class Replay:
    """
    One scenario.

    A client's words wait until the recording shows that they were dealt with: by an answer, by
    the end of the stream, or because the client itself is gone.
    """

    def __init__(self, scenario: str) -> None:
        self.game = Game(Made(*WORLDS.get(scenario, ())))
        for name in ALREADY_THERE.get(scenario, ()):
            self.game.play(name)
        self.clients: dict[str, Client] = defaultdict(self.game.connect)
        self.recorded: dict[str, bytes] = defaultdict(bytes)
        self._unsaid: dict[str, list[bytes]] = defaultdict(list)
        with SCENARIOS[scenario].open(encoding="utf-8") as lines:
            next(lines)
            for row in map(json.loads, lines):
                self._row(row["conn"], row["dir"], bytes.fromhex(row["hex"]), row["text"])
        for conn in self.clients:
            self._say(conn)

    def told(self, conn: str) -> Said:
        return known(messages(self.clients[conn].heard()))[0]

    def told_by_original(self, conn: str) -> Said:
        return known(messages(self.recorded[conn]))[0]

    def _row(self, conn: str, direction: str, data: bytes, text: str) -> None:
        client = self.clients[conn]
        if data and direction == "c2s":
            self._unsaid[conn].append(data)
        elif data:
            self.recorded[conn] += data
            self._catch_up(conn)
        elif "end of stream" in text or "reset" in text:
            self._say(conn)
            if direction == "c2s":
                client.close()

    def _catch_up(self, conn: str) -> None:
        """Deal with what was not, until as much is answered as in the recording."""
        while self._is_behind(conn):
            self.game.clock.turn(1 / self.game.settings.tps)
            if not (self._is_behind(conn) and self._unsaid[conn]):
                return
            self._say(conn, 1)

    def _is_behind(self, conn: str) -> bool:
        try:
            return len(self.told(conn)) < len(self.told_by_original(conn))
        except Unreadable:  # half a map
            return False

    def _say(self, conn: str, count: int = 1000) -> None:
        saying, self._unsaid[conn] = self._unsaid[conn][:count], self._unsaid[conn][count:]
        for words in saying:
            self.clients[conn].send(words)


class TranscriptTests(SynchronousTestCase):
    """Each scenario, as recorded or as it has to be instead."""

    def check(self, scenario: str) -> None:
        replay = Replay(scenario)
        instead = DIFFERENCES[scenario].instead if scenario in DIFFERENCES else {}
        self.assertLessEqual(set(instead), set(replay.clients))
        for conn, client in replay.clients.items():
            recorded, told = replay.told_by_original(conn), replay.told(conn)
            self.assertEqual(told, instead.get(conn, list)(recorded), conn)
            if conn in instead:
                self.assertNotEqual(told, recorded, f"{conn} does not differ")
            if told[-1:] in ([], ["NAMEALREXIST_ERR"], ["MAXPLAYERS_ERR"]):
                replay.game.clock.turn(FAREWELL)
                self.assertFalse(client.connected, f"{conn} should be cut off")

    def test_none_is_left_out(self) -> None:
        """Every recorded scenario is replayed; the table says how."""
        self.assertEqual(len(SCENARIOS), 17)
        self.assertLessEqual(set(DIFFERENCES), set(SCENARIOS))
        print("\nTile-Game transcripts:")
        for scenario in SCENARIOS:
            how = "as recorded"
            if scenario in DIFFERENCES:
                how = f"differs: {DIFFERENCES[scenario].reason}"
            print(f"  {scenario:26} {how}")


def _test(scenario: str) -> Callable[[TranscriptTests], None]:
    def test(self: TranscriptTests) -> None:
        self.check(scenario)

    return test


for _scenario in SCENARIOS:
    setattr(TranscriptTests, f"test_{_scenario}", _test(_scenario))
