"""VCMI's game pipe: how two sides find each other, what each is given, and how it ends."""

from __future__ import annotations

import re
import socket
from itertools import pairwise
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st

from gameservers.games.vcmi import pipe_session, started
from gameservers.games.vcmi.pipe_session import TABLE, Phase
from gameservers.games.vcmi.protocol import LOOK
from gameservers.games.vcmi.wires.pipe import MAX_HANDSHAKE
from gameservers.net import pipe
from tests import transports
from tests.games.vcmi.clients import (
    Client,
    House,
    VcmiTestCase,
    frame,
    pipe_hello,
    started_game,
)
from tests.house import FRONT_DOOR
from tests.house import House as WholeServer

UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ROLES = ("client", "server")


class TableTests(VcmiTestCase):
    def test_every_phase(self) -> None:
        """Whatever comes, in whatever phase, has a meaning."""
        self.assertEqual(list(TABLE), list(Phase))


class PipeTestCase(VcmiTestCase):
    #: Fields a test case sets otherwise than their defaults.
    limits: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        super().setUp()
        self.play(3)

    def play(self, players: int) -> None:
        """A game of so many has started."""
        self.house = House(**self.limits)
        names = [f"player{number}" for number in range(players)]
        self.host, self.uuids = started_game(self.house, *names)

    def client(self, number: int = 0, data: bytes = b"") -> Client:
        return self.pipe(pipe_hello("VCMI 1.3.2 (client)", self.uuids[number]) + data)

    def server(self, data: bytes = b"") -> Client:
        return self.pipe(pipe_hello("VCMI 1.3.2 (server)", self.host) + data)

    def pipe(self, data: bytes) -> Client:
        connection = self.house.connect()
        connection.say(data)
        return connection

    def assertPaired(self, one: Client, other: Client) -> None:
        """What one says now, the other gets, and the other way round."""
        for speaker, listener in ((one, other), (other, one)):
            before = len(listener.heard)
            speaker.say(b"are you there")
            self.assertEqual(listener.heard[before:], b"are you there")

    def assertWaiting(self, *pipes: Client) -> None:
        for each in pipes:
            self.assertTrue(each.connected)
            self.assertEqual(each.heard, b"")


