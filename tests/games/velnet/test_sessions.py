"""How VelNet's sessions go: phases, log-in, generations, time-outs, passwords, limits."""

from __future__ import annotations

from pathlib import Path

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.velnet import session
from gameservers.games.velnet.generation import HASTE, MAX_HELD, PATIENCE
from gameservers.games.velnet.session import MAX_COPIES, BinarySession, Phase, TextSession
from gameservers.games.velnet.settings import are_checkers
from gameservers.games.velnet.wires import binary
from gameservers.games.velnet.wires import text as text_wire
from gameservers.games.velnet.wires.messages import Hello
from tests.games.velnet.world import (
    KEEP_ALIVE,
    World,
    binary_player,
    data,
    join,
    log_in,
    text,
    text_player,
    u32,
)

OLD, NEW = b"\x00" + u32(1), b"\x00" + u32(1, 2)
VERSION = u32(2)


class TableTests(SynchronousTestCase):
    def test_every_message(self) -> None:
        """Every message does something, or is ignored, in every phase."""
        for kind, wire in ((TextSession, text_wire), (BinarySession, binary)):
            for phase in Phase:
                does, ignored = kind.TABLE[phase].keys(), kind.IGNORED[phase]
                self.assertEqual(does | ignored, wire.MESSAGES, (kind, phase))
                self.assertEqual(does & ignored, set(), (kind, phase))
            self.assertEqual(kind.DATAGRAMS.keys(), wire.DATAGRAMS - {Hello})

    def test_ignored(self) -> None:
        """What is ignored changes nothing, and is not answered."""
        peer = World().connect()
        for line in (b"1:", b"2:r1", b"2:-1", b"3:1:x", b"4:g:x", b"5:g:1", b"0:a:b:c"):
            self.assertEqual(peer.ask(line + b"\n"), b"")
        self.assertEqual(peer.ask(b"0:name:\n0:other:\n1:\n"), b"0:1:\n1:\n")
        self.assertEqual(peer.world.lobby.player(1).name, "name")


