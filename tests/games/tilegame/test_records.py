"""
Where the world is kept, on every database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from gameservers.games.tilegame.records import MAX_CONTENT, SCHEMA, TileGameRecords, worlds
from gameservers.games.tilegame.world import LARGEST, Change, SavedWorld, Tile, World
from gameservers.store import BadDatabase, Store, StoreSettings
from tests.store import databases


class RecordsTests:
    """The mixin: C{database} makes one and gives its URL."""

    database: databases.Database

    async def setUp(self) -> None:
        made = type(self).database()
        url = made.__enter__()
        self.addCleanup(made.__exit__, None, None, None)
        self.now = datetime(2027, 1, 15, tzinfo=UTC)
        self.store = Store(StoreSettings(database=url), reactor, [SCHEMA])
        self.store.startService()
        self.addCleanup(self.store.stopService)
        self.records = TileGameRecords(self.store, lambda: self.now)
        await self.store.ready()

    async def test_saved(self) -> None:
        """What was saved last is loaded, byte for byte, and it is known when that was."""
        self.assertIsNone(await self.records.load())
        for content in (bytes(range(256)) * 400, b""):
            self.now += timedelta(minutes=1)
            kept = SavedWorld('{"seed": "x"}', content)
            await self.records.save(kept)
            self.assertEqual(await self.records.load(), kept)
            (row,) = await self.store.ask(lambda c: c.execute(select(worlds)).all())
            self.assertEqual(row.saved_at, self.now)

    async def test_size(self) -> None:
        """What is larger than every world is refused, and what was kept stays."""
        largest = SavedWorld("{}", b"'" * MAX_CONTENT)
        await self.records.save(largest)
        try:
            await self.records.save(SavedWorld("{}", bytes(MAX_CONTENT + 1)))
        except ValueError:
            pass
        else:
            self.fail("it was saved")
        self.assertEqual(await self.records.load(), largest)

    async def test_changes(self) -> None:
        """They come back in order, those of one moment and of several, until a world has them."""
        world = SavedWorld("{}", b"x")
        await self.records.save(world)
        new = [Change(number, number % 192, 191) for number in range(1, 301)]
        await gatherResults([self.records.append(each) for each in new[:200]])
        for each in new[200:203]:
            await self.records.append(each)
        saved = self.records.save(world, 150)
        await gatherResults([saved, *map(self.records.append, new[203:])])
        self.assertEqual((await self.records.load()).changes, tuple(new[150:]))
        await self.records.save(world)  # another one
        self.assertEqual(await self.records.load(), world)

    async def test_waits_for_the_store(self) -> None:
        """Nothing is asked of a store before it is ready, and its failure is ours."""
        ready: Deferred[None] = Deferred()
        self.patch(self.store, "ready", lambda: ready)
        loaded = self.records.load()
        self.assertNoResult(loaded)
        ready.errback(BadDatabase("no table could be made"))
        self.failureResultOf(loaded, BadDatabase)

    async def test_largest_world(self) -> None:
        """The largest and most varied of worlds fits."""
        tiles = bytes([Tile.COBBLESTONE, Tile.SAND] * (LARGEST**2 // 2))
        world = World("x" * 256, "hell_islands", tiles)
        for at in range(0, LARGEST**2, 2):
            world.bits[at >> 3] ^= at & 0xFF
        await self.records.save(world.keep())
        self.assertEqual(World.restore(await self.records.load()).tiles, world.tiles)


class MemoryTests(RecordsTests, TestCase):
    database = databases.memory


class SqliteTests(RecordsTests, TestCase):
    database = databases.sqlite


class PostgresqlTests(RecordsTests, TestCase):
    database = databases.postgresql


class MariadbTests(RecordsTests, TestCase):
    database = databases.mariadb