class HandshakeTests(PipeTestCase):
    def test_spellings(self) -> None:
        """Both spellings, with and without the newline, and both ways to name a role."""
        for magic in (b"Aiya!\n", b"Aiya!", b"Ayia!\n", b"Ayia!"):
            for as_client in ("(client)", "client", "VCMI 1.3.2 (client)", "client\n"):
                for as_server in ("(server)", "server", "VCMI 1.4.5 (server)", "server "):
                    hellos = (
                        pipe_hello(as_client, self.uuids[1], magic),
                        pipe_hello(as_server, self.host, magic),
                    )
                    client, server = map(self.pipe, hellos)
                    self.assertEqual(client.heard, pipe_hello(as_server, self.uuids[1], magic))
                    self.assertEqual(server.heard, pipe_hello(as_client, self.host, magic))
                    client.lose()

    def test_server_first(self) -> None:
        server = self.server(b"\x01")
        self.assertWaiting(server)
        client = self.client(data=b"\x01")
        self.assertPaired(server, client)

    def test_refused(self) -> None:
        """Whatever is wrong closes the connection without a word, and is counted."""
        magic = frame(b"Aiya!\n")
        uuid = self.uuids[0]
        for data, why in (
            (pipe_hello("(client)", "0" * 36), "malformed"),
            (pipe_hello("(client)", uuid.upper() + "x"), "malformed"),
            (pipe_hello("(client)", uuid[:35]), "malformed"),
            (pipe_hello("(client)", self.host), "malformed"),
            (pipe_hello("(server)", uuid), "malformed"),
            (pipe_hello("VCMI 1.3.2", uuid), "malformed"),
            (pipe_hello("a client", uuid), "malformed"),
            (pipe_hello("(player)", uuid), "malformed"),
            (magic + frame(b""), "malformed"),
            (magic + frame(b"(client)") + frame(b""), "malformed"),
            (magic + frame(b"(client)") + frame(b"\xff" * 36), "malformed"),
            (magic + frame(b"Aiya!\n"), "malformed"),
            (magic + b"\xff" * 4, "malformed"),
            (magic + frame(b"(client)") + b"\x01\x04\x00\x00", "malformed"),
        ):
            before = self.house.cuts.get(why, 0)
            pipe = self.pipe(data)
            self.assertFalse(pipe.connected, data)
            self.assertEqual(pipe.heard, b"", data)
            self.assertEqual(self.house.cuts[why], before + 1, data)
        self.assertEqual(self.house.service.games.playing, 0)

    def test_longest_frame(self) -> None:
        """A handshake frame may have exactly so many bytes."""
        role = "(client)".rjust(MAX_HANDSHAKE)
        self.assertWaiting(self.pipe(pipe_hello(role, self.uuids[0])))
        self.assertFalse(self.pipe(pipe_hello(" " + role, self.uuids[0])).connected)

    def test_magic_only_at_the_beginning(self) -> None:
        """A lobby frame that mentions it is no magic, and a player's frame is none either."""
        for data in (b"hello Aiya!\n", b"Aiya!\n\n", b"Aiya"):
            stranger = self.pipe(frame(data) + frame(b"(client)") + frame(self.uuids[0].encode()))
            self.house.settle()
            self.assertFalse(stranger.connected)
        alice = self.house.launcher("alice")
        alice.say(pipe_hello("(client)", self.uuids[0]))
        self.house.settle()
        self.assertTrue(alice.connected)
        self.assertEqual(self.house.service.games.playing, 0)

    def test_timeout(self) -> None:
        """The handshake has a minute; the wait that follows has not."""
        hello = pipe_hello("(client)", self.uuids[0])
        for length in (10, 11, 20, 40, len(hello) - 1):
            late = self.pipe(hello[:length])
            self.house.turn(59.9)
            self.assertTrue(late.connected, length)
            self.house.turn(0.1)
            self.assertFalse(late.connected, length)
        self.assertEqual(self.house.cuts, {"silent": 5})
        self.assertEqual(len(self.house.service.connections), 0)
        waiting = self.client()
        self.house.turn(86_400)
        self.assertWaiting(waiting)

    def test_socket_options(self) -> None:
        """Small packets leave at once, and a peer that vanished is noticed."""
        options: dict[tuple[int, int], Any] = {}

        def remember(_: object, level: int, option: int, value: Any) -> None:
            options[level, option] = value

        self.patch(transports.MemorySocket, "setsockopt", remember)
        for hello in (frame(b"Aiya!\n"), b"\x20\0\0\0\4"):
            options.clear()
            self.pipe(hello)
            self.assertTrue(options[socket.IPPROTO_TCP, socket.TCP_NODELAY])
            self.assertTrue(options[socket.SOL_SOCKET, socket.SO_KEEPALIVE])

    def test_counters(self) -> None:
        """What was recognised, what was paired, and who plays at this moment."""
        metrics, games = self.house.metrics, self.house.service.games

        def counted() -> tuple[int, int, int]:
            return metrics.pipes_opened["vcmi"], metrics.pipes_paired["vcmi"], games.playing

        client = self.client()
        self.assertEqual(counted(), (1, 0, 1))
        self.server()
        self.assertEqual(counted(), (2, 1, 2))
        client.lose()
        self.assertEqual(counted(), (2, 1, 0))


class FirstBytesTests(VcmiTestCase):
    """What the server makes of first bytes, at its front door and on VCMI's own port."""

    def setUp(self) -> None:
        super().setUp()
        self.server = WholeServer(self, "--vcmi-port=5999")
        self.cuts = self.server.game("vcmi").metrics.cuts

    def test_magic_in_pieces(self) -> None:
        """However it is cut, it is a game pipe's, and refused as one."""
        for count, port in enumerate((FRONT_DOOR, 5999)):
            for size in range(1, 16):
                peer = self.server.connect(port=port)
                peer.send(pipe_hello("(client)", "0" * 36), size)
                self.assertEqual(peer.received(), b"")
                self.assertTrue(peer.closed)
                self.assertEqual(self.cuts, {("vcmi", "malformed"): 15 * count + size})

    def test_wrong_greetings(self) -> None:
        """One that begins like a magic is told what is wrong with it, however it is cut."""
        told = b":>>ERROR:Cannot connect to remote server due to protocol incompatibility"
        for port in (FRONT_DOOR, 5999):
            for greeting in (
                b"Aiya!?",
                b"Ayia?",
                b"Aiya!\n\n",
                b"Aiya",
                b"\x06\0",
                b"Bye!\n",
            ):
                for size in (1, 3, 100):
                    peer = self.server.connect(port=port)
                    peer.send(frame(greeting) + b"\n" * 8, size)
                    self.assertEqual(peer.received(), told, greeting)
                    self.assertTrue(peer.ended)

    def test_half_a_magic(self) -> None:
        """It is not waited for for ever."""
        peer = self.server.connect()
        peer.send(frame(b"Aiya!\n")[:-1])
        self.server.turn(3_600)
        self.assertTrue(peer.closed)


