"""
The life of the world: made, kept, brought back.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tilegame.world import Change, SavedWorld, World
from gameservers.store import BadDatabase, Unavailable
from tests.games.tilegame.reading import broken, position
from tests.games.tilegame.support import Game, Made, MemoryKeeper, Threads


class Slow:
    """A store that saves changes when it is told to."""

    def __init__(self, game: Game) -> None:
        self.waiting: list[tuple[Change, Deferred[None]]] = []
        self.append = game.keeper.append
        game.keeper.append = self.wait

    def wait(self, change: Change) -> Deferred[None]:
        self.waiting.append((change, Deferred()))
        return self.waiting[-1][1]

    def go(self) -> None:
        waiting, self.waiting = self.waiting, []
        for change, deferred in waiting:
            self.append(change).chainDeferred(deferred)


class MakingTests(SynchronousTestCase):
    def test_progress(self) -> None:
        """A world is made in a thread, part by part, and each is logged."""
        threads = Threads()
        with capturedLogs() as logged:
            game = Game(in_thread=threads)
            rounds = 0
            while threads.work:
                threads.do()
                rounds += 1
        self.assertEqual(rounds, 5)  # four parts, to save it
        self.assertEqual(
            [each["percent"] for each in logged if "percent" in each], [25, 50, 75, 100]
        )
        self.assertEqual(game.world.side, 64)

    def test_nothing_is_done_before_the_start(self) -> None:
        threads = Threads()
        game = Game(in_thread=threads)
        self.assertEqual(len(threads.work), 1)
        self.assertIsNone(game.worlds.room)

    def test_stopped_while_it_is_made(self) -> None:
        """The server need not wait for a world that nobody will see."""
        threads = Threads()
        game = Game(in_thread=threads)
        threads.do()
        threads.do()
        self.successResultOf(game.stop())
        threads.do()
        self.assertEqual(threads.work, [])
        self.assertIsNone(game.worlds.room)
        self.assertIsNone(game.keeper.kept)

    def test_stopped_while_it_is_restored(self) -> None:
        """A world that comes too late begins nothing."""
        threads = Threads()
        kept = World("old", "hell", bytes(64**2)).keep()
        game = Game(keeper=MemoryKeeper(kept), in_thread=threads)
        self.successResultOf(game.stop())
        while threads.work:
            threads.do()
        self.assertIsNone(game.worlds.room)
        self.assertEqual(game.clock.getDelayedCalls(), [])


class KeepingTests(SynchronousTestCase):
    def test_restart(self) -> None:
        """A restart brings the same world back, with its broken tiles, whatever is asked for."""
        game = Game()
        alice = game.play("alice")
        alice.send(broken("alice", 8, 0), broken("alice", 20, 63))
        self.successResultOf(game.stop())
        again = Game(Made("another", "hell", 128), game.keeper)
        self.assertEqual(again.world.seed, "transcript1")
        self.assertEqual(again.world.tiles, game.world.tiles)
        self.assertEqual(again.play("bob").state().bits, bytes(game.world.bits))
        self.assertNotEqual(game.world.bits, bytes(512))

    def test_restart_is_not_saved(self) -> None:
        """A world that has not changed is not written again."""
        game = Game()
        self.successResultOf(game.stop())
        self.assertEqual(game.keeper.saved, 1)
        again = Game(keeper=game.keeper)
        again.clock.turn(100)
        self.successResultOf(again.stop())
        self.assertEqual(game.keeper.saved, 1)

    def test_new_world(self) -> None:
        """As an option another one is made in its place."""
        keeper = MemoryKeeper(World("old", "hell", bytes(64**2)).keep())
        self.assertEqual(Game(keeper=keeper).world.seed, "old")
        self.assertEqual(Game(keeper=keeper, new_world=True).world.seed, "transcript1")
        self.assertEqual(Game(Made("x"), keeper).world.seed, "transcript1")

    def test_saved_from_time_to_time(self) -> None:
        """A new world is kept at once, a broken tile after some time, and nothing else."""
        game = Game(save_interval=30.0)
        self.assertEqual(game.keeper.saved, 1)
        game.clock.turn(30)
        self.assertEqual(game.keeper.saved, 1)
        game.world.break_tile(8, 0)
        game.clock.turn(29)
        self.assertEqual(game.keeper.saved, 1)
        game.clock.turn(1)
        self.assertEqual(game.keeper.saved, 2)
        self.assertTrue(World.restore(game.keeper.kept).is_broken(8, 0))

    def test_stop_waits_for_what_is_being_saved(self) -> None:
        """The last saving comes after the one that is under way."""
        threads = Threads()
        game = Game(in_thread=threads)
        while threads.work:
            threads.do()
        game.world.break_tile(8, 0)
        game.clock.turn(30)
        game.world.break_tile(20, 63)
        stopped = game.stop()
        self.assertNoResult(stopped)
        threads.do()
        self.assertNoResult(stopped)
        threads.do()
        self.successResultOf(stopped)
        self.assertEqual(game.keeper.saved, 3)
        self.assertTrue(World.restore(game.keeper.kept).is_broken(20, 63))

    def test_no_room_to_save(self) -> None:
        """A store that fails is logged, and the game goes on; the next time may be better."""
        for failure in (Unavailable("the disk is full"), ValueError("a world is too large")):
            game = Game()
            save = game.keeper.save
            self.patch(game.keeper, "save", lambda *_, failure=failure: fail(failure))
            game.world.break_tile(8, 0)
            with capturedLogs() as logged:
                game.clock.turn(30)
            [error] = [each for each in logged if each["log_level"] is LogLevel.error]
            self.assertIs(error["why"], failure)
            self.patch(game.keeper, "save", save)
            game.clock.turn(30)
            self.assertTrue(World.restore(game.keeper.kept).is_broken(8, 0))

    def test_saved_before_it_is_seen(self) -> None:
        """A broken tile is answered and shown when it is saved; what follows waits, as well."""
        game = Game()
        keeper = Slow(game)
        alice, bob = game.play("alice"), game.play("bob")
        alice.state(), bob.state()
        alice.send(broken("alice", 8, 0), position("alice", 1, 1))
        self.assertEqual(alice.received(), [])
        self.assertIsNone(bob.state().bits)
        keeper.go()
        self.assertEqual(alice.received(), ["PACKETRECV_RES"] * 2)
        self.assertEqual(bob.state().bits[:2], b"\0\x80")

    def test_killed(self) -> None:
        """A process that ends without a word has kept what it answered; the next one goes on."""
        game = Game()
        alice = game.play("alice")
        alice.send(broken("alice", 8, 0), broken("alice", 20, 63))
        self.assertEqual(game.keeper.saved, 1)
        again = Game(keeper=MemoryKeeper(game.keeper.kept))
        self.assertEqual(again.world.bits, game.world.bits)
        self.assertEqual(again.keeper.saved, 1)  # the whole world
        self.assertEqual(again.keeper.kept.changes, ())
        again.play("bob").send(broken("bob", 9, 0))
        self.assertEqual(again.keeper.kept.changes, (Change(3, 9, 0),))

    def test_player_leaves_meanwhile(self) -> None:
        """What is saved is broken, whoever is there to see it."""
        game = Game()
        keeper = Slow(game)
        alice = game.play("alice")
        alice.send(broken("alice", 8, 0))
        alice.close()
        keeper.go()
        self.assertTrue(game.world.is_broken(8, 0))
        self.assertEqual(game.present, 0)

    def test_broken_while_the_world_is_saved(self) -> None:
        """A change stays with the world until a world is saved that contains it."""
        threads = Threads()
        game = Game(in_thread=threads)
        while threads.work:
            threads.do()
        alice = game.connect()
        alice.send("RECOGNITION_REQ", "MAPDATA_REQ")
        threads.do()
        alice.send("PLAYERJOIN_REQ", b"alice")
        keeper = Slow(game)
        alice.send(broken("alice", 8, 0))
        keeper.go()
        alice.send(broken("alice", 20, 63))
        game.clock.turn(0.5)
        saved = game.worlds.save()  # while the second one waits
        keeper.go()
        alice.send(broken("alice", 9, 0))
        keeper.go()
        threads.do()
        self.successResultOf(saved)
        self.assertEqual(game.keeper.saved, 2)
        self.assertEqual([each.number for each in game.keeper.kept.changes], [2, 3])
        self.assertEqual(World.restore(game.keeper.kept).bits, game.world.bits)

    def test_store_is_slow(self) -> None:
        """A tile waits only for a while, and the next ones do not; then the world is saved."""
        game = Game(save_timeout=1.0)
        keeper = Slow(game)
        save = self.patch(game.keeper, "save", lambda *_: Deferred())
        alice = game.play("alice")
        alice.send(broken("alice", 8, 0))
        game.clock.turn(0.9)
        self.assertNotIn("PACKETRECV_RES", alice.received())
        with capturedLogs() as logged:
            game.clock.turn(0.1)
            alice.send(broken("alice", 20, 63))
        self.assertEqual(alice.received(), ["PACKETRECV_RES"] * 2)
        [error] = [each for each in logged if each["log_level"] is LogLevel.error]
        self.assertIn("1 seconds", error["why"])
        self.assertEqual(len(keeper.waiting), 1)
        save.restore()

    def test_store_fails(self) -> None:
        """Then the whole world is saved as soon as that is possible, and changes after it."""
        game = Game()
        append, save = game.keeper.append, game.keeper.save
        away = Unavailable("away")
        self.patch(game.keeper, "append", lambda _: fail(away))
        self.patch(game.keeper, "save", lambda *_: fail(away))
        alice = game.play("alice")
        with capturedLogs() as logged:
            alice.send(broken("alice", 8, 0), broken("alice", 20, 63))
        self.assertEqual(alice.received(), ["PACKETRECV_RES"] * 2)
        errors = [each for each in logged if each["log_level"] is LogLevel.error]
        self.assertEqual(len(errors), 2)
        self.patch(game.keeper, "append", append)
        self.patch(game.keeper, "save", save)
        for _ in range(3):
            game.clock.turn(10)
            alice.send(position("alice", 0, 0))
        self.assertEqual(World.restore(game.keeper.kept).bits, game.world.bits)
        alice.send(broken("alice", 9, 0))
        self.assertEqual(len(game.keeper.kept.changes), 1)

    def test_store_has_a_bug(self) -> None:
        """It is logged, and costs the player nothing."""
        game = Game()
        self.patch(game.keeper, "append", lambda _: fail(ZeroDivisionError()))
        alice = game.play("alice")
        alice.send(broken("alice", 8, 0))
        self.assertEqual(alice.received(), ["PACKETRECV_RES"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(World.restore(game.keeper.kept).is_broken(8, 0))

    def test_damaged(self) -> None:
        """A world that cannot be read is left alone, the operator told, and nobody let in."""
        damaged = SavedWorld("{}", b"not a world")
        keeper = MemoryKeeper(damaged)
        with capturedLogs() as logged:
            game = Game(keeper=keeper)
        [event] = [each for each in logged if each["log_level"] is LogLevel.critical]
        self.assertIn("--tilegame-new-world", event["remedy"])
        self.assertShut(game)
        self.assertEqual(keeper.kept, damaged)

    def test_unusable_store(self) -> None:
        """So it is if the store fails, which another world would not help."""
        keeper = MemoryKeeper()
        self.patch(keeper, "load", lambda: fail(BadDatabase("no table could be made")))
        with capturedLogs() as logged:
            game = Game(keeper=keeper)
        [event] = [each for each in logged if each["log_level"] is LogLevel.critical]
        self.assertEqual((event["why"], event["remedy"]), ("no table could be made", ""))
        self.assertShut(game)
        self.assertEqual(keeper.saved, 0)

    def assertShut(self, game: Game) -> None:
        """Nobody is let in, and the server can be stopped."""
        client = game.connect()
        client.send("RECOGNITION_REQ", "MAPDATA_REQ")
        self.assertTrue(client.reset)
        self.successResultOf(game.stop())

    def test_stopped_before_the_store_is_ready(self) -> None:
        """Then it is no trouble that there is no world."""
        keeper = MemoryKeeper()
        loaded: Deferred[SavedWorld | None] = Deferred()
        self.patch(keeper, "load", lambda: loaded)
        with capturedLogs() as logged:
            game = Game(keeper=keeper)
            self.successResultOf(game.stop())
            loaded.errback(Unavailable("the store is stopped"))
        self.assertEqual(logged, [])
        self.assertEqual(keeper.saved, 0)

    def test_map_that_cannot_be_packed(self) -> None:
        """If it fails once, those that waited are cut off; the next one may have more luck."""
        game = Game()
        in_thread = game.worlds._in_thread
        self.patch(game.worlds, "_in_thread", lambda *_: fail(MemoryError()))
        client = game.connect()
        client.send("RECOGNITION_REQ", "MAPDATA_REQ")
        self.assertTrue(client.reset)
        self.patch(game.worlds, "_in_thread", in_thread)
        game.play("alice")