class GenerationTests(SynchronousTestCase):
    """Which answer to a log-in a binary client gets."""

    def test_fixed(self) -> None:
        for generation, answer in (("1", OLD), ("2", NEW)):
            peer = World(generation=generation).connect()
            self.assertEqual(peer.ask(log_in()), answer)

    def test_keep_alive(self) -> None:
        """Generation 2 shows itself, and hears the rest of its answer before anything else."""
        peer = World().connect()
        self.assertEqual(peer.ask(log_in()), OLD)
        self.assertEqual(peer.ask(KEEP_ALIVE), VERSION + b"\x03" + u32(1) + KEEP_ALIVE[1:])
        self.assertEqual(peer.ask(join("r")), b"\x05" + u32(1, 1) + b"\x01r\x04" + u32(1))

    def test_keep_alive_in_the_same_segment(self) -> None:
        peer = World().connect()
        self.assertEqual(peer.ask(log_in() + KEEP_ALIVE)[:9], NEW)

    def test_keep_alive_before_the_log_in(self) -> None:
        """It is not answered, but remembered."""
        peer = World().connect()
        self.assertEqual(peer.ask(KEEP_ALIVE), b"")
        self.assertEqual(peer.ask(log_in()), NEW)

    def test_anything_else(self) -> None:
        """Generation 1 goes on with what it wants."""
        for request, answer in ((b"\x01", b"\x01" + u32(0)), (b"\x02\x00", b"")):
            world = World()
            peer = world.connect()
            self.assertEqual(peer.ask(log_in()), OLD)
            world.turn(HASTE)
            self.assertEqual(peer.ask(request), answer)
            self.assertEqual(world.network.getDelayedCalls()[1:], [])

    def test_in_haste(self) -> None:
        """What follows the log-in at once waits for a sign, and is then answered in order."""
        requests = b"\x01" + join("r1") + b"\x01" + b"\x09" + text("r1")
        answers = (
            b"\x01" + data(b"") + b"\x05" + u32(1, 1) + text("r1") + b"\x04" + u32(1)
            + b"\x01" + data(b"r1:1") + b"\x08" + text("r1") + u32(1, 1) + text("dev")
        )  # fmt: skip
        echo = b"\x03" + u32(1) + KEEP_ALIVE[1:]
        for sign, seconds, before, after in (
            ("keep-alive", 2.0, VERSION, echo),
            ("hello", 0.02, b"", b""),
            ("", PATIENCE, b"", b""),
        ):
            world = World()
            peer = world.connect()
            self.assertEqual(peer.ask(log_in() + requests), OLD)
            world.turn(seconds)
            if sign == "keep-alive":
                peer.say(KEEP_ALIVE)
            elif sign == "hello":
                peer.fly(b"\x00" + u32(1))
            self.assertEqual(peer.hear(), before + answers + after, sign)
            self.assertEqual(peer.ask(b"\x01"), b"\x01" + data(b"r1:1"), sign)

    def test_in_great_haste(self) -> None:
        """No more is held back than a few requests; payloads are not."""
        peer = World().connect()
        self.assertEqual(peer.ask(log_in() + b"\x01" * MAX_HELD), OLD)
        self.assertEqual(peer.ask(b"\x01"), (b"\x01" + u32(0)) * (MAX_HELD + 1))
        for request in (b"\x03" + data(b"hi"), b"\x06" + text("g") + u32(0), log_in()):
            peer = World().connect()
            answer = peer.ask(log_in() + b"\x01" + request)
            again = OLD if request == log_in() else b""
            self.assertEqual(answer, OLD + b"\x01" + u32(0) + again)

    def test_gone_in_haste(self) -> None:
        world = World()
        peer = world.connect()
        peer.ask(log_in() + join("r1"))
        peer.drop()
        self.assertEqual(world.network.getDelayedCalls(), [])
        self.assertEqual(world.lobby.listing("velnet").rooms, ())

    def test_hello(self) -> None:
        """Generation 1 says hello over UDP."""
        world = World()
        peer = world.connect()
        peer.ask(log_in())
        peer.fly(b"\x00" + u32(1))
        self.assertEqual(peer.caught(), [b"\x00"])
        world.turn(PATIENCE)
        self.assertEqual(peer.hear(), b"")

    def test_silence(self) -> None:
        """A client that does nothing for a while is generation 2."""
        world = World()
        peer = world.connect()
        peer.ask(log_in())
        world.turn(PATIENCE - 0.1)
        self.assertEqual(peer.hear(), b"")
        world.turn(0.1)
        self.assertEqual(peer.hear(), VERSION)

    def test_gone_meanwhile(self) -> None:
        world = World()
        peer = world.connect()
        peer.ask(log_in())
        peer.drop()
        self.assertEqual(world.network.getDelayedCalls(), [])

    def test_never_in_one_room(self) -> None:
        world = World()
        old, new, other = (world.connect() for _ in range(3))
        for peer, sign in ((old, b"\x01"), (new, KEEP_ALIVE), (other, KEEP_ALIVE)):
            peer.ask(log_in())
            world.turn(HASTE)
            peer.say(sign)
            self.assertIn(text("r1"), peer.ask(join("r1")))
        self.assertEqual(old.hear(), b"")
        self.assertEqual(new.hear(), b"\x02" + u32(3) + text("r1"))

    def test_names_are_visible(self) -> None:
        """Names need not be unique, so none is refused; but others see all of it, in order."""
        world = World(generation="2")
        peer = binary_player(world)
        hidden = "\u202eZo\u200b\u00eb \uff21\n\u3164"
        for _ in range(2):
            peer.ask(log_in(hidden))
            peer.ask(join("r1"))
            seen = text("Zo\u00eb \uff21")
            self.assertEqual(
                peer.ask(b"\x09" + text("r1")), b"\x08" + text("r1") + u32(1, 1) + seen
            )

    def test_log_in_again(self) -> None:
        """It changes name and application at once, and the room stays."""
        world = World(generation="2")
        peer = binary_player(world, "r1")
        self.assertEqual(peer.ask(log_in("new", "Other")), NEW)
        self.assertEqual(world.lobby.player(1).name, "new")
        self.assertEqual(peer.ask(b"\x09\x02r1"), b"")
        self.assertEqual(
            peer.ask(join("r2")), b"\x07\x02r1\x05" + u32(1, 1) + b"\x02r2\x04" + u32(1)
        )
        self.assertEqual(peer.ask(b"\x09\x02r2"), b"\x08\x02r2" + u32(1, 1) + b"\x03new")


