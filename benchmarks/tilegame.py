"""
Tile-Game players at full speed: each sends its position and requests the next state as soon as it
has the last one, as the game does.  The world is stored in SQLite, in a file.
"""

from __future__ import annotations

import argparse
import select
import struct
import time
from contextlib import ExitStack
from itertools import count

from benchmarks.common import (
    PATIENCE,
    Benchmark,
    Figures,
    Server,
    arguments,
    gameserver,
    per,
)
from gameservers.games.tilegame import wire
from gameservers.games.tilegame.wire import BLOCK


def position(name: str, x: int, y: int) -> bytes:
    """The block with a client's position."""
    content = b"\x1d%b\x01%b" % (wire.encode_name(name), struct.pack(">hh", x, y))
    return (b"SGPKT" + len(content).to_bytes(2, "big") + content).ljust(BLOCK)


class Player:
    """One client: it reads the stream block by block, however a peer sends it."""

    def __init__(self, server: Server, name: str) -> None:
        self.name = name
        self.states = 0
        self._numbers = count()
        self._data = bytearray()
        self._state = False  # whether a state comes next
        self.socket = server.connect()
        self._join()

    def _join(self) -> None:
        self._say(wire.RECOGNITION_REQ, wire.RECOGNITION_RES)
        self._say(wire.MAPDATA_REQ, wire.MAPDATA_RES)
        while self._read(BLOCK) != wire.MAPDATA_EOS:
            pass
        self._say(wire.PLAYERJOIN_REQ, wire.PLAYERJOIN_RES)
        self._say(self.name.encode(), wire.PLAYEROBJ_RES)

    def _say(self, data: bytes, expected: bytes) -> None:
        self.socket.sendall(data)
        answer = self._read(BLOCK)
        if answer != expected:
            raise ConnectionError(f"{self.name} was answered by {answer!r}")

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionError("the connection was closed")
            data += more
        return data

    def ask(self) -> None:
        self.socket.sendall(wire.GLGAME_REQ)

    def ready(self) -> None:
        """Answer received messages as the game does."""
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError("the connection was closed")
        self._data += data
        while len(self._data) >= (size := self._size()):
            self._message(bytes(self._data[:size]))

    def _size(self) -> int:
        """The size of the next message, which for a state is in its first two bytes."""
        if not self._state or len(self._data) < 2:
            return BLOCK
        return int.from_bytes(self._data[:2], "big")

    def _message(self, message: bytes) -> None:
        del self._data[: len(message)]
        if self._state:
            self._state = False
            self.states += 1
        elif message == wire.GLGAME_RES:
            self._state = True
        elif message == wire.LCGAME_REQ:
            number = next(self._numbers) % 1_000
            self.socket.sendall(position(self.name, number, -number))
        elif message == wire.PACKETRECV_RES:
            self.ask()
        else:
            raise ConnectionError(f"{self.name} was told {message!r}")


def measure(server: Server, parsed: argparse.Namespace) -> Figures:
    players = parsed.players
    without = server.resident()
    with ExitStack() as stack:
        all_players: dict[int, Player] = {}
        poll = stack.enter_context(select.epoll())
        for number in range(players):
            player = Player(server, f"player{number}")
            stack.enter_context(player.socket)
            all_players[player.socket.fileno()] = player
            poll.register(player.socket, select.EPOLLIN)
            player.ask()
        for warm in (True, False):
            for player in all_players.values():
                player.states = 0
            cpu, begin = server.cpu_seconds(), time.perf_counter()
            end = begin + (0.5 if warm else parsed.seconds)
            while time.perf_counter() < end:
                for descriptor, _ in poll.poll(PATIENCE):
                    all_players[descriptor].ready()
            elapsed, cpu = time.perf_counter() - begin, server.cpu_seconds() - cpu
        states = [player.states / elapsed for player in all_players.values()]
        figures = {
            "states per second of a player": sum(states) / players,
            "and of the slowest player": min(states),
            "share of a core, %": 100 * cpu / elapsed,
            "states per server CPU second": per(elapsed * sum(states), cpu),
            "memory without players, MB": without,
            "memory with the players, MB": server.resident(),
        }
        for player in all_players.values():
            player.socket.sendall(wire.DISCONNECT_REQ)
    time.sleep(0.5)  # to free the names
    return figures


parser = arguments(__doc__)
parser.add_argument("--players", type=int, default=10, help="how many (%(default)s)")
parser.add_argument("--tps", type=int, default=20, help="states a second (%(default)s)")
parser.add_argument("--seconds", type=float, default=10.0, help="of each (%(default)s)")

BENCHMARK = Benchmark(
    parser,
    lambda tree, parsed: gameserver(
        tree,
        "--database=sqlite:///tilegame.sqlite3",
        "--tilegame-seed=benchmark",
        f"--tilegame-tps={parsed.tps}",
        f"--tilegame-max-players={parsed.players}",
        game="tilegame",
    ),
    measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
