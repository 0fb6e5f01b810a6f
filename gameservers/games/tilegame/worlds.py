"""
The world's life cycle: loaded or generated at the start, saved periodically and at the stop.

Long computations are done in threads; players that connect before the end of them wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from gameservers.games import Dependencies
from gameservers.games.tilegame.generation import SIZES, Terrain, random_seed
from gameservers.games.tilegame.records import TileGameRecords
from gameservers.games.tilegame.room import WorldRoom
from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.wire import payload
from gameservers.games.tilegame.world import World, encode_map
from gameservers.store import StoreError

#: Calls a function with arguments, in a thread.
InThread = Callable[..., Deferred[Any]]

#: Number of parts in which a world is generated; the end of each is logged.
PARTS = 4


def terrain_of(settings: TileGameSettings) -> Terrain:
    """The terrain of a new world."""
    seed = settings.seed or random_seed()
    return Terrain(seed, settings.theme.lower(), SIZES[settings.size.lower()])


def threads_of(clock: Any) -> InThread:
    """A function that does work in a thread of this reactor, or at once if it has none."""

    def in_thread(work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if IReactorThreads.providedBy(clock):
            return deferToThreadPool(clock, clock.getThreadPool(), work, *arguments)
        return maybeDeferred(work, *arguments)

    return in_thread


class WorldService(Service):
    """
    One world and its room.

    @ivar room: L{None} until the world is loaded or generated.
    """

    _log = Logger()

    def __init__(
        self,
        dependencies: Dependencies,
        make: Callable[[], Terrain],
        records: TileGameRecords,
        in_thread: InThread,
    ) -> None:
        """Use C{make} for the terrain, if there is no saved world or a new one is wanted."""
        self._game = dependencies.game
        self._settings = dependencies.settings
        self._make = make
        self._records = records
        self._in_thread = in_thread
        self._saving = DeferredLock()
        self._saved: int | None = None  # the revision
        self._failure: Failure | None = None
        self._wanted: list[Deferred[bytes]] = []
        self._packing = False
        self._packed: tuple[int, bytes] | None = None  # the map and its revision
        self.room: WorldRoom | None = None

    def startService(self) -> None:
        super().startService()
        Deferred.fromCoroutine(self._open()).addErrback(self._cannot)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return self.save()

    def save(self) -> Deferred[None]:
        """Save the world if it has changed."""
        return self._saving.run(lambda: Deferred.fromCoroutine(self._save_change()))

    def map_payload(self) -> Deferred[bytes]:
        """
        The map for a new player, as soon as it exists.

        A tile that is broken while the map is encoded is in the player's first state instead.
        """
        wanted: Deferred[bytes] = Deferred(self._wanted.remove)
        self._wanted.append(wanted)
        self._pack()
        return wanted

    async def _open(self) -> None:
        world = None if self._settings.new_world else await self._restored()
        if world is None and self.running:
            world = await self._made()
        if world is not None and self.running:
            self.room = WorldRoom(world, self._settings)
            self._pack()
            await self.save()

    async def _restored(self) -> World | None:
        """The saved world, if there is one."""
        kept = await self._records.load()
        if kept is None:
            return None
        world: World = await self._in_thread(World.restore, kept)
        self._saved = world.revision
        self._log.info("Loaded the world: {world}", world=kept.description)
        return world

    async def _made(self) -> World | None:
        """A new world, unless the server stops meanwhile."""
        terrain = self._make()
        self._log.info(
            "Generating a new world, {side} tiles square, theme {theme}, seed {seed}",
            side=terrain.side,
            theme=terrain.theme,
            seed=terrain.seed,
        )
        tiles = b""
        for part in range(PARTS):
            if not self.running:
                return None
            first, end = (terrain.side * each // PARTS for each in (part, part + 1))
            tiles += await self._in_thread(terrain.rows, first, end)
            percent = 100 * (part + 1) // PARTS
            self._log.info("{percent} % of a new world are generated", percent=percent)
        return World(terrain.seed, terrain.theme, tiles)

    def _cannot(self, failure: Failure) -> None:
        """Report that there is no world; an unreadable one is replaced only on request."""
        if failure.check(StoreError) and not self.running:  # the store stopped with the game
            return
        self._log.critical(
            "{game} has no world: {why}{remedy}",
            game=self._game,
            why=failure.getErrorMessage(),
            remedy=""
            if failure.check(StoreError)
            else f"; --{self._game}-new-world makes another",
        )
        self._failure = failure
        self._pack()

    async def _save_change(self) -> None:
        if self.room is None or self._saved == self.room.world.revision:
            return
        world = self.room.world
        revision = world.revision
        copy = World(world.seed, world.theme, world.tiles, world.bits)
        try:
            await self._records.save(await self._in_thread(copy.keep))
        except (StoreError, ValueError) as error:
            self._log.error("The world was not saved: {why}", why=error)
        else:
            self._saved = revision

    def _pack(self) -> None:
        """Deliver the map to all that wait for it, once it is encoded."""
        if self._failure is not None:
            self._hand_out(self._failure)
        elif self.room is not None and self._wanted and not self._packing:
            world = self.room.world
            revision = world.revision
            if self._packed is not None and self._packed[0] == revision:
                self._hand_out(self._packed[1])
                return
            self._packing = True
            packed = self._in_thread(_pack_map, *world.snapshot())
            packed.addBoth(self._is_packed, revision)

    def _is_packed(self, result: bytes | Failure, revision: int) -> None:
        self._packing = False
        if not isinstance(result, Failure):
            self._packed = revision, result
        self._hand_out(result)

    def _hand_out(self, result: bytes | Failure) -> None:
        wanted, self._wanted = self._wanted, []
        for each in wanted:
            each.callback(result)  # a failure goes to the errbacks


def _pack_map(side: int, tiles: bytes, bits: bytes) -> bytes:
    return payload(encode_map(side, tiles, bits))