class MeetingTests(PipeTestCase):
    def test_first_come_first_served(self) -> None:
        """Three players and the three connections of their server, in any mixture."""
        clients = [self.client(2), self.client(0)]
        servers = [self.server() for _ in range(3)]
        self.assertWaiting(servers[2])
        clients.append(self.client(1))
        for one, other in zip(clients, servers, strict=True):
            self.assertPaired(one, other)
        self.assertEqual(self.house.service.games.playing, 6)

    def test_games_do_not_mix(self) -> None:
        client = self.client()
        other_host, _ = started_game(self.house, "alice", "bobby")
        stranger = self.pipe(pipe_hello("(server)", other_host))
        self.assertWaiting(client, stranger)
        self.assertPaired(client, self.server())
        self.assertWaiting(stranger)

    def test_newest_of_a_client(self) -> None:
        """It takes the older one's place while that waits, but not once it plays."""
        older = self.client(0)
        other = self.client(1)
        newer = self.client(0)
        self.assertFalse(older.connected)
        self.assertEqual(self.house.cuts, {"refused": 1})
        self.assertPaired(other, self.server())
        server = self.server()
        self.assertPaired(newer, server)
        again = self.client(0)
        self.assertWaiting(again)
        self.assertPaired(newer, server)

    def test_servers_do_not_replace_each_other(self) -> None:
        servers = [self.server() for _ in range(3)]
        self.assertWaiting(*servers)

    def test_drop_before_the_partner(self) -> None:
        """What it had sent is forgotten, and it may come back."""
        for come, partner in ((self.client, self.server), (self.server, self.client)):
            first = come(data=b"forgotten")
            first.lose()
            self.assertEqual(self.house.service.games.playing, 0)
            again = come(data=b"remembered")
            other = partner()
            self.assertTrue(other.heard.endswith(b"remembered"))
            self.assertNotIn(b"forgotten", other.heard)
            self.assertPaired(again, other)
            again.lose()

    def test_half_close_before_the_partner(self) -> None:
        """A side that will send no more is not waited for."""
        client = self.client(data=b"forgotten")
        client.end()
        self.assertFalse(client.connected)
        self.assertWaiting(self.server())

    def test_drop_after_pairing(self) -> None:
        """The other is given what was on its way, then closed; both may come back."""
        for _ in range(3):
            for lost in (0, 1):
                pair = self.client(data=b"c"), self.server(data=b"s")
                self.assertPaired(*pair)
                pair[lost].say(b"the end")
                pair[lost].lose()
                other = pair[1 - lost]
                self.assertTrue(other.heard.endswith(b"the end"))
                self.assertFalse(other.connected)
                self.assertEqual(self.house.service.games.playing, 0)

    def test_half_close_after_pairing(self) -> None:
        """One side's end is the other's."""
        client, server = self.client(), self.server()
        client.say(b"the end")
        client.end()
        self.house.settle()
        self.assertTrue(server.heard.endswith(b"the end"))
        self.assertFalse(server.connected or client.connected)

    def test_one_pair_is_not_the_other(self) -> None:
        first = self.client(0), self.server()
        second = self.client(1), self.server()
        first[0].lose()
        self.assertFalse(first[1].connected)
        self.assertPaired(*second)


class SecrecyTests(PipeTestCase):
    """A uuid is a key to one role, which nobody but its owner is ever shown."""

    def test_what_a_guest_learns(self) -> None:
        """Nothing that it was ever sent lets it be the server towards another guest."""
        guest = self.client(1, b"\x01")
        server = self.server(b"\x01")
        server.say(b"the game's own bytes")
        victim = self.client(2)
        learned = [each.decode() for each in UUID.findall(guest.heard)]
        self.assertEqual(learned, [self.uuids[1]])
        for uuid in learned:
            for role in ("VCMI 1.3.2 (server)", "server"):
                false = self.pipe(pipe_hello(role, uuid) + b"\x01false bytes")
                self.assertFalse(false.connected)
                self.assertEqual(false.heard, b"")
        self.assertWaiting(victim)
        self.assertPaired(guest, server)

    def test_what_a_server_learns(self) -> None:
        server, _ = self.server(), self.client(1)
        self.assertEqual(UUID.findall(server.heard), [self.host.encode()])

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 1), st.integers(0, 4), st.sampled_from(ROLES)), max_size=8
        )
    )
    def test_any_uuid_in_any_role(self, attempts: list[tuple[int, int, str]]) -> None:
        """In two games: a uuid is good for one role, and its partner is told its own uuid."""
        self.play(3)
        games = [(self.host, *self.uuids)]
        host, uuids = started_game(self.house, "alice", "bobby", "clara")
        games.append((host, *uuids))
        inside = []
        for game, number, role in attempts:
            uuid = [*games[game], "0" * 36][number]
            before = self.house.service.games.playing
            pipe = self.pipe(pipe_hello(f"({role})", uuid) + f"{game}{role}".encode())
            if number < 4 and role == ("client" if number else "server"):
                inside.append((pipe, uuid, game, role))
                continue
            self.assertFalse(pipe.connected)
            self.assertEqual(pipe.heard, b"")
            self.assertEqual(self.house.service.games.playing, before)
        for pipe, uuid, game, role in inside:
            other = "client" if role == "server" else "server"
            told = pipe_hello(f"({other})", uuid) + f"{game}{other}".encode()
            self.assertIn(pipe.heard, (b"", told))


