"""
The game in memory: a factory with a clock in the test's hands, and clients with their ends.
"""

from __future__ import annotations

from functools import cache

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from gameservers.games.tilegame.generation import Terrain
from gameservers.games.tilegame.protocol import TileGameFactory
from gameservers.games.tilegame.service import WorldService
from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.world import Kept
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from tests.games.tilegame.reading import TOKEN, Map, State, messages, position


@cache
def tiles_of(seed: str, theme: str, side: int) -> bytes:
    return Terrain(seed, theme, side).rows(0, side)


class Made:
    """A terrain that was made before, for another test."""

    def __init__(self, seed: str = "transcript1", theme: str = "default", side: int = 64) -> None:
        self.seed = seed
        self.theme = theme
        self.side = side

    def rows(self, first: int, end: int) -> bytes:
        return tiles_of(self.seed, self.theme, self.side)[first * self.side : end * self.side]


class MemoryKeeper:
    """Keeps the world until the test is over."""

    def __init__(self, kept: Kept | None = None) -> None:
        self.kept = kept
        self.saved = 0

    def load(self) -> Deferred[Kept | None]:
        return succeed(self.kept)

    def save(self, world: Kept) -> Deferred[None]:
        self.kept = world
        self.saved += 1
        return succeed(None)


class Threads:
    """Does work when it is told to."""

    def __init__(self) -> None:
        self.work = []

    def __call__(self, function, *arguments) -> Deferred:
        done = Deferred()
        self.work.append((done, function, arguments))
        return done

    def do(self) -> None:
        work, self.work = self.work, []
        for done, function, arguments in work:
            maybeDeferred(function, *arguments).chainDeferred(done)


class Transport(StringTransport):
    """Remembers each write, asks a pull producer until it is silent, and can be reset."""

    def __init__(self, host: str) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", host, 40000), lenient=True)
        self.writes: list[bytes] = []
        self.reset = False
        self.blocked = False
        self.protocol = None

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        super().write(data)

    def registerProducer(self, producer, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        self.pull()

    def pull(self) -> None:
        while self.producer is not None and not self.blocked:
            self.producer.resumeProducing()

    def abortConnection(self) -> None:
        super().abortConnection()
        self.reset = True
        self.lose(Failure(ConnectionAborted()))

    def lose(self, why: Failure) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(why)


class Client:
    """One end of a connection: what it sends arrives at once."""

    def __init__(self, game: Game, host: str) -> None:
        self.game = game
        self.protocol = game.factory.buildProtocol(None)
        self.transport = self.protocol_transport = Transport(host)
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def send(self, *data: bytes | str) -> None:
        """Send bytes and tokens, in one segment."""
        stream = b"".join(TOKEN[each] if isinstance(each, str) else each for each in data)
        if self.transport.connected:
            self.protocol.dataReceived(stream)

    def close(self) -> None:
        self.transport.lose(Failure(ConnectionDone()))

    @property
    def connected(self) -> bool:
        return self.transport.connected

    @property
    def reading(self) -> bool:
        """Whether the server reads what is sent."""
        return self.transport.producerState == "producing"

    def received(self) -> list[str | Map | State]:
        """What the server said since this was asked last."""
        stream = self.transport.value()
        self.transport.clear()
        return messages(stream)

    def join(self, name: str) -> list[str | Map | State]:
        """The handshake up to the answer to the name."""
        for message in ("RECOGNITION_REQ", "MAPDATA_REQ", "PLAYERJOIN_REQ", name.encode()):
            self.send(message)
        return self.received()

    def state(self) -> State:
        """Ask for a state, when it is time for one."""
        self.game.clock.advance(1 / self.game.settings.tps)
        self.received()
        self.send("GLGAME_REQ")
        _, state, _ = self.received()
        return state

    def move(self, name: str, x: int, y: int) -> list[str | Map | State]:
        self.send(position(name, x, y))
        return self.received()


class Game:
    """The game, with its world and its lobby."""

    def __init__(self, terrain=None, keeper=None, in_thread=maybeDeferred, stop=None, **settings):
        self.settings = TileGameSettings(**settings)
        self.clock = Clock()
        self.lobby = Lobby(self.clock, Metrics())
        self.keeper = keeper or MemoryKeeper()
        self.terrain = terrain or Made()
        self.worlds = WorldService(
            lambda: self.terrain, self.keeper, self.settings, self.clock, in_thread
        )
        self.factory = TileGameFactory(self.lobby, self.clock, self.worlds, self.settings, stop)
        self.worlds.startService()

    @property
    def world(self):
        return self.worlds.room.world

    def connect(self, host: str = "192.0.2.1") -> Client:
        return Client(self, host)

    def play(self, name: str, host: str = "192.0.2.1") -> Client:
        client = self.connect(host)
        assert client.join(name)[-1] == "PLAYEROBJ_RES"
        return client
