"""
The game on real ports: a whole server process, real WebSocket clients, a real file of a store.

The client is a faithful model of the original's web client: what it keeps, what it sends, and
when it hangs.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gameservers.games.tictactoe.rules import Cell, Game, Mark
from tests.games.tictactoe.test_page import PAGE
from tests.games.tictactoe.test_weaknesses import cells_of
from tests.integration.processes import PATIENCE, free_port
from tests.net.test_tls import write_pair

ROOT = Path(__file__).parents[2]

#: How long a whole tour may take, in seconds.
TOUR = 3 * PATIENCE


class Server:
    """The server as a process of its own, as an operator starts it."""

    def __init__(self, folder: Path, tls: bool = False) -> None:
        self.folder = folder
        self.tls = tls

    async def __aenter__(self) -> Server:
        self.port = free_port()
        arguments = [
            "-m",
            "gameservers",
            f"--port={free_port()}",
            "--interface=127.0.0.1",
            f"--tictactoe-port={self.port}",
            "--tictactoe-password-cost=10",
            "--twister-port=0",
            "--tilegame-port=0",
            "--velnet-port=0",
            f"--database=sqlite:///{self.folder}/games.sqlite3",
        ]
        if self.tls:
            arguments += [f"--tls-{each}={self.folder}/{each}.pem" for each in ("cert", "key")]
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            cwd=self.folder,
            env={**os.environ, "TZ": "UTC", "PYTHONPATH": path},
        )
        try:
            await asyncio.wait_for(self._ready(), PATIENCE)
        except BaseException:
            self.process.kill()
            await self.process.wait()
            raise
        return self

    async def _ready(self) -> None:
        assert self.process.stdout is not None
        while b"is ready" not in (line := await self.process.stdout.readline()):
            assert line, "it ended instead of being ready"

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.communicate(), PATIENCE)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise

    @property
    def url(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}/"


class WebClient:
    """
    The original's web client, as far as a server can tell.

    @ivar cookie: the session's id, kept over a reload.
    @ivar matches: what it shows, by id.
    @ivar befriended: whether the last wish for a friend was granted.
    @ivar locked: ids of matches in which it has painted its mark and waits for the answer.
    """

    def __init__(self, server: Server, context: ssl.SSLContext | None = None) -> None:
        self.server = server
        self.context = context
        self.cookie: str | None = None
        self.user: str | None = None
        self.matches: dict[str, dict[str, Any]] = {}
        self.locked: set[str] = set()
        self.elo: int | None = None
        self.befriended = False
        self.heard: list[str] = []
        self.changed = asyncio.Event()
        self.socket: ClientConnection
        self.reader: asyncio.Task[None]

    async def _open(self, kind: str, **data: Any) -> None:
        self.socket = await connect(
            self.server.url, ssl=self.context, open_timeout=PATIENCE, ping_timeout=PATIENCE
        )
        self.matches.clear()
        self.locked.clear()
        self.heard.clear()
        await self.say(kind, **data)
        self.reader = asyncio.create_task(self._read())
        await self.until(lambda: "friends_update" in self.heard or self.user is None)

    async def log_in(self, name: str, password: str) -> None:
        self.user = name.lower()
        await self._open("login", name=self.user, pw=password)

    async def reload(self) -> None:
        """F5: the page comes back through its cookie."""
        await self.leave()
        await self._open("reconnect", id=self.cookie)

    async def leave(self) -> None:
        await self.socket.close()
        await self.reader

    async def say(self, kind: str, **data: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, "data": data}))

    async def click(self, match_id: str, cell: Cell) -> None:
        """Paint the mark and lock the board until the answer comes."""
        self.locked.add(match_id)
        numbers = {axis: str(number) for axis, number in cell._asdict().items()}
        await self.say("move", id=match_id, **numbers)
        await self.until(lambda: match_id not in self.locked)

    async def until(self, holds: Callable[[], object]) -> None:
        async def wait() -> None:
            while not holds():
                self.changed.clear()
                await self.changed.wait()

        await asyncio.wait_for(wait(), PATIENCE)

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                self._hear(json.loads(text))
                self.changed.set()
        except ConnectionClosed:
            pass
        self.heard.append("closed")
        self.changed.set()

    def _hear(self, message: dict[str, Any]) -> None:
        kind, data = message["type"], message["data"]
        self.heard.append(kind)
        match kind:
            case "login_response" | "reconnect_response":
                self.cookie = data["id"]
                self.user = data.get("user", self.user) if data["success"] else None
            case "elo_update":
                self.elo = data["elo"]
            case "friend_request_response":
                self.befriended = data["success"]
            case "match_update":
                state = data["match_state"]
                assert state["active_player"] is not None
                # A finished match it did not show already is ignored.
                if not state["game_over"] or data["id"] in self.matches:
                    self.matches[data["id"]] = state
                self.locked.discard(data["id"])


class TicTacToeOnRealPorts(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def run_async(self, tour: Awaitable[None]) -> None:
        async def bounded() -> None:
            await asyncio.wait_for(tour, TOUR)

        asyncio.run(bounded())

    def test_tour(self) -> None:
        """Register, invite, play to the win with a reload in the middle, see the new ratings."""

        async def tour() -> None:
            async with Server(self.folder) as server:
                ann, bob = WebClient(server), WebClient(server)
                await ann.log_in("Ann", "secret")
                await bob.log_in("bob", "geheim")
                await ann.say("match_request", player="BOB")
                await ann.until(lambda: "match_request_response" in ann.heard)
                for client in (ann, bob):
                    await client.until(lambda client=client: client.matches)
                [match_id] = bob.matches
                game = Game()
                for number, cell in enumerate(cells_of("full_game_win")):
                    if game.over:
                        break
                    game = game.move(game.turn, cell)
                    if number == 8:
                        await bob.reload()
                        await bob.until(lambda: bob.matches)
                        self.assertEqual(list(bob.matches), [match_id])
                    await (ann, bob)[number % 2].click(match_id, cell)
                    here = (ann, bob)[1 - number % 2]
                    await here.until(lambda here=here, cell=cell: _shows(here, match_id, cell))
                self.assertIs(game.winner, Mark.A)
                for client in (ann, bob):
                    self.assertEqual(client.matches[match_id]["player_won"], "ann")
                await bob.until(lambda: bob.elo == 990)
                await ann.until(lambda: ann.elo == 1010)
                # A move that is refused unlocks the board all the same.
                await ann.say("match_request", player="bob")
                await bob.until(lambda: len(bob.matches) == 2)
                [second] = set(bob.matches) - {match_id}
                await bob.click(second, Cell(0, 0, 0, 0))
                for client in (ann, bob):
                    await client.leave()

        self.run_async(tour())

    def test_killed(self) -> None:
        """After kill -9 the sessions, the match and every answered move are there."""

        async def tour() -> None:
            async with Server(self.folder) as server:
                ann, bob = WebClient(server), WebClient(server)
                await ann.log_in("ann", "secret")
                await bob.log_in("bob", "geheim")
                await ann.say("match_request", player="bob")
                for client in (ann, bob):
                    await client.until(lambda client=client: client.matches)
                [match_id] = bob.matches
                await ann.click(match_id, Cell(0, 0, 1, 1))
                self.assertTrue(_shows(ann, match_id, Cell(0, 0, 1, 1)))
                server.process.kill()
                await server.process.wait()
                await ann.until(lambda: "closed" in ann.heard)
            async with Server(self.folder) as server:
                ann.server = bob.server = server
                await ann.reload()
                await bob.reload()
                await bob.until(lambda: _shows(bob, match_id, Cell(0, 0, 1, 1)))
                await bob.click(match_id, Cell(1, 1, 0, 0))
                self.assertTrue(_shows(bob, match_id, Cell(1, 1, 0, 0)))

        self.run_async(tour())

    def test_wss(self) -> None:
        """The same port over TLS; SIGHUP renews the certificate and drops nobody."""

        async def tour() -> None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            write_pair(self.folder, "one")
            async with Server(self.folder, tls=True) as server:
                ann = WebClient(server, context)
                await ann.log_in("ann", "secret")
                first = _certificate(ann)
                write_pair(self.folder, "two")
                server.process.send_signal(signal.SIGHUP)
                bob = WebClient(server, context)
                for attempt in range(50):
                    await bob.log_in(f"bob{attempt}", "")
                    if _certificate(bob) != first:
                        break
                self.assertNotEqual(_certificate(bob), first)
                await ann.say("match_request", player=bob.user)
                await bob.until(lambda: bob.matches)
                self.assertNotIn("closed", ann.heard)

        self.run_async(tour())

    def test_our_page(self) -> None:
        """Two of our pages, run by Node.js without a browser, play a game to its end."""
        node = shutil.which("node")
        if node is None:
            raise SkipTest("there is no Node.js")
        for name in ("page.js", "link.js", "board.js"):
            text = (PAGE / name).read_text("utf-8").replace('.js";', '.mjs";')
            (self.folder / name).with_suffix(".mjs").write_text(text, "utf-8")

        async def page(server: Server, *arguments: str) -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(
                node,
                "--experimental-websocket",
                str(Path(__file__).with_name("page.mjs")),
                f"http://127.0.0.1:{server.port}/",
                *arguments,
                env={**os.environ, "PAGE": str(self.folder / "page.mjs")},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )

        async def tour() -> None:
            async with Server(self.folder) as server:
                waiting = await page(server, "bob", "")
                probe = WebClient(server)
                while not probe.befriended:  # until bob is there to be invited
                    await probe.log_in("probe", "secret")
                    await probe.say("friend_request", user="bob")
                    await probe.until(lambda: "friend_request_response" in probe.heard)
                    await probe.leave()
                inviting = await page(server, "ann", "bob")
                ends = [(await each.communicate())[0] for each in (inviting, waiting)]
                ann, bob = (json.loads(end) for end in ends)
                self.assertEqual(ann["marks"], bob["marks"])
                self.assertGreaterEqual(ann["marks"], 17)
                won = {"You have won!", "ann has won.", "bob has won.", "A draw."}
                self.assertLessEqual({ann["headline"], bob["headline"]}, won)

        self.run_async(tour())


def _shows(client: WebClient, match_id: str, cell: Cell) -> bool:
    state = client.matches.get(match_id)
    return state is not None and state["last_move"] == cell._asdict()


def _certificate(client: WebClient) -> bytes:
    found: bytes = client.socket.transport.get_extra_info("ssl_object").getpeercert(True)
    return found
