"""
Ultimate tic-tac-toe: log-ins with a password, and moves, which are answered after the commit.

The database is SQLite in a file unless C{--database} is given; for a URL that ends with a slash,
such as C{postgresql://user@host/}, a new database on that server.  The time of a database server
is not included.  A peer's accounts must be new.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from itertools import count
from pathlib import Path

from benchmarks.common import CHECKOUT, Benchmark, Figures, Server, arguments, gameserver, per
from gameservers.games.tictactoe import rules

#: A recorded game.
GAME = CHECKOUT / "tests" / "transcripts" / "tictactoe" / "full_game_win.jsonl"


#: Time limit for the log-ins of a round, in seconds.
LONGEST = 120.0

_rounds = count()


@contextmanager
def start(tree: Path, parsed: argparse.Namespace) -> Iterator[Server]:
    with (
        database(parsed.database) as url,
        gameserver(
            tree,
            f"--database={url}",
            "--tictactoe-capacity=10000",
            "--tictactoe-connections=10000",
            "--tictactoe-new-names=1000000",
            "--tictactoe-address-attempts=1000000",
            game="tictactoe",
        ) as server,
    ):
        yield server


@contextmanager
def database(name: str) -> Iterator[str]:
    """
    The database of this URL; if it ends with a slash, a new one, which is dropped afterwards.
    """
    if not name.endswith("/"):
        yield name
        return
    from sqlalchemy import create_engine, make_url, text

    url = make_url(name).set(database=f"benchmark_{secrets.token_hex(6)}")
    postgresql = url.drivername == "postgresql"
    engine = create_engine(
        url.set(
            drivername="postgresql+psycopg" if postgresql else "mysql+pymysql",
            database="postgres" if postgresql else "information_schema",
        ),
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {url.database}"))
        try:
            yield url.render_as_string(hide_password=False)
        finally:
            connection.execute(text(f"DROP DATABASE {url.database}"))
    engine.dispose()


class Client(asyncio.Protocol):
    """
    A client that does as little as possible, so that it does not dominate the measurement.

    @ivar listener: called with each message; while it is L{None} they wait for L{hear}.
    @ivar pongs: called with the payload of each pong.
    """

    def __init__(self) -> None:
        self.pongs: Callable[[bytes], None] = lambda payload: None
        self.listener: Callable[[bytes], None] | None = None
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._messages: deque[bytes] = deque()
        self._more = asyncio.Event()

    async def connect(self, port: int, source: str = "127.0.0.1") -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(
            lambda: self, "127.0.0.1", port, local_addr=(source, 0)
        )
        self._transport.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await self._upgraded

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        start = 0
        if not self._upgraded.done() and (end := data.find(b"\r\n\r\n")) >= 0:
            self._upgraded.set_result(None)
            start = end + 4
        while self._upgraded.done() and len(data) >= start + 4:
            first, size, begin = data[start], data[start + 1], start + 2
            if size > 125:
                begin += 2 if size == 126 else 8
                size = int.from_bytes(data[start + 2 : begin], "big")
            if len(data) < begin + size:
                break
            start = begin + size
            if first == 0x81:
                self._received(data[begin:start])
            elif first == 0x89:
                self.send(bytes([0x8A, 0x80 | size, 0, 0, 0, 0]) + data[begin:start])
            elif first == 0x8A:
                self.pongs(data[begin:start])
        self._buffer = data[start:]

    def _received(self, message: bytes) -> None:
        if self.listener is not None:
            self.listener(message)
        else:
            self._messages.append(message)
            self._more.set()

    def connection_lost(self, reason: Exception | None) -> None:
        self._more.set()
        if not self._upgraded.done():
            self._upgraded.set_exception(ConnectionError("the server closed"))

    def say(self, kind: str, **data: object) -> None:
        self.send(frame({"type": kind, "data": data}))

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    @property
    def closed(self) -> bool:
        """Whether either side has ended the connection."""
        return self._transport is None or self._transport.is_closing()

    async def hear(self, kind: bytes) -> bytes:
        """The next message of a type; others are skipped."""
        while True:
            while not self._messages:
                if self.closed:
                    raise ConnectionError("the server closed")
                self._more.clear()
                await self._more.wait()
            message = self._messages.popleft()
            if kind in message[:60]:
                return message

    async def log_in(self, port: int, name: str, source: str = "127.0.0.1") -> None:
        await self.connect(port, source)
        self.say("login", name=name, pw="secret")
        answer = await self.hear(b'"login_response"')
        if b"true" not in answer[:70]:
            raise ConnectionError(answer.decode())
        await self.hear(b'"friends_update"')


def frame(message: object) -> bytes:
    """A message as a client sends it, masked with zeros."""
    payload = json.dumps(message).encode()
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + bytes(4) + payload


class Game:
    """
    A recorded game, replayed.

    A move is complete when both players have received it; the latency is that of the player that
    made it.
    """

    def __init__(
        self, players: tuple[Client, Client], match_id: bytes, waits: list[float]
    ) -> None:
        self._players = players
        self._moves = moves(match_id)
        self._waits = waits
        self._made = self._told = 0
        self._over = asyncio.get_running_loop().create_future()

    async def play(self, end: float) -> None:
        """Move until the game is over or the time is up."""
        self._end = end
        for side, player in enumerate(self._players):
            player.listener = partial(self._hear, side)
        self._move()
        await self._over
        for player in self._players:
            player.listener = None

    def _move(self) -> None:
        self._told = 0
        self._sent = time.monotonic()
        self._players[self._made % 2].send(self._moves[self._made])

    def _hear(self, side: int, message: bytes) -> None:
        if b'"match_update"' not in message[:60]:
            return
        if side == self._made % 2:
            self._waits.append(time.monotonic() - self._sent)
        self._told += 1
        if self._told == 2:
            self._made += 1
            if self._made < len(self._moves) and self._sent < self._end:
                self._move()
            else:
                self._over.set_result(None)


def unused(kind: str) -> str:
    """A prefix for new names, because an old name may have an open match."""
    return f"{kind}{os.getpid() % 10_000}-{next(_rounds)}"


async def measure_logins(server: Server, amount: int) -> Figures:
    """Measure this many log-ins with passwords, all at the same time."""
    prefix = unused("l")
    names = [f"{prefix}-{number}" for number in range(amount)]
    for name in names:
        client = Client()
        await client.log_in(server.port, name)
        client.close()
    begin, cpu = time.monotonic(), server.cpu_seconds()
    waits = []

    async def one(client: Client, name: str) -> None:
        await client.log_in(server.port, name)
        waits.append(time.monotonic() - begin)

    clients = [Client() for _ in names]
    await asyncio.gather(*map(one, clients, names))
    elapsed, cpu = time.monotonic() - begin, server.cpu_seconds() - cpu
    for client in clients:
        client.close()
    return {
        "log-ins per second": amount / elapsed,
        "log-ins per server CPU second": per(amount, cpu),
        "p50, ms": statistics.median(waits) * 1e3,
        "p99, ms": sorted(waits)[int(len(waits) * 0.99)] * 1e3,
    }


@cache
def recorded_game() -> list[bytes]:
    """The frame of each move, to the end of the game."""
    lines = [json.loads(line) for line in GAME.read_text().splitlines()[1:]]
    position, moves = rules.Game(), []
    for line in lines:
        if line["dir"] == "c2s" and '"move"' in line["text"] and not position.over:
            numbers = json.loads(line["text"])["data"]
            moves.append(frame({"type": "move", "data": {**numbers, "id": _ID.decode()}}))
            cell = rules.Cell(*(int(numbers[axis]) for axis in rules.Cell._fields))
            position = position.move(position.turn, cell)
    return moves


#: The placeholder for the id of a match in a recorded game.
_ID = b"#" * 32


def moves(match_id: bytes) -> list[bytes]:
    """The frame of each move of the recorded game, in this match."""
    return [move.replace(_ID, match_id) for move in recorded_game()]


async def measure_moves(server: Server, matches: int, seconds: float) -> Figures:
    """Measure moves in this many matches at the same time."""
    prefix = unused("m")
    waits: list[float] = []
    end = 0.0

    async def play(number: int) -> None:
        names = [f"{prefix}-{number}{side}" for side in "ab"]
        players = Client(), Client()
        for player, name in zip(players, names, strict=True):
            await player.log_in(server.port, name)
        ready.release()
        await go.wait()
        while time.monotonic() < end:
            players[0].say("match_request", player=names[1])
            update = await players[0].hear(b'"match_update"')
            await players[0].hear(b'"match_request_response"')
            await players[1].hear(b'"match_update"')
            match_id = json.loads(update)["data"]["id"].encode()
            await Game(players, match_id, waits).play(end)
        for player in players:
            player.close()

    ready, go = asyncio.Semaphore(0), asyncio.Event()
    games = [asyncio.create_task(play(number)) for number in range(matches)]
    for game in games:
        game.add_done_callback(lambda _: ready.release())  # even after an error
        await ready.acquire()
    begin, cpu, own = time.monotonic(), server.cpu_seconds(), time.process_time()
    end = begin + seconds
    go.set()
    await asyncio.gather(*games)
    elapsed, cpu = time.monotonic() - begin, server.cpu_seconds() - cpu
    own = time.process_time() - own
    waits.sort()
    return {
        "moves per second": len(waits) / elapsed,
        "moves per server CPU second": per(len(waits), cpu),
        "p50, ms": statistics.median(waits) * 1e3,
        "p99, ms": waits[int(len(waits) * 0.99)] * 1e3,
        "the load's CPU ms per move": own / len(waits) * 1e3,
    }


def measure(server: Server, parsed: argparse.Namespace) -> Figures:
    rounds = [
        (f"{amount} matches", measure_moves(server, amount, parsed.seconds))
        for amount in parsed.matches
    ] + [(f"{amount} at once", measure_logins(server, amount)) for amount in parsed.logins]
    figures: Figures = {}
    for what, measuring in rounds:
        found = asyncio.run(asyncio.wait_for(measuring, LONGEST + parsed.seconds))
        figures |= {f"{what}, {name}": value for name, value in found.items()}
    return figures


parser = arguments(__doc__)
parser.add_argument("--database", default="sqlite:///games.sqlite3", help="its URL (%(default)s)")
parser.add_argument("--seconds", type=float, default=5.0, help="duration of moves (%(default)s)")
parser.add_argument("--logins", type=int, nargs="*", default=[50, 500])
parser.add_argument("--matches", type=int, nargs="*", default=[25, 250])

BENCHMARK = Benchmark(parser, start, measure)

if __name__ == "__main__":
    BENCHMARK.main()
