"""
The recorded conversations of the real clients, replayed in memory.

What this server answers must be what was recorded, message by message, but for the differences
that are written down beside each transcript, each with its reason.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.games.velnet.clients import BinaryClient, TextClient, Wedged
from tests.games.velnet.world import HERE, Peer, WebSocketPeer, World
from tests.transcripts import replay

TEXT, BINARY = "velnet-text", "velnet-binary"
HOSTS = {"other-ip": "192.0.2.2"}

#: How the server is set up, where the recorded one was something else than generation 2.
SETTINGS: dict[str, dict[str, Any]] = {
    "auto_generation": {"generation": "auto"},
    "v1_server_old_client": {"generation": "1"},
    "v1_server_new_client": {"generation": "1"},
    "raw_details": {"generation": "1"},
    "old_client_idle": {"generation": "1", "quiet_timeout": 3.0},
    "idle_timeout": {"generation": "1", "quiet_timeout": 2.0},
    "groups": {"wide_groups": True},
}

#: What the recorded clients came to in conversations with a scripted server.
WEDGED = {
    TEXT: {
        "duplicate_join",
        "empty_line",
        "left_while_not_in_room",
        "master_before_self",
        "others_before_self",
        "text_type",
        "unknown_master",
    },
    BINARY: {
        "duplicate_join",
        "empty_payload",
        "five_byte_login",
        "left_while_not_in_room",
        "login_version_1",
        "master_before_joined",
        "unknown_leaver",
        "unknown_master_later",
        "unknown_type",
    },
}

#: Where a model is stricter than its client: nothing of this is ever to be sent.
STRICT = {
    TEXT: {"unknown_leaver", "unknown_type"},
    BINARY: {"join_while_not_in_room", "unknown_master_first"},
}

#: What no model judges: the meaning of payloads.
PAYLOADS = {TEXT: set[str](), BINARY: {"bad_payload_type"}}


def rows(wire: str, scenario: str) -> Iterator[dict[str, Any]]:
    with (replay.HERE / wire / f"{scenario}.jsonl").open() as lines:
        next(lines)
        yield from map(json.loads, lines)


def text_messages(stream: bytes) -> list[str]:
    lines = stream.decode("latin-1").split("\n")
    return lines if lines[-1] else lines[:-1]


def binary_messages(stream: bytes, version: bool) -> list[str]:
    """Cut a server's stream into messages, as hexadecimal text."""
    found, at = [], 0
    while at < len(stream):
        kind = stream[at]
        end = at + {0: 9 if version else 5, 4: 5}.get(kind, 1)
        if kind == 1:
            end += 4 + int.from_bytes(stream[at + 1 : at + 5])
        elif kind in (2, 6):
            end += 5 + stream[at + 5]
        elif kind == 3:
            end += 8 + int.from_bytes(stream[at + 5 : at + 9])
        elif kind == 5:
            end += 4 + 4 * int.from_bytes(stream[at + 1 : at + 5])
            end += 1 + stream[end]
        elif kind == 7:
            end += 1 + stream[at + 1]
        elif kind == 8:
            end += 1 + stream[at + 1]
            count, end = int.from_bytes(stream[end : end + 4]), end + 4
            for _ in range(count):
                end += 5 + stream[end + 4]
        found.append(stream[at:end].hex())
        at = end
    return found


def later(message: bytes) -> bytes:
    """A message of the text form with all ids one higher: they were counted from 0."""
    kind, *fields = message.split(b":")
    if kind in (b"0", b"2", b"3", b"4") and fields and fields[0].isdigit():
        fields[0] = b"%d" % (int(fields[0]) + 1)
    return b":".join([kind, *fields])


def later_wish(row: dict[str, Any], data: bytes) -> bytes:
    """The same for what a client says."""
    if row["proto"] == "udp":
        first, *fields = data.split(b":")
        if len(fields) == 1:
            fields[0] = b"%d" % (int(fields[0]) + 1)
        elif not (row["conn"] == "raw" and first == b"3"):  # which is in the seed form
            first = b"%d" % (int(first) + 1)
        return b":".join([first, *fields])
    if data.startswith(b"5:"):
        fields = data.rstrip(b"\n").split(b":")
        ids = [b"%d" % (int(each) + 1) if each.isdigit() else each for each in fields[2:]]
        return b":".join([*fields[:2], *ids]) + b"\n"
    return data