class RoomTests(SynchronousTestCase):
    def test_text_and_binary_never_meet(self) -> None:
        """Their payloads differ; the lobby shows all of them."""
        world = World()
        one, two = text_player(world, "r1"), binary_player(world, "r1")
        self.assertEqual(one.hear() + two.hear(), b"")
        self.assertEqual(one.ask(b"1:\n"), b"1:r1-1\n")
        self.assertEqual(two.ask(b"\x01"), b"\x01" + data(b"r1:1"))
        self.assertEqual([room.key.name for room in world.lobby.rooms("velnet")], ["r1", "r1"])
        self.assertEqual(world.lobby.present("velnet"), 2)

    def test_binary_joins_its_own_room_again(self) -> None:
        world = World()
        one, two = binary_player(world, "r1"), binary_player(world, "r1")
        one.hear()
        self.assertEqual(
            one.ask(join("r1")),
            b"\x07\x02r1\x05" + u32(2, 2, 1) + b"\x02r1\x04" + u32(2),
        )
        self.assertEqual(
            two.hear(), b"\x06" + u32(1) + b"\x02r1\x04" + u32(2) + b"\x02" + u32(1) + b"\x02r1"
        )

    def test_text_joins_its_own_room_again(self) -> None:
        peer = text_player(World(), "r1")
        self.assertEqual(peer.ask(b"2:r1\n2:r1:pw\n"), b"")

    def test_private(self) -> None:
        """A room opened with a password is seen and entered with it alone."""
        world = World()
        owner, guest = text_player(world), text_player(world)
        owner.ask(b"2:den:a:b\n")
        self.assertEqual(guest.ask(b"1:\n1:a\n"), b"1:\n1:\n")
        self.assertEqual(guest.ask(b"1:a:b\n"), b"1:den-1\n")
        self.assertEqual(guest.ask(b"2:den\n2:den:a\n"), b"")
        self.assertEqual(guest.ask(b"2:den:a:b\n"), b"2:2:den\n2:1:den\n4:1\n")
        self.assertFalse(next(iter(world.lobby.rooms())).visible)

    def test_one_who_is_refused_stays_there(self) -> None:
        """Leaving one room and entering another is one step."""
        world = World(room_size=1)
        text_player(world).ask(b"2:den:pw\n")
        text_player(world, "full")
        peer, other = text_player(world, "r1"), text_player(world)
        self.assertEqual(peer.ask(b"2:den:wrong\n2:full\n2:a,b\n3:1:here\n"), b"3:3:here\n")
        self.assertEqual(other.ask(b"1:\n"), b"1:full-1,r1-1\n")
        self.assertEqual(world.metrics.requests_refused["velnet"], 2)

    def test_payloads_are_counted(self) -> None:
        world = World()
        peers = [text_player(world, "r1") for _ in range(3)]
        peers[0].ask(b"3:0:a\n3:0:b\n3:1:c\n")
        metrics = world.metrics
        self.assertEqual(metrics.messages_relayed["velnet"], 3)
        self.assertEqual(metrics.messages_delivered["velnet"], 7)


