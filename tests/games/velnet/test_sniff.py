"""Tests for L{gameservers.games.velnet.sniff}."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games import Verdict
from gameservers.games.velnet.sniff import (
    Form,
    form_of_datagram,
    form_of_stream,
    recognises_datagram,
    recognises_stream,
)
from tests.games.velnet.test_transcripts import BINARY, TEXT, rows
from tests.games.velnet.world import KEEP_ALIVE, World, log_in
from tests.transcripts import replay

#: Streams, and what they are.
STREAMS = {
    b"0:name:pw\n": Form.TEXT,
    b"1:\n": Form.TEXT,
    log_in(): Form.BINARY,
    KEEP_ALIVE: Form.BINARY,
    b"\x01": Form.BINARY,
    b"GET / HTTP/1.1\r\n": Form.WEBSOCKET,
    b"\x16\x03\x01\x02": Form.UNKNOWN,
    b"POST /": Form.UNKNOWN,
    b"GE\x00": Form.UNKNOWN,
    b"\n0:name:pw\n": Form.BINARY,
    b"hello": Form.UNKNOWN,
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


def byte_by_byte(stream: bytes) -> list[Form]:
    """What is decided when a stream comes one byte at a time; once decided it stays so."""
    verdicts = [form_of_stream(stream[:size]) for size in range(len(stream) + 1)]
    return [each for each in verdicts if each is not None]


class SniffTests(SynchronousTestCase):
    def test_one_byte_at_a_time(self) -> None:
        """However slowly a stream comes, it is taken for what it is, and for nothing else."""
        for stream, form in STREAMS.items():
            self.assertIsNone(form_of_stream(b""))
            self.assertEqual(set(byte_by_byte(stream)), {form}, stream)

    @given(st.binary(min_size=1, max_size=8))
    def test_never_changes_its_mind(self, stream: bytes) -> None:
        self.assertLessEqual(len(set(byte_by_byte(stream))), 1)
        shared = [recognises_stream(stream[:size]) for size in range(len(stream) + 1)]
        decided = [each for each in shared if each is not Verdict.MORE]
        self.assertLessEqual(len(set(decided)), 1)

    def test_on_the_wire(self) -> None:
        """The door hands over every byte, however they came."""
        for stream, form in ((b"0:a:\n", Form.TEXT), (log_in() + KEEP_ALIVE, Form.BINARY)):
            for cut in range(len(stream) + 1):
                peer = World().connect()
                peer.say(stream[:cut])
                answer = peer.ask(stream[cut:])
                self.assertTrue(answer.startswith(b"0:1:" if form is Form.TEXT else b"\0\0\0\0\1"))

    def test_unknown_is_closed(self) -> None:
        world = World()
        peer = world.connect()
        peer.ask(b"hello")
        self.assertFalse(peer.connected)
        self.assertEqual(world.cuts("unknown"), 1)

    def test_shared_port(self) -> None:
        """Every recorded client is recognised, and no client of another game is."""
        for wire in (TEXT, BINARY):
            for scenario in replay.scenarios(wire):
                seen = set()
                for row in rows(wire, scenario):
                    key = (row["conn"], row.get("proto"))
                    if row.get("dir") == "c2s" and key not in seen:
                        seen.add(key)
                        first = bytes.fromhex(row["hex"])
                        if row["proto"] == "udp":
                            self.assertEqual(recognises_datagram(first), Verdict.YES, scenario)
                        elif row["proto"] == "tcp" and first[:1] not in b"G\x01\x02":
                            self.assertEqual(recognises_stream(first), Verdict.YES, scenario)
        for stream in OTHERS:
            self.assertEqual(recognises_stream(stream), Verdict.NO, stream)

    def test_datagrams(self) -> None:
        for datagram, form in {
            b"0:1": Form.TEXT,
            b"\x00\x00\x00\x00\x01": Form.BINARY,
            b"\x0a": Form.BINARY,
            b"\x0b": Form.UNKNOWN,
            b"{}": Form.UNKNOWN,
            b"": Form.UNKNOWN,
        }.items():
            self.assertIs(form_of_datagram(datagram), form, datagram)
