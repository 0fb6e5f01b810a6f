"""
Ultimate tic-tac-toe: log-ins with a password, and moves, which are answered when committed.

C{python -m benchmarks.tictactoe} measures SQLite in a file; C{--database=URL} measures that
database.  C{--peer=NAME=PORT} measures a server that is running, such as the original, whose
accounts must be new.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.common import CHECKOUT, Server, free_port, peer, per, started
from gameservers.games.tictactoe import rules

#: A recorded game.
GAME = CHECKOUT / "tests" / "transcripts" / "tictactoe" / "full_game_win.jsonl"


def serve(port: int, database: str) -> None:
    """The game alone, on this port and database, until the process is ended."""
    from twisted.internet import reactor

    from gameservers.games import Surroundings
    from gameservers.games.tictactoe import game
    from gameservers.lobby import Lobby
    from gameservers.metrics import Metrics
    from gameservers.store import Store, StoreSettings

    store: Any = Store(StoreSettings(database=database), reactor, [game.schema])  # type: ignore[arg-type]
    many = dict.fromkeys(("new_names_per_address", "login_attempts_per_address"), 1_000_000)
    lobby = Lobby(reactor, Metrics())  # type: ignore[arg-type]
    wires = game.build(Surroundings(lobby, reactor, game.settings(**many), store))  # type: ignore[arg-type]
    assert wires.service is not None and wires.stream is not None
    loop: Any = reactor
    store.startService()
    wires.service.startService()
    store.ready().addCallback(lambda _: loop.listenTCP(port, wires.stream, 1024, "127.0.0.1"))
    loop.addSystemEventTrigger("before", "shutdown", wires.service.stopService)
    loop.addSystemEventTrigger("during", "shutdown", store.stopService)
    loop.run()


class Client(asyncio.Protocol):
    """
    A client that does as little as possible, not to be what is measured.

    @ivar listener: told of each message at once; while it is L{None} they wait for L{hear}.
    """

    def __init__(self) -> None:
        self.listener: Callable[[bytes], None] | None = None
        self._transport: asyncio.Transport
        self._buffer = b""
        self._upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._messages: deque[bytes] = deque()
        self._more = asyncio.Event()

    async def connect(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", port)
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
        self._buffer = data[start:]

    def _received(self, message: bytes) -> None:
        if self.listener is not None:
            self.listener(message)
        else:
            self._messages.append(message)
            self._more.set()

    def connection_lost(self, reason: Exception | None) -> None:
        self._more.set()

    def say(self, kind: str, **data: object) -> None:
        self.send(frame({"type": kind, "data": data}))

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    async def hear(self, kind: bytes) -> bytes:
        """The next message of a type; others are passed over."""
        while True:
            while not self._messages:
                if self._transport.is_closing():
                    raise ConnectionError("the server closed")
                self._more.clear()
                await self._more.wait()
            message = self._messages.popleft()
            if kind in message[:60]:
                return message

    async def log_in(self, port: int, name: str) -> None:
        await self.connect(port)
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
    A recorded game, played once more.

    A move is over when both players have been told; the waiting time is the mover's.
    """

    def __init__(
        self, players: tuple[Client, Client], match_id: bytes, waits: list[float]
    ) -> None:
        self._players = players
        self._moves = [move.replace(_ID, match_id) for move in recorded_game()]
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


async def measure_logins(server: Server, count: int) -> dict[str, float]:
    """This many accounts log in with their passwords, all at the same time."""
    names = [f"l{os.getpid() % 10000}-{count}-{n}" for n in range(count)]
    for name in names:
        client = Client()
        await client.log_in(server.port, name)
        client.close()
    begin = time.monotonic()
    waits = []

    async def one(client: Client, name: str) -> None:
        await client.log_in(server.port, name)
        waits.append(time.monotonic() - begin)

    clients = [Client() for _ in names]
    await asyncio.gather(*map(one, clients, names))
    elapsed = time.monotonic() - begin
    for client in clients:
        client.close()
    return {"logins/s": count / elapsed, "p50 ms": statistics.median(waits) * 1e3,
            "p99 ms": sorted(waits)[int(len(waits) * 0.99)] * 1e3}  # fmt: skip


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


#: What stands for the id of a match in a recorded game.
_ID = b"#" * 32


async def measure_moves(server: Server, matches: int, seconds: float) -> dict[str, float]:
    """Moves in this many matches at the same time."""
    waits: list[float] = []
    end = 0.0

    async def play(number: int) -> None:
        names = [f"m{os.getpid() % 10000}-{matches}-{number}{side}" for side in "ab"]
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
        game.add_done_callback(lambda _: ready.release())  # also if it comes to nothing
        await ready.acquire()
    begin, cpu, own = time.monotonic(), server.cpu_seconds(), time.process_time()
    end = begin + seconds
    go.set()
    await asyncio.gather(*games)
    elapsed, cpu = time.monotonic() - begin, server.cpu_seconds() - cpu
    own = time.process_time() - own
    waits.sort()
    return {"moves/s": len(waits) / elapsed, "p50 ms": statistics.median(waits) * 1e3,
            "p99 ms": waits[int(len(waits) * 0.99)] * 1e3,
            "CPU ms/move": cpu / len(waits) * 1e3, "moves/CPU s": per(len(waits), cpu),
            "client's ms": own / len(waits) * 1e3}  # fmt: skip


def show(what: str, figures: dict[str, float]) -> None:
    print(
        f"{what:24}" + "".join(f"{name:>12} {value:8.2f}" for name, value in figures.items()),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--database", help="URL of the database (default: SQLite in a file)")
    parser.add_argument(
        "--peer", type=peer, help="NAME=PORT or NAME=PORT:PID of a server that is running"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="for each round of moves")
    parser.add_argument("--logins", type=int, nargs="*", default=[50, 500])
    parser.add_argument("--matches", type=int, nargs="*", default=[25, 250])
    parsed = parser.parse_args()
    if parsed.serve:
        serve(parsed.serve, parsed.database)
        return
    with ExitStack() as stack:
        server = parsed.peer
        if server is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            database = parsed.database or f"sqlite:///{folder / 'games.sqlite3'}"
            port = free_port()
            command = [sys.executable, "-m", "benchmarks.tictactoe", f"--serve={port}"]
            command.append(f"--database={database}")
            server = stack.enter_context(started("gameservers", command, port))
        for count in parsed.matches:
            show(f"{count} matches", asyncio.run(measure_moves(server, count, parsed.seconds)))
        for count in parsed.logins:
            show(f"{count} log-ins at once", asyncio.run(measure_logins(server, count)))


if __name__ == "__main__":
    main()