class LifetimeTests(PipeTestCase):
    limits: ClassVar[dict[str, Any]] = {"pipe_lifetime": 100}

    def assertExpired(self) -> None:
        self.assertFalse(self.client().connected)
        self.assertFalse(self.server().connected)

    def test_from_the_start(self) -> None:
        # The game was started 0.3 s ago, before the last frame settled.
        self.house.turn(99.6)
        self.assertWaiting(self.client())
        self.play(3)
        self.house.turn(99.8)
        self.assertExpired()

    def test_from_the_last_end(self) -> None:
        for _ in range(3):
            self.house.turn(99)
            pair = self.client(), self.server()
            self.house.turn(10_000)  # not while somebody is connected
            pair[0].lose()
        self.house.turn(99)
        waiting = self.client()
        self.house.turn(10_000)
        self.assertWaiting(waiting)
        waiting.end()
        self.house.turn(99.9)
        self.server().end()
        self.house.turn(100)
        self.assertExpired()

    def test_not_before_the_last(self) -> None:
        """The time begins when nobody is left, not when somebody leaves."""
        first, second = self.client(0), self.client(1)
        first.end()
        self.house.turn(500)
        self.assertPaired(second, self.server())

    def test_replacing_is_no_end(self) -> None:
        self.client()
        self.client()
        self.house.turn(500)
        self.assertTrue(self.server().heard)

    def test_nothing_is_left(self) -> None:
        """Of a game that is over, neither uuids nor timers stay."""
        self.client().end()
        self.house.turn(100)
        self.assertEqual(self.house.clock.getDelayedCalls(), [])
        self.assertEqual(self.house.service.games._by_uuid, {})

    def test_other_games_go_on(self) -> None:
        self.house.turn(50)
        other_host, _ = started_game(self.house, "alice", "bobby")
        self.house.turn(60)
        self.assertExpired()
        self.assertWaiting(self.pipe(pipe_hello("(server)", other_host)))


