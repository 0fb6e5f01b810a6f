"""
The bystanders of L{benchmarks.fairness}: honest players of all games, and how long each waits.

A bystander asks at regular times, whether or not the last answer has come, and its wait counts
from the moment at which it was to ask: a server that stands still for half a second makes
everybody wait who would have asked in that time, not only one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any, ClassVar

from benchmarks import tictactoe, vcmi, velnet
from benchmarks.common import PATIENCE, Server
from benchmarks.tilegame import position
from benchmarks.twister import Tank, asked
from gameservers.games.tilegame import wire

#: Time after which a datagram without an answer counts as dropped, in seconds.
UNANSWERED = 2.0

#: What the measuring process waits for itself: how late its own timer is.
OWN_LAG = "own lag"

#: States per second of Tile-Game, the default.
TPS = 20

#: Accounts that log in to tic-tac-toe again and again, in turn.
ACCOUNTS = tuple(f"honest-{number}" for number in range(8))

KEEP_ALIVE = b"\x0a\x00\x00\x00\x09\x09" + bytes(8)

_numbers = count(10_000_000)
_NUMBER = re.compile(rb"#(\d{8})#")
_READ = 1 << 20  # bytes


def numbered() -> bytes:
    """A content that occurs once, and that L{Ear} finds."""
    return b"#%d#" % next(_numbers)


class Book:
    """
    What was measured.

    @ivar waits: for each kind of bystander, when it was to ask and how long it waited, in seconds.
    @ivar lost: kind, moment and reason of each bystander that was cut or refused.
    @ivar dropped: kind and moment of each datagram that was not answered.
    @ivar closing: whether nobody is to ask any more.
    """

    def __init__(self) -> None:
        self.waits: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self.lost: list[tuple[str, float, str]] = []
        self.dropped: list[tuple[str, float]] = []
        self.closing = False
        self._open: dict[object, tuple[str, float]] = {}
        self._now = asyncio.get_running_loop().time

    @contextmanager
    def waiting(self, kind: str, due: float) -> Iterator[None]:
        """Note how long it takes from C{due} to the end of the block, or why it failed."""
        token = object()
        self._open[token] = kind, due
        try:
            yield
            if token in self._open:
                self.waits[kind].append((due, max(0.0, self._now() - due)))
        except TimeoutError:
            if token in self._open:
                self.dropped.append((kind, due))
        except (OSError, EOFError) as error:
            if token in self._open:
                self.lost.append((kind, due, str(error) or type(error).__name__))
        finally:
            self._open.pop(token, None)

    @property
    def open(self) -> int:
        """How many wait."""
        return sum(due < self._now() for _, due in self._open.values())

    def close(self) -> None:
        """Note how long those have waited that wait still, and nothing more."""
        for kind, due in self._open.values():
            self.waits[kind].append((due, max(0.0, self._now() - due)))
        self._open.clear()


class Bystander:
    """
    An honest client.

    @cvar kind: its name in the table.
    @cvar interval: the time from one question to the next, in seconds.
    @cvar most: questions that may be open; with so many it does not ask.
    """

    kind: ClassVar[str]
    interval: ClassVar[float]
    most: ClassVar[int] = 500

    def __init__(self, server: Server, book: Book) -> None:
        self.server = server
        self.book = book
        self._asking: set[asyncio.Task[None]] = set()

    async def enter(self) -> None:
        """Come to the game, before anything is measured."""

    @property
    def over(self) -> bool:
        """Whether it asks no more, because it was lost or the book closes."""
        return self.book.closing or self.kind in (kind for kind, *_ in self.book.lost)

    async def ask(self) -> None:
        """
        Ask and wait for the answer.

        @raise TimeoutError: the datagram or its answer was lost.
        @raise OSError: the server refused it or cut it off.
        """
        raise NotImplementedError

    async def run(self) -> None:
        """Ask at regular times until it is over."""
        now = asyncio.get_running_loop().time
        due = now()
        while not self.over:
            due += self.interval
            await asyncio.sleep(due - now())
            if len(self._asking) < self.most:
                task = asyncio.create_task(self._ask(due))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)

    async def _ask(self, due: float) -> None:
        with self.book.waiting(self.kind, due):
            await self.ask()

    def close(self) -> None:
        for task in self._asking:
            task.cancel()


class Ear(asyncio.Protocol, asyncio.DatagramProtocol):
    """A connection that waits for the contents of L{numbered}, whatever is around them."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._tail = b""
        self._awaited: dict[bytes, asyncio.Future[None]] = {}
        self._over = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        self.datagram_received(data)
        self._tail = data[-9:]  # shorter than what is found, so that nothing is found twice

    def datagram_received(self, data: bytes, address: object = None) -> None:
        for number in _NUMBER.findall(data):
            if (future := self._awaited.pop(b"#%b#" % number, None)) and not future.done():
                future.set_result(None)

    def error_received(self, error: Exception) -> None:
        """A datagram was refused, which counts as unanswered."""

    def connection_lost(self, reason: Exception | None) -> None:
        self._over = f"cut off: {reason or 'closed'}"
        for future in self._awaited.values():
            if not future.done():
                future.set_exception(ConnectionError(self._over))

    def expect(self, number: bytes) -> asyncio.Future[None]:
        """Wait for a number, which was not sent before this turn of the loop."""
        self._awaited[number] = future = asyncio.get_running_loop().create_future()
        if self._over:
            future.set_exception(ConnectionError(self._over))
        return future

    def send(self, data: bytes) -> None:
        """
        Send to a stream.

        @raise ConnectionError: it was cut off.
        """
        if self.transport.is_closing():
            raise ConnectionError(self._over or "cut off")
        self.transport.write(data)


