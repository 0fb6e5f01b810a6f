"""
The world's life cycle: loaded or generated at the start, saved periodically and at the stop.

A broken tile is saved before anybody sees it, so that no player sees one that a sudden end of the
process could bring back.  While the database is away or slow the game goes on: a tile that waits
for longer than C{save_timeout} breaks all the same, and so do the next ones at once, until the
whole world could be saved; they would be lost with the process.

Long computations are done in threads; players that connect before the end of them wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred, succeed
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
from gameservers.games.tilegame.world import Change, World, encode_map
from gameservers.store import StoreError

#: Calls a function with arguments, in a thread.
InThread = Callable[..., Deferred[Any]]

#: Number of parts in which a world is generated; the end of each is logged.
PARTS = 4

#: How often in a row the whole world is saved at most, if it changes meanwhile.
SAVES = 5


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
        self._clock = dependencies.clock
        self._saving = DeferredLock()
        self._saved: int | None = None  # the revision of this world that is in the store
        self._behind = False  # whether some broken tile is not in the store
        self._number = 0  # of the last change
        self._pending: dict[int, None] = {}  # the numbers of the changes that are being saved
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

    def break_tile(self, x: int, y: int) -> Deferred[None]:
        """
        Break a tile of the room's world, and save that.

        @return: fires when the tile is broken.
        """
        assert self.room is not None
        world = self.room.world
        if self._behind or self._saved is None:
            world.break_tile(x, y)
            return succeed(None)
        self._number += 1
        change = Change(self._number, x, y)
        self._pending[change.number] = None
        broken: Deferred[None] = Deferred()

        def break_it() -> None:
            world.break_tile(x, y)
            broken.callback(None)

        def late() -> None:
            break_it()
            self._fall_behind(f"no answer from the database in {patience:g} seconds")

        def answered(result: Failure | None) -> None:
            del self._pending[change.number]
            if timer.active():
                timer.cancel()
                break_it()
            if result is not None:
                if not result.check(StoreError):
                    self._log.failure("{game} met a bug", result, game=self._game)
                self._fall_behind(result.getErrorMessage())

        patience = self._settings.save_timeout
        timer = self._clock.callLater(patience, late)
        self._records.append(change).addBoth(answered)
        return broken

    def _fall_behind(self, why: str) -> None:
        """Note that a broken tile is not saved, and try to save the whole world."""
        if self._behind:
            return
        self._behind = True
        self._log.error("Broken tiles are not saved now: {why}", why=why)
        self.save().addErrback(
            lambda failure: self._log.failure("{game} met a bug", failure, game=self._game)
        )

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
            if world is not None:
                await self._store(world)  # before any change to it
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
        self._saved = 0  # the map; what was broken since is in the store by itself
        self._number = max((change.number for change in kept.changes), default=0)
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
        world = None if self.room is None else self.room.world
        for _ in range(SAVES):
            if world is None or self._saved == world.revision:
                if self._behind:
                    self._behind = False
                    self._log.info("Broken tiles are saved again")
                return
            if not await self._store(world) or not self._behind:
                return

    async def _store(self, world: World) -> bool:
        """Save the whole world; returns whether that was possible."""
        revision = world.revision
        last = min(self._pending, default=self._number + 1) - 1
        contained = None if self._saved is None else last
        copy = World(world.seed, world.theme, world.tiles, world.bits)
        try:
            await self._records.save(await self._in_thread(copy.keep), contained)
        except (StoreError, ValueError) as error:
            self._log.error("The world was not saved: {why}", why=error)
            return False
        self._saved = revision
        return True

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
