"""Which of VelNet's wire formats is spoken, and whether it is VelNet at all."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games import Carriage
from gameservers.games.velnet import game
from gameservers.games.velnet.wires import binary, text
from gameservers.net.door import HTTP
from gameservers.wire import Recogniser, Verdict, decide
from tests.games.velnet.test_transcripts import BINARY, TEXT, rows
from tests.games.velnet.world import KEEP_ALIVE, World, log_in
from tests.transcripts import replay

#: What is told apart on a port of VelNet's own, and on one that it shares.
OWN = [(text.recognises_own, "text"), (binary.recognises_own, "binary"), (HTTP, "http")]
SHARED = [(text.recognises_stream, "text"), (binary.recognises_stream, "binary")]
DATAGRAMS = [(text.recognises_datagram, "text"), (binary.recognises_datagram, "binary")]

#: Streams, and what they are on a port of VelNet's own.
STREAMS = {
    b"0:name:pw\n": "text",
    b"1:\n": "text",
    log_in(): "binary",
    KEEP_ALIVE: "binary",
    b"\x01": "binary",
    b"GET / HTTP/1.1\r\n": "http",
    b"\x16\x03\x01\x02": None,
    b"GE\x00": None,
    b"\n0:name:pw\n": "binary",
    b"hello": None,
}

#: First bytes of the wires that share the house's port.
OTHERS = [
    b"\x1c\x00\x00\x00\x03",  # VCMI's lobby
    b"\x0a\x00\x00\x00\x04",  # a frame of ten bytes
    b"\x00\x01\x00\x00\x04",  # a frame of 256 bytes
    b"\x06\x00\x00\x00Aiya!\n",  # VCMI's pipe
    b"f377cd7d535000b11b0c25f802896e8d",
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"12:x",
]


def byte_by_byte(stream: bytes, claims: Sequence[tuple[Recogniser, str]]) -> list[str | None]:
    """What is decided when a stream comes one byte at a time; once decided it stays so."""
    outcomes = [decide(stream[:size], claims) for size in range(len(stream) + 1)]
    return [name for verdict, name in outcomes if verdict is not Verdict.MORE]


class RecognitionTests(SynchronousTestCase):
    def test_wires(self) -> None:
        """The game's description names the recognisers that are tested here."""
        self.assertEqual(
            [wire.recognise for wire in game.wires if wire.carriage is Carriage.STREAM],
            [recognises for recognises, _ in SHARED],
        )
        self.assertEqual(
            [wire.alone for wire in game.wires if wire.carriage is Carriage.STREAM],
            [recognises for recognises, _ in OWN[:2]],
        )
        for wire in game.wires:
            if wire.carriage is Carriage.DATAGRAM:
                self.assertIs(wire.recognise, wire.alone)

    def test_one_byte_at_a_time(self) -> None:
        """However slowly a stream comes, it is taken for what it is, and for nothing else."""
        for stream, form in STREAMS.items():
            self.assertEqual(decide(b"", OWN), (Verdict.MORE, None))
            self.assertEqual(set(byte_by_byte(stream, OWN)), {form}, stream)

    @given(st.binary(min_size=1, max_size=8))
    def test_never_changes_its_mind(self, stream: bytes) -> None:
        self.assertLessEqual(len(set(byte_by_byte(stream, OWN))), 1)
        self.assertLessEqual(len(set(byte_by_byte(stream, SHARED))), 1)

    def test_on_the_wire(self) -> None:
        """The door hands over every byte, however they came."""
        for stream, greeting in ((b"0:a:\n", b"0:1:"), (log_in() + KEEP_ALIVE, b"\0\0\0\0\1")):
            for cut in range(len(stream) + 1):
                peer = World().connect()
                peer.say(stream[:cut])
                self.assertTrue(peer.ask(stream[cut:]).startswith(greeting))

    def test_unknown_is_closed(self) -> None:
        world = World()
        peer = world.connect()
        peer.ask(b"hello")
        self.assertFalse(peer.connected)
        self.assertEqual(world.cuts("malformed", by="door"), 1)

    def test_shared_port(self) -> None:
        """Every recorded client is recognised, and no client of another game is."""
        for wire, form in ((TEXT, "text"), (BINARY, "binary")):
            for scenario in replay.scenarios(wire):
                seen = set()
                for row in rows(wire, scenario):
                    key = (row["conn"], row.get("proto"))
                    if row.get("dir") == "c2s" and key not in seen:
                        seen.add(key)
                        first = bytes.fromhex(row["hex"])
                        recognised = (Verdict.YES, form)
                        if row["proto"] == "udp":
                            self.assertEqual(decide(first, DATAGRAMS), recognised, scenario)
                        elif row["proto"] == "tcp" and first[:1] not in b"G\x01\x02":
                            self.assertEqual(decide(first, SHARED), recognised, scenario)
        for stream in OTHERS:
            self.assertEqual(decide(stream, SHARED), (Verdict.NO, None), stream)

    def test_datagrams(self) -> None:
        for datagram, form in {
            b"0:1": "text",
            b"\x00\x00\x00\x00\x01": "binary",
            b"\x0a": "binary",
            b"\x0b": None,
            b"{}": None,
            b"": None,
        }.items():
            verdict = Verdict.YES if form else Verdict.NO
            self.assertEqual(decide(datagram, DATAGRAMS), (verdict, form), datagram)