async def listen(connection: socket.socket) -> Ear:
    """Let an ear take over a connected stream."""
    _, ear = await asyncio.get_running_loop().create_connection(Ear, sock=connection)
    return ear


class Talk(Bystander):
    """Players who send each other something in turn."""

    def __init__(self, server: Server, book: Book) -> None:
        super().__init__(server, book)
        self._ears: list[Ear] = []
        self._turns = count()

    def connect(self) -> list[socket.socket]:
        """The connections of the players, who can hear each other."""
        raise NotImplementedError

    def said(self, content: bytes) -> bytes:
        """What a player sends to say this."""
        raise NotImplementedError

    async def enter(self) -> None:
        self._ears = [await listen(each) for each in self.connect()]

    async def ask(self) -> None:
        turn = next(self._turns)
        speaker, hearer = (self._ears[each % len(self._ears)] for each in (turn, turn + 1))
        content = numbered()
        speaker.send(self.said(content))
        await hearer.expect(content)

    def close(self) -> None:
        super().close()
        for ear in self._ears:
            ear.transport.abort()


class VelNet(Talk):
    """Two VelNet players in a room of their own."""

    interval = 0.02
    form: ClassVar[velnet.Form]

    def connect(self) -> list[socket.socket]:
        return velnet.room(self.server, self.form, 2)

    def said(self, content: bytes) -> bytes:
        return self.form.payload(content)


class VelNetText(VelNet):
    kind = "velnet text"
    form = velnet.Text


class VelNetBinary(VelNet):
    kind = "velnet binary"
    form = velnet.Binary


class VelNetWebSocket(VelNet):
    kind = "velnet websocket"
    form = velnet.WebSocket


class VelNetDatagrams(Bystander):
    """A VelNet player that sends datagrams to itself, through the front door."""

    kind = "velnet udp"
    interval = 0.02
    _head = struct.Struct(">BI")

    async def enter(self) -> None:
        self._stream = self.server.connect()
        self._stream.sendall(velnet.Binary.login + KEEP_ALIVE)
        self._id = self._head.unpack(self._stream.recv(self._head.size))[1]
        velnet.settle([self._stream])
        udp = socket.socket(type=socket.SOCK_DGRAM)
        udp.bind((self.server.source, 0))
        udp.connect((self.server.host, self.server.port))
        udp.settimeout(PATIENCE)
        udp.send(self._head.pack(0, self._id))
        udp.recv(16)
        self._stream.setblocking(False)
        self._turns = count()
        udp.setblocking(False)
        loop = asyncio.get_running_loop()
        _, self._ear = await loop.create_datagram_endpoint(Ear, sock=udp)

    async def ask(self) -> None:
        if not next(self._turns) % 50:
            self._keep_alive()
        content = numbered()
        self._ear.transport.sendto(self._head.pack(0x0A, self._id) + content)
        await asyncio.wait_for(self._ear.expect(content), UNANSWERED)

    def _keep_alive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._stream.send(KEEP_ALIVE)
            if not self._stream.recv(_READ):
                raise ConnectionError("cut off")

    def close(self) -> None:
        super().close()
        self._ear.transport.abort()
        self._stream.close()


