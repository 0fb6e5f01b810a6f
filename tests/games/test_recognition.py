"""
Who recognises whom at the front door: every recorded client, in every split, alone and among all
the others, and with as few bytes as can be.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request, TextMessage
from wsproto.frame_protocol import Opcode

from gameservers.games import Carriage
from gameservers.games.tictactoe import game as tictactoe
from gameservers.games.tilegame import game as tilegame
from gameservers.games.twister import game as twister
from gameservers.games.vcmi import game as vcmi
from gameservers.games.velnet import game as velnet
from gameservers.net.door import HTTP, MAX_FIRST_BYTES, TLS
from gameservers.net.websocket import accepted, first_opcode
from gameservers.wire import Recogniser, Verdict, decide
from tests.transcripts.replay import HERE, scenarios

GAMES = (tictactoe, tilegame, twister, vcmi, velnet)


def recognisers(carriage: Carriage, attribute: str) -> Iterator[tuple[Recogniser, str]]:
    """How each game recognises its own: a game has wires, or this attribute."""
    game: Any
    for game in GAMES:
        if hasattr(game, attribute):
            yield getattr(game, attribute), game.name
        else:
            for wire in game.wires:
                if wire.carriage is carriage:
                    yield wire.recognise, game.name


#: All that is told apart on a stream.
STREAMS: list[tuple[Recogniser, str]] = [
    *recognisers(Carriage.STREAM, "recognises_stream"),
    (HTTP, "http"),
    (TLS, "tls"),
]
DATAGRAMS = list(recognisers(Carriage.DATAGRAM, "recognises_datagram"))

#: Whose clients the transcripts are of.
WIRES = {
    "vcmi": "vcmi",
    "velnet-text": "velnet",
    "velnet-binary": "velnet",
    "tilegame": "tilegame",
    "twister": "twister",
}

#: How recorded streams begin that no client of the game says, and whose they are then: somebody
#: made them up to see what happens.
MADE_UP: dict[bytes, object] = {
    b"0000": Verdict.NO,  # Tile-Game, with a wrong greeting
    b"\0\1\2\3": "velnet",  # Tile-Game, with what is another game's log-in
    b"\1\2\7nologin": Verdict.NO,  # VelNet without a log-in
    # VCMI, where somebody said no more
    b"\5\0": Verdict.MORE,
    b"\6\0\0\0": Verdict.MORE,
    b"\0\0\0\0": Verdict.MORE,
}

#: What a VelNet client of generation 2 says that has not logged in yet.
KEEP_ALIVE = b"\x0a\0\0\0\x09--------"

ENOUGH = 10  # bytes


def client_rows(wire: str, scenario: str) -> Iterator[tuple[str, str, bytes]]:
    """What clients said: connection, tcp or udp, bytes."""
    with (HERE / wire / f"{scenario}.jsonl").open() as lines:
        next(lines)
        for line in lines:
            row = json.loads(line)
            if row.get("dir") == "c2s" and row.get("hex"):
                said = bytes.fromhex(row["hex"].removesuffix("..."))
                yield row["conn"], row.get("proto", "tcp"), said


@cache
def beginnings() -> dict[bytes, str]:
    """How each recorded stream begins, and whose it is."""
    found: dict[bytes, str] = {}
    for wire, game in WIRES.items():
        for scenario in scenarios(wire):
            said: dict[str, bytes] = defaultdict(bytes)
            for conn, transport, data in client_rows(wire, scenario):
                if transport == "tcp":
                    said[conn] += data
            for stream in said.values():
                found[stream[:64]] = "http" if stream.startswith(b"GET ") else game
    return found


@cache
def datagrams() -> dict[bytes, str]:
    return {
        data: game
        for wire, game in WIRES.items()
        for scenario in scenarios(wire)
        for _, transport, data in client_rows(wire, scenario)
        if transport == "udp"
    }


def made_up(stream: bytes, opening: bytes) -> bool:
    """Whether a stream begins so; one that is never decided must end there, too."""
    return stream == opening if MADE_UP[opening] is Verdict.MORE else stream.startswith(opening)


def hello() -> bytes:
    """A ClientHello begins so."""
    return b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


def outcome(first: bytes) -> object:
    """Who has the connection after these bytes; L{Verdict.NO} for nobody, C{MORE} for open."""
    verdict, name = decide(first, STREAMS)
    return name or verdict


def owner(first: bytes) -> object:
    """The same, with each wire format of a game for itself."""
    verdict, recogniser = decide(first, [(each, each) for each, _ in STREAMS])
    return recogniser or verdict


class RecordedTests(SynchronousTestCase):
    def test_there_are_some(self) -> None:
        games = set(beginnings().values())
        self.assertEqual(games, {"vcmi", "velnet", "tilegame", "http"})
        self.assertEqual(set(datagrams().values()), {"velnet", "twister"})
        self.assertGreater(len(beginnings()), 100)

    def test_streams(self) -> None:
        """Each is recognised by its game alone, however it is cut, and for good."""
        for stream, game in {**beginnings(), hello(): "tls", KEEP_ALIVE: "velnet"}.items():
            expected = [MADE_UP[each] for each in MADE_UP if made_up(stream, each)] or [game]
            self.assertEqual([outcome(stream)], expected, stream)
            claims = []
            for recognises, name in STREAMS:
                verdicts = [recognises(stream[:end]) for end in range(len(stream) + 1)]
                undecided = verdicts.count(Verdict.MORE)
                self.assertNotIn(Verdict.MORE, verdicts[undecided:], stream)
                if Verdict.YES in verdicts:
                    self.assertEqual(set(verdicts[undecided:]), {Verdict.YES}, stream)
                    claims.append(name)
                elif expected != [Verdict.MORE]:
                    self.assertEqual(set(verdicts[undecided:]), {Verdict.NO}, stream)
            self.assertEqual(claims, [each for each in expected if isinstance(each, str)], stream)

    def test_datagrams(self) -> None:
        """A datagram is somebody's or nobody's: there is no more to come."""
        for datagram, game in datagrams().items():
            claims = [
                name for recognises, name in DATAGRAMS if recognises(datagram) is Verdict.YES
            ]
            if game == "twister" and not datagram.lstrip().startswith(b"{"):
                self.assertNotIn("twister", claims)  # not even the beginning of a request
            else:
                self.assertEqual(claims, [game], datagram)

    def test_blanks(self) -> None:
        """Two blanks are also types of VelNet's datagrams; the JSON behind them tells."""
        for blanks in (b"\n", b"\t", b"\n\t\r\n ", b"\n" * 8):
            datagram = blanks + b'{"request": "connect"}'
            claims = [
                name for recognises, name in DATAGRAMS if recognises(datagram) is Verdict.YES
            ]
            self.assertEqual(claims, ["twister"], datagram)

    def test_web_sockets(self) -> None:
        """Tic-tac-toe's first message is a text."""
        for scenario in scenarios("tictactoe"):
            with (HERE / "tictactoe" / f"{scenario}.jsonl").open() as lines:
                rows = [json.loads(line) for line in lines]
            said = next((row["text"] for row in rows if row.get("dir") == "c2s"), "{}")
            client = WSConnection(ConnectionType.CLIENT)
            found = accepted(client.send(Request(host="here", target="/")))
            assert found is not None
            client.receive_data(found[1])
            list(client.events())
            self.assertEqual(first_opcode(client.send(TextMessage(said))), (Opcode.TEXT, 0))


class AnyBytesTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(st.binary(max_size=24))
    @example(b"\x16\x03\x00\x00\x04")
    @example(b"\x00\x20\x00\x00\x04")
    @example(b"\x0a\x00\x00\x00\x09")
    @example(b"\x0a\x00\x00\x00\x04")
    def test_streams(self, data: bytes) -> None:
        """Nothing is two games', and what is decided stays so."""
        before: object = Verdict.MORE
        for end in range(len(data) + 1):
            claims = [
                name for recognises, name in STREAMS if recognises(data[:end]) is Verdict.YES
            ]
            self.assertLessEqual(len(claims), 1, data)
            now = outcome(data[:end])
            if before is not Verdict.MORE:
                self.assertEqual(now, before, data)
            before = now
        if len(data) >= ENOUGH:
            self.assertIsNot(before, Verdict.MORE)

    @settings(deadline=None)
    @given(st.binary(max_size=24))
    def test_datagrams(self, data: bytes) -> None:
        verdicts = [recognises(data) for recognises, _ in DATAGRAMS]
        self.assertNotIn(Verdict.MORE, verdicts)
        self.assertLessEqual(verdicts.count(Verdict.YES), 1)

    def test_no_byte_too_many(self) -> None:
        """As long as the door waits, more than one end is possible."""
        seen = {stream[:end] for stream in beginnings() for end in range(ENOUGH)}
        seen |= {bytes([first]) for first in range(256)} | {hello()[:2], b"HEAD", b"OPTION"}
        for first in seen:
            if owner(first) is Verdict.MORE:
                self.assertGreater(len(set(ends(first, owner))), 1, first)
            for recognises, name in STREAMS:
                if recognises(first) is Verdict.MORE:
                    self.assertGreater(len(set(ends(first, recognises))), 1, (name, first))

    def test_bytes_that_are_enough(self) -> None:
        """The limit at the door is never in a game's way."""
        self.assertLess(ENOUGH, MAX_FIRST_BYTES)


#: What may follow, to the one's liking or to the other's.
TAILS = (b"", b"\0\0\0\4\4", b"aaaaa")


def ends(first: bytes, judge: Callable[[bytes], object]) -> Iterator[object]:
    """What can become of a stream that begins so."""
    openings = (*beginnings(), hello(), b"HEAD /", b"OPTIONS *", b"POST /", KEEP_ALIVE)
    known = [stream for stream in openings if stream.startswith(first)]
    made = [first + bytes([byte]) + rest for byte in range(256) for rest in TAILS]
    for stream in (*known, *made):
        verdict = judge(stream)
        if verdict is not Verdict.MORE:
            yield verdict