class AccessTests(SynchronousTestCase):
    """Passwords matter where there is a checker, and only there."""

    def test_without(self) -> None:
        self.assertEqual(World().connect().ask(b"0:alice:whatever\n"), b"0:1:\n")

    def test_right(self) -> None:
        world = World(auth=("memory:alice:wonder", "memory:dev:App"), generation="2")
        self.assertEqual(world.connect().ask(b"0:alice:wonder\n"), b"0:1:\n")
        self.assertEqual(world.connect().ask(log_in("dev", "App")), b"\x00" + u32(2, 2))

    def test_wrong(self) -> None:
        """It is closed, for a reason in the log that does not tell the password."""
        for wrong in (b"0:alice:guess\n", b"0:bob:wonder\n", log_in("alice", "guess")):
            world = World(auth=("memory:alice:wonder",))
            peer = world.connect()
            with capturedLogs() as logs:
                self.assertEqual(peer.ask(wrong), b"")
            self.assertFalse(peer.connected)
            self.assertTrue(peer.reading)  # or its own end would not be noticed
            self.assertEqual(world.cuts("refused"), 1)
            reasons = [(each["reason"], each["detail"]) for each in logs if "reason" in each]
            self.assertEqual(reasons, [("refused", "password")])
            self.assertNotIn("guess", repr(logs))

    def test_file(self) -> None:
        path = self.mktemp()
        Path(path).write_text("alice:wonder\n")
        world = World(auth=(f"file:{path}",))
        self.assertEqual(world.connect().ask(b"0:alice:wonder\n"), b"0:1:\n")
        peer = world.connect()
        peer.ask(b"0:alice:\n")
        self.assertFalse(peer.connected)

    def test_no_such_checker(self) -> None:
        """The operator is told before anything starts."""
        are_checkers(("memory:a:b", "memory:"))
        for wrong in ("nonsense:x", "memory:a", "file:", f"file:{self.mktemp()}"):
            error = self.assertRaises(ValueError, are_checkers, ("memory:a:b", wrong))
            self.assertIn("cannot make a credentials checker", str(error))

    def slow_checker(self, world: World) -> Deferred[bytes]:
        answer: Deferred[bytes] = Deferred()
        answers = [answer]

        class Checker:
            def requestAvatarId(self, credentials: object) -> Deferred[bytes]:
                return answers.pop() if answers else fail(UnauthorizedLogin())

        world.service.access._checkers = [Checker()]
        return answer

    def test_slow_checker(self) -> None:
        """What is said meanwhile waits, unread, and is done in its order."""
        for first, request, answered in (
            (b"0:a:b\n", b"2:r\n3:1:hi\n", b"0:1:\n2:1:r\n4:1\n3:1:hi\n"),
            (
                log_in(),
                join("r"),
                NEW + b"\x05" + u32(1, 1) + b"\x01r\x04" + u32(1),
            ),
        ):
            for in_one in (True, False):
                world = World(generation="2")
                answer = self.slow_checker(world)
                peer = world.connect()
                if in_one:
                    peer.say(first + request)
                else:
                    peer.say(first)
                    peer.say(request)
                self.assertEqual(peer.hear(), b"")
                self.assertEqual(peer.reading, in_one)
                answer.callback(b"a")
                self.assertEqual(peer.hear(), answered)
                self.assertTrue(peer.reading)

    def test_slow_refusal(self) -> None:
        """What was said meanwhile is not done, and the end of the connection is not missed."""
        for first, request in ((b"0:a:b\n", b"2:r\n"), (log_in(), join("r"))):
            world = World()
            answer = self.slow_checker(world)
            peer = world.connect()
            peer.say(first + request)
            answer.errback(UnauthorizedLogin())
            self.assertTrue(peer.reading)
            self.assertEqual(peer.hear(), b"")
            self.assertFalse(peer.connected)

    def test_checker_that_fails(self) -> None:
        """A bug in a checker lets nobody in."""
        world = World()
        answer = self.slow_checker(world)
        peer = world.connect()
        peer.say(b"0:a:b\n")
        answer.errback(ZeroDivisionError())
        peer.hear()
        self.assertFalse(peer.connected)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_gone_before_the_answer(self) -> None:
        world = World()
        answer = self.slow_checker(world)
        peer = world.connect()
        peer.say(b"0:a:b\n")
        peer.drop()
        answer.callback(b"a")
        world.turn()
        self.assertEqual(world.lobby.present("velnet"), 0)
        self.assertEqual(world.network.getDelayedCalls(), [])

    def test_checker_that_never_answers(self) -> None:
        world = World()
        answer = self.slow_checker(world)
        peer = world.connect()
        peer.say(b"0:a:b\n")
        world.turn(world.settings.login_timeout)
        self.assertFalse(peer.connected)
        answer.callback(b"too late")
        self.assertEqual(world.lobby.present("velnet"), 0)