class VCMIChat(Talk):
    """Four launchers that talk in their room."""

    kind = "vcmi chat"
    interval = 0.05

    def connect(self) -> list[socket.socket]:
        room = "bystanders"
        players = [vcmi.log_in(self.server, f"bystander{number}") for number in range(4)]
        players[0].sendall(vcmi.say(f"<NEW>{room}<PSWD><COUNT>4<MODS>"))
        vcmi.read_until(players[0], rb":>>CREATED:")
        for number, player in enumerate(players[1:], 1):
            player.sendall(vcmi.say(f"<JOIN>{room}<PSWD><MODS>"))
            vcmi.read_until(player, b":>>JOIN:%b:bystander%d" % (room.encode(), number))
        return players

    def said(self, content: bytes) -> bytes:
        return vcmi.frame(b"<MSG>" + content)


class VCMIPipe(Talk):
    """The two sides of a VCMI game."""

    kind = "vcmi pipe"
    interval = 0.02

    def connect(self) -> list[socket.socket]:
        return list(vcmi.start_pipe(self.server, "piped"))

    def said(self, content: bytes) -> bytes:
        return content.ljust(64)


class Ping(Bystander):
    """Five players in tic-tac-toe, each of whom pings the server ten times a second."""

    kind = "tictactoe ping"
    interval = 0.02
    players = 5

    async def enter(self) -> None:
        self._turns = count()
        self._ear = Ear()
        self._clients = [tictactoe.Client() for _ in range(self.players)]
        for number, client in enumerate(self._clients):
            client.pongs = self._ear.datagram_received
            await client.log_in(self.server.port, f"pinging-{number}", self.server.source)
            client.listener = lambda message: None

    async def ask(self) -> None:
        client = self._clients[next(self._turns) % self.players]
        if client.closed:
            raise ConnectionError("cut off")
        content = numbered()
        client.send(bytes([0x89, 0x80 | len(content)]) + bytes(4) + content)
        await self._ear.expect(content)

    def close(self) -> None:
        super().close()
        for client in self._clients:
            client.close()


class Move(Bystander):
    """A match of tic-tac-toe: a move lasts until both players know of it."""

    kind = "tictactoe move"
    interval = 0.1
    most = 1  # a player waits for the other

    async def enter(self) -> None:
        self._players = tictactoe.Client(), tictactoe.Client()
        self._names = "moving-a", "moving-b"
        for player, name in zip(self._players, self._names, strict=True):
            await player.log_in(self.server.port, name, self.server.source)
        self._left: list[tuple[int, bytes]] = []

    async def ask(self) -> None:
        if not self._left:
            await self._begin()
        side, move = self._left.pop(0)
        self._players[side].send(move)
        for player in self._players:
            await player.hear(b'"match_update"')

    async def _begin(self) -> None:
        self._players[0].say("match_request", player=self._names[1])
        update = await self._players[0].hear(b'"match_update"')
        await self._players[1].hear(b'"match_update"')
        match_id = re.findall(rb"[0-9a-f]{32}", update)[0]
        self._left = [(turn % 2, move) for turn, move in enumerate(tictactoe.moves(match_id))]

    def close(self) -> None:
        super().close()
        for player in self._players:
            player.close()


class TileGame(Bystander):
    """A Tile-Game player that walks: the answer to its position, and how late each state is."""

    kind = "tilegame walk"
    states = "tilegame states"
    name = "walker"

    async def enter(self) -> None:
        self._reader, self._writer = await opened(self.server, self.server.source)
        await joined_tilegame(self._reader, self._writer, self.name)

    async def run(self) -> None:
        now = asyncio.get_running_loop().time
        due = now()
        numbers = count()
        while not self.over:
            number = next(numbers)
            self._writer.write(wire.GLGAME_REQ)
            with self.book.waiting(self.states, due):
                await self._reader.readexactly(wire.BLOCK)
                size = int.from_bytes(await self._reader.readexactly(2), "big")
                await self._reader.readexactly(size - 2 + wire.BLOCK)
            due = now() + 1 / TPS
            self._writer.write(position(self.name, number % 1_000, -number % 1_000))
            with self.book.waiting(self.kind, now()):
                await self._reader.readexactly(wire.BLOCK)

    def close(self) -> None:
        self._writer.transport.abort()