class Recorder:
    """Says again what the clients said, and keeps what they hear now."""

    def __init__(self, wire: str, scenario: str) -> None:
        self.wire = wire
        self.scenario = scenario
        self.scripted = scenario.startswith("client_quirk_")
        fixed = {"generation": "2", "login_timeout": 60.0}
        self.world = World(**{**fixed, **SETTINGS.get(scenario, {})})
        self.peers: dict[str, Peer] = {}
        self.recorded: dict[str, list[Any]] = defaultdict(list)
        self.received: dict[str, bytes] = defaultdict(bytes)
        self.caught: dict[str, list[str]] = defaultdict(list)
        self.closed_by_us: list[str] = []
        self._now = 0

    def run(self) -> None:
        for row in rows(self.wire, self.scenario):
            self._wait(row["ms"] - self._now)
            self._now = row["ms"]
            if "event" in row:
                self._event(row["conn"], row["event"])
            elif row["dir"] == "s2c":
                self.recorded[f"{row['conn']}/{row['proto']}"].append(bytes.fromhex(row["hex"]))
            else:
                self._say(row, bytes.fromhex(row["hex"]))
            self._listen()

    def _wait(self, ms: int) -> None:
        self.world.turn(max(0, ms) / 1000)
        self._listen()

    def _peer(self, conn: str) -> Peer:
        peer = self.peers.get(conn)
        if peer is None:
            port = 50_000 + len(self.peers)
            host = HOSTS.get(conn, HERE)
            before = self.peers.get(conn.partition("#")[0])
            kind = WebSocketPeer if (conn, self.scenario) == ("alice", "websocket") else Peer
            peer = self.peers[conn] = kind(self.world, host, port)
            if before is not None:  # the same program, with the same UDP socket
                peer.udp = before.udp
        return peer

    def _event(self, conn: str, event: str) -> None:
        if event == "tcp connected":
            self._peer(conn)
        elif "client closed" in event:
            self._peer(conn).drop()
        elif "server closed" in event and self._peer(conn).connected:
            self.closed_by_us.append(conn)

    def _say(self, row: dict[str, Any], data: bytes) -> None:
        if self.wire == TEXT and not self.scripted:
            data = later_wish(row, data)
        peer = self._peer(row["conn"])
        if row["proto"] == "udp":
            peer.fly(data)
        elif not data.startswith(b"GET "):  # a WebSocket's handshake is its own
            peer.say(data)

    def _listen(self) -> None:
        for conn, peer in self.peers.items():
            self.received[f"{conn}/tcp"] += peer.hear()
            self.caught[f"{conn}/udp"] += [each.hex() for each in peer.caught()]

    def compared(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """What each connection was told then, and is told now."""
        then: dict[str, list[str]] = {}
        now: dict[str, list[str]] = {}
        names = {f"{conn}/{proto}" for conn in self.peers for proto in ("tcp", "udp")}
        for name in sorted(names):
            conn, _, proto = name.partition("/")
            pieces = self.recorded[name]
            if proto == "udp":
                if self.wire == TEXT and not self.scripted:
                    pieces = [later(each) for each in pieces]
                then[name], now[name] = [each.hex() for each in pieces], self.caught[name]
                continue
            stream = b"".join([*pieces, *self.recorded[f"{conn}/ws"]])
            if stream.startswith(b"HTTP/"):
                stream = b"".join(self.recorded[f"{conn}/ws"])
            if self.wire == TEXT:
                if not self.scripted:
                    stream = b"\n".join(map(later, stream.split(b"\n")))
                then[name] = text_messages(stream)
                now[name] = text_messages(self.received[name])
            else:
                two = self.world.settings.generation == "2"
                then[name] = binary_messages(stream, two and len(stream) != 5)
                now[name] = binary_messages(self.received[name], two)
        return then, now


class TranscriptTests(SynchronousTestCase):
    def test_every_conversation(self) -> None:
        count = 0
        for wire in (TEXT, BINARY):
            for scenario in replay.scenarios(wire):
                count += 1
                recorder = Recorder(wire, scenario)
                recorder.run()
                found = replay.differences(*recorder.compared())
                known = replay.known_differences(wire, scenario)
                plain = [replace(each, because="") for each in known]
                self.assertEqual(found, plain, f"{wire}/{scenario}")
                self.assertTrue(all(each.because for each in known), f"{wire}/{scenario}")
        self.assertEqual(count, 65)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_closed_as_recorded(self) -> None:
        """Silent clients are closed, the others are not."""
        for scenario in ("idle_timeout", "old_client_idle"):
            recorder = Recorder(BINARY, scenario)
            recorder.run()
            self.assertEqual(recorder.closed_by_us, [], scenario)
            self.assertEqual(recorder.world.cuts("silent"), 2, scenario)

    def test_models_end_as_the_clients_did(self) -> None:
        """What the scripted servers sent wedges the models where it wedged the clients."""
        for wire in (TEXT, BINARY):
            for scenario in replay.scenarios(wire):
                name = scenario.removeprefix("client_quirk_")
                if name == scenario or name in PAYLOADS[wire]:
                    continue
                for conn in {row["conn"] for row in rows(wire, scenario)}:
                    client = TextClient() if wire == TEXT else BinaryClient(2)
                    wedged = False
                    try:
                        for row in rows(wire, scenario):
                            if row.get("dir") == "s2c" and (row["conn"], row["proto"]) == (
                                conn,
                                "tcp",
                            ):
                                client.receive(bytes.fromhex(row["hex"]))
                    except Wedged:
                        wedged = True
                    expected = name in WEDGED[wire] | STRICT[wire]
                    if conn == "alice":
                        self.assertEqual(wedged, expected, scenario)