class TimeoutTests(SynchronousTestCase):
    def test_generation_2(self) -> None:
        """Every byte counts anew; a client that is silent too long is closed."""
        world = World(silence_timeout=30.0)
        peer = binary_player(world, "r1")
        other = binary_player(world, "r1")
        world.turn(29)
        peer.say(b"\x03")
        other.say(KEEP_ALIVE)
        self.assertTrue(peer.connected)
        world.turn(29)
        other.say(KEEP_ALIVE)
        world.turn(1)
        self.assertFalse(peer.connected)
        self.assertTrue(other.connected)
        self.assertTrue(other.hear().endswith(b"\x06" + u32(1) + b"\x02r1\x04" + u32(2)))
        self.assertEqual(world.cuts("silent"), 1)

    def test_found_by_silence(self) -> None:
        """A player of generation 2 that never says anything more is closed like the others."""
        world = World(silence_timeout=30.0)
        peer = world.connect()
        peer.ask(log_in())
        world.turn(PATIENCE)
        world.turn(30)
        self.assertFalse(peer.connected)

    def test_the_quiet(self) -> None:
        """Text clients and generation 1 say nothing by themselves: they may be silent."""
        for first in (b"0:a:\n", log_in() + b"\x01"):
            world = World()
            peer = world.connect()
            peer.ask(first)
            world.turn(1_000_000)
            self.assertTrue(peer.connected)
            world = World(quiet_timeout=60.0)
            peer = world.connect()
            peer.ask(first)
            world.turn(PATIENCE)
            world.turn(60)
            self.assertFalse(peer.connected)


class FarewellTests(SynchronousTestCase):
    def test_farewell(self) -> None:
        """What was said before the end is delivered, and nothing of the others' leaving."""
        for make, said, heard in (
            (text_player, b"3:0:bye\n", b"3:1:bye\n"),
            (binary_player, b"\x03" + data(b"bye"), b"\x03" + u32(1) + data(b"bye")),
        ):
            world = World()
            one, two, three = (make(world, "r1") for _ in range(3))
            for peer in (one, two, three):
                peer.hear()
            one.say(said)
            stopped = world.service.stopService()
            self.assertEqual([peer.hear() for peer in (one, two, three)], [b"", heard, heard])
            for peer in (one, two, three):
                self.assertFalse(peer.connected)
                peer.end.end()
            self.successResultOf(stopped)
            self.assertEqual(world.lobby.present("velnet"), 0)