class TwisteR(Bystander):
    """Tanks that ask for the poses of all, one after the other."""

    kind = "twister get_data"
    interval = 0.05
    tanks = 20

    async def enter(self) -> None:
        self._idle: asyncio.Queue[tuple[Tank, bytes]] = asyncio.Queue()
        for _ in range(self.tanks):
            tank = Tank(self.server)
            tank.enter()
            tank.socket.setblocking(False)
            who = {"key": tank.key, "id": tank.id, "client_timeout_ms": 0}
            self._idle.put_nowait((tank, asked("get_data", who)))

    async def ask(self) -> None:
        loop = asyncio.get_running_loop()
        tank, request = await self._idle.get()
        try:
            with contextlib.suppress(BlockingIOError):
                while tank.socket.recv(_READ):  # what came too late
                    pass
            tank.socket.send(request)
            answer = await asyncio.wait_for(loop.sock_recv(tank.socket, _READ), UNANSWERED)
        finally:
            self._idle.put_nowait((tank, request))
        if not answer.startswith(b'{"status": 0'):
            raise ConnectionError(f"answered by {answer[:80]!r}")

    def close(self) -> None:
        super().close()
        while not self._idle.empty():
            self._idle.get_nowait()[0].socket.close()


async def opened(server: Server, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A new connection from this address."""
    return await asyncio.open_connection(
        server.host, server.port, limit=_READ, local_addr=(source, 0)
    )


async def joined_tilegame(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str
) -> bytes:
    """Join Tile-Game; return its last answer, which may be that it is full."""
    for request, end in (
        (wire.RECOGNITION_REQ, wire.RECOGNITION_RES),
        (wire.MAPDATA_REQ, wire.MAPDATA_EOS),
        (wire.PLAYERJOIN_REQ, wire.PLAYERJOIN_RES),
    ):
        writer.write(request)
        await reader.readuntil(end)
    writer.write(name.encode())
    return await reader.readexactly(wire.BLOCK)


class Newcomer(Bystander):
    """
    Fresh log-ins, each over a new connection from another address.

    That a game is full is an answer, too; everything else but a log-in is a loss.
    """

    interval = 0.05

    def __init__(self, server: Server, book: Book) -> None:
        super().__init__(server, book)
        self._logins = count()

    async def ask(self) -> None:
        number = next(self._logins)
        source = f"127.3.{number // 250 % 250}.{number % 250 + 1}"
        await self.log_in(number, source)

    async def log_in(self, number: int, source: str) -> None:
        reader, writer = await opened(self.server, source)
        try:
            await self.greet(reader, writer, number)
        finally:
            writer.transport.abort()

    async def greet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        """Log in."""

    @property
    def over(self) -> bool:
        return self.book.closing  # the next one may have more luck


class VelNetNewcomer(Newcomer):
    kind = "velnet log-in"

    async def greet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        writer.write(velnet.Binary.login + KEEP_ALIVE)
        await reader.readexactly(9 + 9 + 9)


class VCMINewcomer(Newcomer):
    kind = "vcmi log-in"

    async def greet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        writer.write(vcmi.greeting(f"newcomer{number}"))
        await reader.readuntil(vcmi.WELCOME)


class TileGameNewcomer(Newcomer):
    kind = "tilegame log-in"

    async def greet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        answer = await joined_tilegame(reader, writer, f"new{number}")
        if answer not in (wire.PLAYEROBJ_RES, wire.MAXPLAYERS_ERR):
            raise ConnectionError(f"answered by {answer!r}")


class TicTacToeNewcomer(Newcomer):
    """With a password, which costs some 50 ms of processor time."""

    kind = "tictactoe log-in"
    interval = 0.5

    async def enter(self) -> None:
        for number, _ in enumerate(ACCOUNTS):
            await self.log_in(number, self.server.source)

    async def log_in(self, number: int, source: str) -> None:
        client = tictactoe.Client()
        name = ACCOUNTS[number % len(ACCOUNTS)]
        try:
            await client.log_in(self.server.port, name, source)
        finally:
            client.close()


class TwisteRNewcomer(Newcomer):
    kind = "twister log-in"

    async def log_in(self, number: int, source: str) -> None:
        loop = asyncio.get_running_loop()
        who = {"key": f"newcomer{number}", "id": None, "client_timeout_ms": 0}
        with socket.socket(type=socket.SOCK_DGRAM) as tank:
            tank.setblocking(False)
            tank.bind((source, 0))
            tank.connect((self.server.host, self.server.port))
            tank.send(asked("connect", who))
            answer = await asyncio.wait_for(loop.sock_recv(tank, _READ), UNANSWERED)
            if found := re.fullmatch(rb'{"status": 0, "response": (\d+)}', answer):
                tank.send(asked("disconnect", {**who, "id": int(found[1])}))
            elif not answer.startswith(b'{"status": -1,'):
                raise ConnectionError(f"answered by {answer[:80]!r}")


class SlowReaders(Bystander):
    """Four honest clients on slow lines, which read 1 MB/s: they must not be cut off."""

    interval = 0.05
    _piece = 50_000  # bytes, for each interval
    sign_of_life: ClassVar[bytes]

    def connect(self, number: int) -> socket.socket:
        """A client that has logged in."""
        raise NotImplementedError

    async def enter(self) -> None:
        self._clients = [self.connect(number) for number in range(4)]
        for client in self._clients:
            client.setblocking(False)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for turn in count():
            due += self.interval
            await asyncio.sleep(due - loop.time())
            for client in list(self._clients):
                with contextlib.suppress(BlockingIOError):
                    try:
                        if not turn % 40:
                            client.send(self.sign_of_life)
                        if not client.recv(self._piece):
                            raise ConnectionError("cut off")
                    except ConnectionError as error:
                        self.book.lost.append((self.kind, due, str(error)))
                        self._clients.remove(client)

    def close(self) -> None:
        for client in self._clients:
            client.close()


class SlowLaunchers(SlowReaders):
    kind = "vcmi slow reader"
    sign_of_life = vcmi.say("<ALIVE>")

    def connect(self, number: int) -> socket.socket:
        return vcmi.log_in(self.server, f"slow{number}")


class SlowVelNet(SlowReaders):
    """They are in the room in which attackers make noise."""

    kind = "velnet slow reader"
    sign_of_life = KEEP_ALIVE

    def connect(self, number: int) -> socket.socket:
        client = self.server.connect()
        client.sendall(velnet.Binary.login + KEEP_ALIVE)
        velnet.settle([client], 0.05)
        client.sendall(velnet.Binary.join.replace(b"bench", b"noise"))
        return client


KINDS: tuple[type[Bystander], ...] = (
    VelNetText,
    VelNetBinary,
    VelNetWebSocket,
    VelNetDatagrams,
    VelNetNewcomer,
    VCMIPipe,
    VCMIChat,
    VCMINewcomer,
    Ping,
    Move,
    TicTacToeNewcomer,
    TileGame,
    TileGameNewcomer,
    TwisteR,
    TwisteRNewcomer,
    SlowLaunchers,
    SlowVelNet,
)


class Bystanders:
    """All bystanders of a server."""

    def __init__(self, server: Server) -> None:
        self.book = Book()
        self._all = [
            kind(replace(server, source=f"127.0.2.{number}"), self.book)
            for number, kind in enumerate(KINDS, 1)
        ]
        self._entered: list[Bystander] = []
        self._running: list[asyncio.Task[None]] = []

    async def enter(self) -> None:
        """
        Let all of them come and begin.

        @raise OSError: the server does not let one in, or does not answer in time.
        """
        for bystander in self._all:
            await asyncio.wait_for(bystander.enter(), PATIENCE)
            self._entered.append(bystander)
        self._running = [asyncio.create_task(each.run()) for each in self._all]
        self._running.append(asyncio.create_task(self._watch_self()))

    async def _watch_self(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.005
            await asyncio.sleep(0.005)
            self.book.waits[OWN_LAG].append((due, max(0.0, loop.time() - due)))

    async def finish(self, patience: float) -> None:
        """Ask nothing more, and wait at most this many seconds for the answers."""
        self.book.closing = True
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        while self.book.open and loop.time() < end:
            await asyncio.sleep(0.01)
        self.book.close()

    def close(self) -> None:
        for task in self._running:
            task.cancel()
        for bystander in self._entered:
            bystander.close()
