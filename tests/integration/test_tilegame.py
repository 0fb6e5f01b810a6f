"""
Tile-Game from end to end: the real process, and clients that read as the real one does.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event

from tests.games.tilegame.reading import (
    NAME,
    TOKEN,
    Map,
    broken,
    position,
    read_map,
    read_state,
)
from tests.integration.processes import PATIENCE, ProcessTestCase, free_port
from tests.store import databases

#: Of the tiles on the wire, those that break.
BREAKABLE = (bytes.fromhex("80A000"), bytes.fromhex("E19000"))

SILENCE = 5  # seconds that a client may be silent

ENOUGH = 40  # states from which a player's pace can be told


class Disconnected(Exception):
    """The connection is reset."""


class Lost(Exception):
    """The real client would not understand this, and hang or fail."""


class RealClient:
    """
    The network code of the game: it reads 32 bytes at a time and takes what one call returns
    for one message, however much that is.
    """

    def __init__(self, port: int, name: str) -> None:
        self.name = name
        self.x = self.y = 0
        self.states = 0
        self.others: tuple = ()
        self.bits = b""
        self.to_break: list[tuple[int, int]] = []
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)

    def read(self) -> bytes:
        try:
            block = self.socket.recv(32)
        except ConnectionError:
            raise Disconnected from None
        if len(block) != 32:
            raise Lost(f"{self.name} reads {block!r}")
        return block

    def send(self, what: bytes) -> None:
        try:
            self.socket.sendall(what)
        except ConnectionError:
            raise Disconnected from None

    def expect(self, *names: str) -> str:
        name = NAME.get(self.read(), "something else")
        if name not in names:
            raise Lost(f"{self.name} reads {name}, not {names}")
        return name

    def look(self) -> None:
        """The first half of the handshake: the map."""
        self.send(TOKEN["RECOGNITION_REQ"])
        self.expect("RECOGNITION_RES")
        self.send(TOKEN["MAPDATA_REQ"])
        self.expect("MAPDATA_RES")
        payload = b""
        while (block := self.read()) != TOKEN["MAPDATA_EOS"]:
            payload += block
        self.map: Map = read_map(payload)
        self.bits = self.map.bits

    def join(self) -> str:
        """The handshake: C{SUCCESS}, or the error."""
        self.look()
        self.send(TOKEN["PLAYERJOIN_REQ"])
        self.expect("PLAYERJOIN_RES")
        self.send(self.name.encode())
        answer = self.expect("PLAYEROBJ_RES", "NAMEALREXIST_ERR", "MAXPLAYERS_ERR")
        if answer != "PLAYEROBJ_RES":
            return answer
        self.send(TOKEN["GLGAME_REQ"])
        self.expect("GLGAME_RES")
        self.read_state()
        self.expect("LCGAME_REQ")
        self.send(position(self.name, self.x, self.y))
        self.expect("PACKETRECV_RES")
        self.send(TOKEN["GLGAME_REQ"])
        return "SUCCESS"

    def play(self, until: Callable[[], bool]) -> None:
        """Go round as fast as the server lets it, and never sleep."""
        end = time.monotonic() + PATIENCE
        while not until():
            if time.monotonic() > end:
                raise Lost(f"{self.name} waits too long, and sees {self.others}")
            match NAME.get(self.read()):
                case "GLGAME_RES":
                    self.read_state()
                case "LCGAME_REQ":
                    self.x = max(-1024, min(self.x + random.randint(-17, 17), 992))
                    self.y = max(-1024, min(self.y + random.randint(-17, 17), 992))
                    self.send(position(self.name, self.x, self.y))
                    self.read()  # whatever comes next
                    self.send(TOKEN["GLGAME_REQ"])
                case "PACKETRECV_RES":
                    pass
                case other:
                    raise Lost(f"{self.name} reads {other}")
            if self.to_break:
                self.send(broken(self.name, *self.to_break.pop()))

    def read_state(self) -> None:
        packet = self.read()
        while len(packet) < int.from_bytes(packet[:2], "big"):
            packet += self.read()
        state = read_state(packet)
        self.states += 1
        self.others = tuple(each[0] for each in state.players)
        if self.name not in self.others:
            raise Lost(f"{self.name} is not among the players: the map screen crashes")
        if state.bits is not None:
            self.bits = state.bits

    def break_tiles(self, tiles: list[tuple[int, int]]) -> None:
        """Break tiles in one go, and read the answers."""
        self.expect("GLGAME_RES")
        self.read_state()
        self.expect("LCGAME_REQ")
        self.send(b"".join(broken(self.name, *tile) for tile in tiles))
        for _ in tiles:
            self.expect("PACKETRECV_RES")

    def leave(self) -> None:
        self.send(TOKEN["DISCONNECT_REQ"])
        self.socket.close()


class TileGameProcessTests(ProcessTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.port = free_port()
        self.arguments = (
            f"--port={free_port()}",
            f"--tilegame-port={self.port}",
            f"--tilegame-silence-timeout={SILENCE}",
            "--tilegame-seed=transcript1",
            f"--database=sqlite:///{self.directory.absolute() / 'kept.sqlite3'}",
        )

    def client(self, name: str) -> RealClient:
        client = RealClient(self.port, name)
        self.addCleanup(client.socket.close)
        return client

    def test_ten_players(self) -> None:
        """
        Ten at full pace move and break; an eleventh is refused, one vanishes, one comes back.
        All see the same world at the end, and so does a player that comes after a restart.
        """
        process, _ = self.started(*self.arguments)
        players = [self.client(f"player{number}") for number in range(10)]
        scout = self.client("scout")
        scout.look()
        targets = sorted(self.breakable(scout.map)[: 8 * len(players)])
        *stay, returning, vanishing = players
        names = [each.name for each in (*stay, returning)]
        settled: list[Future[None]] = [Future() for _ in players]
        refused = Event()

        def come(number: int, player: RealClient, until: Callable[[], bool]) -> None:
            """Join, break what is one's part, and play on."""
            try:
                began = time.monotonic()
                self.assertEqual(player.join(), "SUCCESS")
                part = targets[number :: len(players)]
                player.to_break = part.copy()
                player.play(
                    lambda: (
                        player.states >= ENOUGH
                        and len(player.others) == len(players)
                        and set(part) <= set(self.broken(player.bits))
                    )
                )
                took = time.monotonic() - began
                self.assertLessEqual(player.states, 20 * took + 3, "faster than the pace")
            except BaseException as problem:
                settled[number].set_exception(problem)
                raise
            settled[number].set_result(None)
            player.play(until)

        def agrees(player: RealClient) -> bool:
            return sorted(player.others) == names and self.broken(player.bits) == targets

        # None may be silent but the one that vanishes: each plays on in its own thread until it
        # has seen what there is to see.
        with ThreadPoolExecutor(len(players)) as threads:
            playing = [
                threads.submit(come, *each, partial(agrees, each[1])) for each in enumerate(stay)
            ]
            leaving = [
                threads.submit(come, *each, refused.is_set)
                for each in enumerate((returning, vanishing), len(stay))
            ]
            for each in settled:
                each.result(PATIENCE)
            self.assertEqual(self.client("eleventh").join(), "MAXPLAYERS_ERR")
            refused.set()
            for each in leaving:
                each.result()
            returning.leave()
            again = self.client(returning.name)
            again.x, again.y = returning.x, returning.y
            self.assertEqual(again.join(), "SUCCESS")
            again.play(partial(agrees, again))
            for each in playing:
                each.result()
        everybody = [*stay, again]

        with self.assertRaises(Disconnected):
            while True:
                vanishing.read()
        for player in everybody:
            self.assertEqual(player.bits, everybody[0].bits)
        log = self.stop(process)
        with self.assertRaises(Disconnected):
            while True:
                everybody[0].send(TOKEN["GLGAME_REQ"])
                everybody[0].read()

        self.assertIn("player9 left world", log)
        process, log = self.started(*self.arguments)
        after = self.client("after")
        self.assertEqual(after.join(), "SUCCESS")
        self.assertEqual(self.broken(after.map.bits), targets)
        self.assertEqual(self.broken(after.bits), targets)
        at = [3 * (y * 64 + x) for x, y in targets]
        self.assertEqual(
            {after.map.tiles[each : each + 3] for each in at}, {bytes.fromhex("600000")}
        )
        self.stop(process)

    def breakable(self, world: Map) -> list[tuple[int, int]]:
        places = [(at % 64, at // 64) for at in range(64**2)]
        return [
            (x, y)
            for x, y in places
            if world.tiles[3 * (y * 64 + x) : 3 * (y * 64 + x) + 3] in BREAKABLE
        ]

    def broken(self, bits: bytes) -> list[tuple[int, int]]:
        flags = "".join(f"{byte:08b}" for byte in bits)
        return sorted((at % 64, at // 64) for at, flag in enumerate(flags) if flag == "1")

    def test_killed_on_sqlite(self) -> None:
        """A broken tile that was answered is broken, even if the process is killed right then."""
        with databases.sqlite() as url:
            self.kill_and_look(url)

    def test_killed_on_postgresql(self) -> None:
        with databases.postgresql() as url:
            self.kill_and_look(url)

    def test_killed_on_mariadb(self) -> None:
        with databases.mariadb() as url:
            self.kill_and_look(url)

    def kill_and_look(self, url: str) -> None:
        """Break twelve tiles, kill the process and see what the next one has."""
        arguments = (*self.arguments[:-1], f"--database={url}", "--tilegame-break-burst=20")
        process, _ = self.started(*arguments)
        client = self.client("alice")
        self.assertEqual(client.join(), "SUCCESS")
        targets = sorted(self.breakable(client.map)[:12])
        client.break_tiles(targets)
        process.kill()
        process.wait(PATIENCE)
        process, _ = self.started(*arguments)
        after = self.client("bob")
        self.assertEqual(after.join(), "SUCCESS")
        self.assertEqual(self.broken(after.map.bits), targets)
        self.stop(process)

    def test_large_world(self) -> None:
        """A client that comes while a large world is made waits, and reads it without a split."""
        process, _ = self.started(*self.arguments, "--tilegame-size=large")
        client = self.client("early")
        self.assertEqual(client.join(), "SUCCESS")
        self.assertEqual(client.map.side, 192)
        self.assertIn("100 % of a new world are generated", self.stop(process))