class EarlyTests(PipeTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(pipe_session, "MAX_EARLY", 1_024)

    def test_limit(self) -> None:
        """So many bytes are kept, then nothing more is read until the partner is here."""
        client = self.client(data=b"x" * 1_000)
        client.say(b"y" * 23)
        self.assertTrue(client.reading)
        client.say(b"z")
        self.assertFalse(client.reading)
        server = self.server()
        self.assertTrue(client.reading)
        self.assertTrue(server.heard.endswith(b"x" * 1_000 + b"y" * 23 + b"z"))
        self.assertPaired(client, server)

    def test_glued(self) -> None:
        """More than that in the same segment as the handshake."""
        server = self.server(b"x" * 5_000)
        self.assertFalse(server.reading)
        self.assertEqual(self.client().heard[-5_000:], b"x" * 5_000)
        self.assertTrue(server.reading)

    def test_of_the_second(self) -> None:
        """A side that finds its partner waiting is not paused, however much it brings."""
        self.server()
        client = self.client(data=b"x" * 5_000)
        self.assertTrue(client.reading)

    def test_forgotten(self) -> None:
        """Nothing is kept of a connection that ended."""
        client = self.client(data=b"x" * 5_000)
        session = client.protocol.session
        client.lose()
        self.house.turn(LOOK)
        self.assertEqual(len(session._early), 0)

    def test_end_of_one_that_is_not_read(self) -> None:
        """Nobody watches its socket, so it is asked from time to time, and before it is given."""
        for clock in (True, False):
            server = self.server(b"x" * 5_000)
            self.house.turn(LOOK)
            self.assertTrue(server.connected)
            server.end()
            self.assertTrue(server.connected)
            if clock:
                self.house.turn(LOOK)
                self.assertFalse(server.connected)
                self.assertEqual(self.house.service.games.playing, 0)
            client = self.client()
            self.assertWaiting(client)
            self.assertFalse(server.connected)
            fresh = self.server(b"fresh")
            self.assertTrue(client.heard.endswith(b"fresh"))
            self.house.turn(2 * LOOK)  # a side that has its partner is not asked any more
            self.assertPaired(client, fresh)
            client.lose()


class CoupledTests(MeetingTests):
    """The same where the kernel does not move the bytes."""

    def setUp(self) -> None:
        super().setUp()

        def no_descriptors(*_: object, **__: object) -> None:
            raise OSError("no file descriptors left")

        self.patch(pipe, "SplicedPipe", no_descriptors)

    def test_slow(self) -> None:
        """Each side is the other's producer, so that a slow reader slows its writer."""
        client, server = self.client(), self.server()
        client.peer.transport.producer.pauseProducing()  # the client does not read
        self.assertFalse(server.reading)
        self.assertTrue(client.reading)
        client.peer.transport.producer.resumeProducing()
        self.assertTrue(server.reading)


class CrowdTests(PipeTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(started, "MAX_CONNECTIONS", 16)

    def test_the_oldest_that_waits_makes_place(self) -> None:
        servers = [self.server() for _ in range(16)]
        self.assertWaiting(*servers)
        servers.append(self.server())
        self.assertFalse(servers[0].connected)
        self.assertWaiting(*servers[1:])
        self.assertEqual(self.house.cuts, {"crowded": 1})
        self.assertEqual(self.house.service.games.playing, 16)

    def test_who_plays_stays(self) -> None:
        pairs = [(self.client(number % 3), self.server()) for number in range(8)]
        late = self.server()
        self.assertFalse(late.connected)
        self.assertEqual(self.house.cuts, {"crowded": 1})
        for pair in pairs:
            self.assertPaired(*pair)
        pairs[0][0].lose()
        self.assertWaiting(self.server())

    def test_each_game_for_itself(self) -> None:
        servers = [self.server() for _ in range(16)]
        other_host, _ = started_game(self.house, "alice", "bobby")
        self.assertWaiting(self.pipe(pipe_hello("(server)", other_host)), *servers)


class FragmentTests(PipeTestCase):
    """Whatever TCP makes of the two streams, each side gets the other's."""

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_any_fragments(self, data: st.DataObject) -> None:
        sides = []
        roles = ("VCMI 1.3.2 (client)", "(server)")
        uuids = (self.uuids[0], self.host)
        early = []
        for role, uuid in zip(roles, uuids, strict=True):
            early.append(data.draw(st.binary(max_size=60)))
            stream = pipe_hello(role, uuid) + early[-1]
            cuts = data.draw(st.sets(st.integers(1, len(stream)), max_size=12))
            ends = [0, *sorted(cuts | {len(stream)})]
            parts = [stream[a:b] for a, b in pairwise(ends)]
            sides.append((self.house.connect(), parts))
        order = data.draw(st.permutations([0] * len(sides[0][1]) + [1] * len(sides[1][1])))
        for which in order:
            client, parts = sides[which]
            client.say(parts.pop(0))
        (client, _), (server, _) = sides
        self.assertEqual(client.heard, pipe_hello(roles[1], uuids[0]) + early[1])
        self.assertEqual(server.heard, pipe_hello(roles[0], uuids[1]) + early[0])
        client.lose()
        self.assertFalse(server.connected)

    def test_every_byte_alone(self) -> None:
        streams = (
            pipe_hello("(client)", self.uuids[0]) + b"\x01abc",
            pipe_hello("VCMI 1.3.2 (server)", self.host) + b"\x01defghi",
        )
        sides = [self.house.connect(), self.house.connect()]
        for at in range(max(map(len, streams))):
            for side, stream in zip(sides, streams, strict=True):
                if stream[at : at + 1]:
                    side.say(stream[at : at + 1])
        self.assertEqual(
            sides[0].heard, pipe_hello("VCMI 1.3.2 (server)", self.uuids[0]) + b"\x01defghi"
        )
        self.assertEqual(sides[1].heard, pipe_hello("(client)", self.host) + b"\x01abc")

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.binary(max_size=40), max_size=4), st.booleans())
    def test_junk(self, frames: list[bytes], framed: bool) -> None:
        """Junk after the magic ends its connection, and disturbs nobody."""
        client = self.client()
        junk = b"".join(map(frame, frames)) if framed else b"".join(frames)
        stranger = self.pipe(frame(b"Aiya!\n") + junk)
        self.house.turn(60)
        self.assertFalse(stranger.connected)
        self.assertEqual(stranger.heard, b"")
        server = self.server()
        self.assertPaired(client, server)
        client.lose()