class LimitTests(SynchronousTestCase):
    def test_clients(self) -> None:
        world = World(max_players=1)
        text_player(world)
        peer = world.connect()
        peer.ask(b"0:b:\n")
        self.assertFalse(peer.connected)
        self.assertEqual(world.cuts("full"), 1)

    def test_room_size(self) -> None:
        world = World(room_size=2)
        for _ in range(2):
            text_player(world, "r1")
        self.assertEqual(text_player(world).ask(b"2:r1\n1:\n"), b"1:r1-2\n")

    def test_names(self) -> None:
        """What has too long a name is ignored."""
        world = World(max_name=32, generation="2")
        fits, long = "é" * 16, "é" * 16 + "x"
        peer = world.connect()
        self.assertEqual(peer.ask(log_in(long, "a") + log_in("a", long)), b"")
        self.assertEqual(peer.ask(log_in(fits, fits)), NEW)
        self.assertEqual(peer.ask(join(long)), b"")
        self.assertEqual(peer.ask(join(fits))[:1], b"\x05")
        other = text_player(world)
        self.assertEqual(other.ask(f"2:{long}\n2:r:{long}\n".encode()), b"")
        self.assertEqual(other.ask(f"2:{fits}\n".encode())[:2], b"2:")

    def test_groups(self) -> None:
        self.patch(session, "MAX_GROUPS", 2)
        self.patch(session, "MAX_GROUP", 2)
        world = World()
        peer = text_player(world)
        peer.ask(b"5:a:1\n5:b:1:1\n5:c:1\n5:a:1:1:1\n5:" + b"x" * 256 + b":1\n")
        self.assertEqual(peer.ask(b"4:a:hi\n4:b:ho\n4:c:no\n"), b"3:1:hi\n3:1:ho\n3:1:ho\n")
        peer.ask(b"5:a:\n5:c:1\n")
        self.assertEqual(peer.ask(b"4:a:no\n4:c:hi\n"), b"3:1:hi\n")

    def test_copies(self) -> None:
        """However often somebody stands in a group, one message is no flood."""
        text_peer, binary_peer = text_player(World()), binary_player(World())
        text_peer.ask(b"5:g" + b":1" * 1_000 + b"\n")
        self.assertEqual(text_peer.ask(b"4:g:hi\n"), b"3:1:hi\n" * MAX_COPIES)
        other = binary_player(binary_peer.world)
        binary_peer.say(b"\x06" + text("g") + data(u32(2) * 1_000))
        binary_peer.ask(b"\x05" + data(b"hi") + text("g"))
        self.assertEqual(other.hear(), (b"\x03" + u32(1) + data(b"hi")) * MAX_COPIES)

    def test_many_requests_at_once(self) -> None:
        """A client with many requests waits for the others between, and gets all of it."""
        for make, request, leave, before, after in (
            (text_player, b"1:\n", b"2:-1\n", b"1:r1-2\n", b"1:r1-1\n"),
            (
                binary_player,
                b"\x01",
                b"\x02\x00",
                b"\x01" + data(b"r1:2"),
                b"\x01" + data(b"r1:1"),
            ),
        ):
            world = World()
            greedy, other = make(world, "r1"), make(world, "r1")
            greedy.hear()
            number = 100
            world.network.price = 0.000_1  # a slice has time for a few
            greedy.say(request * number)
            other.say(leave)
            world.network.price = 0
            heard = greedy.hear()
            self.assertEqual(heard.count(before) + heard.count(after), number)
            self.assertIn(heard.count(before), range(1, 10))
            self.assertTrue(greedy.reading)

    def test_gone_while_it_waits(self) -> None:
        for make, request in ((text_player, b"1:\n"), (binary_player, b"\x01")):
            world = World()
            peer = make(world)
            world.network.price = 0.000_1
            peer.say(request * 100)
            peer.drop()
            world.turn()
            self.assertEqual(world.lobby.present("velnet"), 0)

    def test_line(self) -> None:
        world = World(max_line=1_024)
        peer = text_player(world, "r1")
        fits = b"3:1:" + b"x" * 1_020
        self.assertEqual(len(peer.ask(fits + b"\n")), 1_025)
        heard = peer.ask(b"3:1:in time\n" + fits + b"x\n2:r2\n" + b"3:1:late\n" * 1000)
        self.assertEqual(heard, b"3:1:in time\n")
        self.assertFalse(peer.connected)
        self.assertEqual(world.cuts("malformed"), 1)

    def test_data(self) -> None:
        world = World(max_message=2_000)
        peer = binary_player(world, "r1")
        self.assertEqual(len(peer.ask(b"\x04" + data(b"x" * 2_000))), 2_009)
        peer.ask(b"\x04" + u32(2_001))
        self.assertFalse(peer.connected)

    def test_flood_in_a_room(self) -> None:
        """Members that read 1 MB a second stay, whatever another one says."""
        for make, payload in (
            (text_player, b"3:0:" + b"x" * 995 + b"\n"),
            (binary_player, b"\x03" + data(b"x" * 995)),
        ):
            world = World()
            loud, *honest = [make(world, "r1") for _ in range(9)]
            for _ in range(100):
                for each in honest:
                    each.end.socket.room = 100_000
                    each.end.socket.outgoing.clear()
                if len(loud.end.socket.incoming) < len(payload):
                    loud.end.socket.incoming += payload * 640
                world.turn(0.1)
            self.assertEqual(world.cuts("slow"), 0)
            self.assertTrue(all(each.connected for each in honest))

    def test_pending(self) -> None:
        """The others hear the same in the same order, when one is cut."""
        world = World(max_unread=65_536, rate=0, generation="2")
        one, slow, two = (binary_player(world, "r1") for _ in range(3))
        for peer in (one, slow, two):
            peer.hear()
        slow.stop_reading()
        payloads = [b"%05d" % each * 200 for each in range(100)]
        for payload in payloads:
            one.say(b"\x03" + data(payload))
            world.turn()
        heard = b"".join(b"\x03" + u32(1) + data(payload) for payload in payloads)
        left = b"\x06" + u32(2) + b"\x02r1"
        got = two.hear()
        self.assertEqual(got.replace(left, b""), heard)
        self.assertIn(left, got)
        self.assertFalse(slow.connected)
        self.assertEqual(world.cuts("slow"), 1)
