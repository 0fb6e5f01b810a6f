"""
The game in memory: its service on a network in the test's hands, and clients.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

from twisted.internet.defer import Deferred, maybeDeferred, succeed

from gameservers.games import Dependencies
from gameservers.games.tilegame import game
from gameservers.games.tilegame.generation import Terrain
from gameservers.games.tilegame.protocol import TileGameProtocol
from gameservers.games.tilegame.service import TileGameService
from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.world import Change, SavedWorld
from gameservers.games.tilegame.worlds import WorldService
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from gameservers.net.door import WireFactory
from gameservers.net.guard import place_of
from tests.games.tilegame.reading import TOKEN, Map, State, messages, position
from tests.transports import Network


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
    """
    Keeps the world until the test is over.

    @ivar saved: how often the whole world was saved.
    """

    def __init__(self, kept: SavedWorld | None = None) -> None:
        self.kept = kept
        self.saved = 0

    def load(self) -> Deferred[SavedWorld | None]:
        return succeed(self.kept)

    def append(self, change: Change) -> Deferred[None]:
        assert self.kept is not None
        self.kept = replace(self.kept, changes=(*self.kept.changes, change))
        return succeed(None)

    def save(self, world: SavedWorld, contained: int | None = None) -> Deferred[None]:
        later: tuple[Change, ...] = ()
        if self.kept is not None and contained is not None:
            later = tuple(each for each in self.kept.changes if each.number > contained)
        self.kept = replace(world, changes=later)
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


class Client:
    """A client's end of a connection."""

    def __init__(self, game: Game, host: str) -> None:
        self.game = game
        self.peer = game.clock.connect(game.factory, host)
        self._heard = b""

    def send(self, *data: bytes | str) -> None:
        """Send bytes and tokens, in one segment."""
        stream = b"".join(TOKEN[each] if isinstance(each, str) else each for each in data)
        self.peer.send(stream)

    def close(self) -> None:
        self.peer.end()

    @property
    def connected(self) -> bool:
        self.game.clock.turn()
        return not self.peer.ended

    @property
    def reset(self) -> bool:
        """Whether the server has ended the connection in the way that the client notices."""
        self.game.clock.turn()
        return self.peer.aborted

    def received(self) -> list[str | Map | State]:
        """What the server said since this was asked last."""
        return messages(self.peer.received())

    def heard(self) -> bytes:
        """Everything that the server said, if this alone was asked."""
        self._heard += self.peer.received()
        return self._heard

    def join(self, name: str) -> list[str | Map | State]:
        """The handshake up to the answer to the name."""
        for message in ("RECOGNITION_REQ", "MAPDATA_REQ", "PLAYERJOIN_REQ", name.encode()):
            self.send(message)
        return self.received()

    def state(self) -> State:
        """Ask for a state, when it is time for one."""
        self.game.clock.turn(1 / self.game.settings.tps)
        self.received()
        self.send("GLGAME_REQ")
        _, state, _ = self.received()
        return state

    def move(self, name: str, x: int, y: int) -> list[str | Map | State]:
        self.send(position(name, x, y))
        return self.received()


class Game:
    """The game, with its world and its lobby."""

    def __init__(
        self,
        terrain=None,
        keeper=None,
        in_thread=maybeDeferred,
        stop=None,
        place_of=place_of,
        **settings,
    ):
        # Here most players come from one address.
        self.settings = TileGameSettings(**{"max_per_address": 1_000, **settings})
        self.clock = Network()
        self.metrics = Metrics()
        self.lobby = Lobby(self.clock, self.metrics)
        self.keeper = keeper or MemoryKeeper()
        self.terrain = terrain or Made()
        dependencies = Dependencies(
            game.name, self.lobby, self.clock, self.settings, self.metrics, place_of=place_of
        )
        self.worlds = WorldService(dependencies, lambda: self.terrain, self.keeper, in_thread)
        self.service = TileGameService(dependencies, self.worlds, stop)
        self.factory = WireFactory(partial(TileGameProtocol, self.service))
        self.service.startService()

    @property
    def world(self):
        return self.worlds.room.world

    @property
    def cuts(self) -> dict[str, int]:
        """How many connections were cut off, by reason."""
        self.clock.turn()
        return {reason: count for (_, reason), count in self.metrics.cuts.items()}

    @property
    def present(self) -> int:
        """How many players the lobby knows."""
        return self.lobby.present(game.name)

    def stop(self) -> Deferred:
        """The server stops."""
        stopped = self.service.stopService()
        self.clock.turn()
        return stopped

    def connect(self, host: str = "192.0.2.1") -> Client:
        return Client(self, host)

    def play(self, name: str, host: str = "192.0.2.1") -> Client:
        client = self.connect(host)
        assert client.join(name)[-1] == "PLAYEROBJ_RES"
        return client
