"""VCMI's game pipe: how two sides find each other, what each is given, and how it ends."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.interfaces import ITCPTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gameservers.games.vcmi import pipe
from gameservers.games.vcmi.pipe import LOOK, MAX_HANDSHAKE
from tests.games.vcmi.clients import (
    Client,
    House,
    MemoryTransport,
    frame,
    pipe_hello,
    started_game,
)


@implementer(ITCPTransport)
class SocketTransport(MemoryTransport):
    """A transport that remembers how its socket was set up."""

    def __init__(self, host: str = "192.0.2.1") -> None:
        super().__init__(host)
        self.options: dict[str, bool] = {}

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.options["no delay"] = enabled

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.options["keep alive"] = enabled


class PipeTestCase(SynchronousTestCase):
    #: Fields a test case sets otherwise than their defaults.
    limits: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
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
        connection.send_bytes(data)
        return connection

    def assertPaired(self, one: Client, other: Client) -> None:
        """What one says now, the other gets, and the other way round."""
        for speaker, listener in ((one, other), (other, one)):
            before = len(listener.transport.value())
            speaker.send_bytes(b"are you there")
            self.assertEqual(listener.transport.value()[before:], b"are you there")

    def assertWaiting(self, *pipes: Client) -> None:
        for each in pipes:
            self.assertTrue(each.connected)
            self.assertEqual(each.transport.value(), b"")


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
                    self.assertEqual(client.transport.value(), hellos[1])
                    self.assertEqual(server.transport.value(), hellos[0])
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
            (magic + b"\xff" * 4, "long"),
            (magic + frame(b"(client)") + b"\x01\x04\x00\x00", "long"),
        ):
            before = self.house.cuts.get(why, 0)
            pipe = self.pipe(data)
            self.assertFalse(pipe.connected, data)
            self.assertEqual(pipe.transport.value(), b"", data)
            self.assertEqual(self.house.cuts[why], before + 1, data)
        self.assertEqual(self.house.factory.games.playing, 0)

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
        alice.send_bytes(pipe_hello("(client)", self.uuids[0]))
        self.house.settle()
        self.assertTrue(alice.connected)
        self.assertEqual(self.house.factory.games.playing, 0)

    def test_timeout(self) -> None:
        """The handshake has a minute; the wait that follows has not."""
        hello = pipe_hello("(client)", self.uuids[0])
        for length in (10, 11, 20, 40, len(hello) - 1):
            late = self.pipe(hello[:length])
            self.house.clock.advance(59.9)
            self.assertTrue(late.connected, length)
            self.house.clock.advance(0.1)
            self.assertFalse(late.connected, length)
        self.assertEqual(self.house.cuts, {"silent": 5})
        self.assertEqual(self.house.factory.games.strangers, set())
        waiting = self.client()
        self.assertEqual(self.house.factory.games.strangers, set())
        self.house.clock.advance(86_400)
        self.assertWaiting(waiting)

    def test_socket_options(self) -> None:
        """Small packets leave at once, and a peer that vanished is noticed."""
        connection = self.house.connect(kind=SocketTransport)
        wanted = {"no delay": True, "keep alive": True}
        self.assertEqual(connection.transport.options, wanted)
        connection.transport.options.clear()
        connection.send_bytes(frame(b"Aiya!\n"))
        self.assertEqual(connection.transport.options, wanted)

    def test_counters(self) -> None:
        """What was recognised, what was paired, and who plays at this moment."""
        metrics, games = self.house.metrics, self.house.factory.games

        def counted() -> tuple[int, int, int]:
            return metrics.pipes_opened["vcmi"], metrics.pipes_paired["vcmi"], games.playing

        client = self.client()
        self.assertEqual(counted(), (1, 0, 1))
        self.server()
        self.assertEqual(counted(), (2, 1, 2))
        client.lose()
        self.assertEqual(counted(), (2, 1, 0))


class MeetingTests(PipeTestCase):
    def test_first_come_first_served(self) -> None:
        """Three players and the three connections of their server, in any mixture."""
        clients = [self.client(2), self.client(0)]
        servers = [self.server() for _ in range(3)]
        self.assertWaiting(servers[2])
        clients.append(self.client(1))
        for one, other in zip(clients, servers, strict=True):
            self.assertPaired(one, other)
        self.assertEqual(self.house.factory.games.playing, 6)

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
        self.assertEqual(self.house.cuts, {"replaced": 1})
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
            self.assertEqual(self.house.factory.games.playing, 0)
            again = come(data=b"remembered")
            other = partner()
            self.assertTrue(other.transport.value().endswith(b"remembered"))
            self.assertNotIn(b"forgotten", other.transport.value())
            self.assertPaired(again, other)
            again.lose()

    def test_half_close_before_the_partner(self) -> None:
        """Who will send no more is not waited for."""
        client = self.client(data=b"forgotten")
        client.transport.protocol.readConnectionLost()
        self.assertFalse(client.connected)
        self.assertWaiting(self.server())

    def test_drop_after_pairing(self) -> None:
        """The other is given what was on its way, then closed; both may come back."""
        for _ in range(3):
            for lost in (0, 1):
                pair = self.client(data=b"c"), self.server(data=b"s")
                self.assertPaired(*pair)
                pair[lost].send_bytes(b"the end")
                pair[lost].lose()
                other = pair[1 - lost]
                self.assertTrue(other.transport.value().endswith(b"the end"))
                self.assertFalse(other.connected)
                self.assertEqual(self.house.factory.games.playing, 0)

    def test_half_close_after_pairing(self) -> None:
        """One side's end is the other's."""
        client, server = self.client(), self.server()
        client.send_bytes(b"the end")
        client.transport.protocol.readConnectionLost()
        self.house.settle()
        self.assertTrue(server.transport.value().endswith(b"the end"))
        self.assertFalse(server.connected or client.connected)

    def test_one_pair_is_not_the_other(self) -> None:
        first = self.client(0), self.server()
        second = self.client(1), self.server()
        first[0].lose()
        self.assertFalse(first[1].connected)
        self.assertPaired(*second)


class LifetimeTests(PipeTestCase):
    limits: ClassVar[dict[str, Any]] = {"pipe_lifetime": 100}

    def assertExpired(self) -> None:
        self.assertFalse(self.client().connected)
        self.assertFalse(self.server().connected)

    def test_from_the_start(self) -> None:
        # The game was started 0.3 s ago, before the last frame settled.
        self.house.clock.advance(99.6)
        self.assertWaiting(self.client())
        self.play(3)
        self.house.clock.advance(99.8)
        self.assertExpired()

    def test_from_the_last_end(self) -> None:
        for _ in range(3):
            self.house.clock.advance(99)
            pair = self.client(), self.server()
            self.house.clock.advance(10_000)  # not while somebody is connected
            pair[0].lose()
        self.house.clock.advance(99)
        waiting = self.client()
        self.house.clock.advance(10_000)
        self.assertWaiting(waiting)
        waiting.transport.loseConnection()
        self.house.clock.advance(99.9)
        self.server().transport.loseConnection()
        self.house.clock.advance(100)
        self.assertExpired()

    def test_not_before_the_last(self) -> None:
        """The time begins when nobody is left, not when somebody leaves."""
        first, second = self.client(0), self.client(1)
        first.transport.loseConnection()
        self.house.clock.advance(500)
        self.assertPaired(second, self.server())

    def test_replacing_is_no_end(self) -> None:
        self.client()
        self.client()
        self.house.clock.advance(500)
        self.assertTrue(self.server().transport.value())

    def test_nothing_is_left(self) -> None:
        """Of a game that is over, neither uuids nor timers stay."""
        self.client().transport.loseConnection()
        self.house.clock.advance(100)
        self.assertEqual(self.house.clock.getDelayedCalls(), [])
        self.assertEqual(self.house.factory.games._sessions, {})

    def test_other_games_go_on(self) -> None:
        self.house.clock.advance(50)
        other_host, _ = started_game(self.house, "alice", "bobby")
        self.house.clock.advance(60)
        self.assertExpired()
        self.assertWaiting(self.pipe(pipe_hello("(server)", other_host)))


class EarlyTests(PipeTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(pipe, "MAX_EARLY", 1_024)

    def test_limit(self) -> None:
        """So many bytes are kept, then nothing more is read until the partner is here."""
        client = self.client(data=b"x" * 1_000)
        client.send_bytes(b"y" * 23)
        self.assertEqual(client.transport.producerState, "producing")
        client.send_bytes(b"z")
        self.assertEqual(client.transport.producerState, "paused")
        server = self.server()
        self.assertEqual(client.transport.producerState, "producing")
        self.assertTrue(server.transport.value().endswith(b"x" * 1_000 + b"y" * 23 + b"z"))
        self.assertPaired(client, server)

    def test_glued(self) -> None:
        """More than that in the same segment as the handshake."""
        server = self.server(b"x" * 5_000)
        self.assertEqual(server.transport.producerState, "paused")
        self.assertEqual(self.client().transport.value()[-5_000:], b"x" * 5_000)
        self.assertEqual(server.transport.producerState, "producing")

    def test_of_the_second(self) -> None:
        """Who finds his partner waiting is not paused, however much he brings."""
        self.server()
        client = self.client(data=b"x" * 5_000)
        self.assertEqual(client.transport.producerState, "producing")

    def test_forgotten(self) -> None:
        """Nothing is kept of a connection that ended."""
        client = self.client(data=b"x" * 5_000)
        protocol = client.transport.protocol
        client.lose()
        self.assertEqual(len(protocol._said), 0)

    def test_end_of_one_that_is_not_read(self) -> None:
        """Nobody watches its socket, so it is asked from time to time, and before it is given."""
        gone: set[Any] = set()
        self.patch(pipe, "has_ended", gone.__contains__)
        for clock in (True, False):
            server = self.server(b"x" * 5_000)
            self.house.clock.advance(LOOK)
            self.assertTrue(server.connected)
            gone.add(server.transport)
            if clock:
                self.house.clock.advance(LOOK)
                self.assertFalse(server.connected)
                self.assertEqual(self.house.factory.games.playing, 0)
            client = self.client()
            self.assertWaiting(client)
            self.assertFalse(server.connected)
            fresh = self.server(b"fresh")
            self.assertTrue(client.transport.value().endswith(b"fresh"))
            self.house.clock.advance(2 * LOOK)  # who has his partner is not asked any more
            self.assertPaired(client, fresh)
            client.lose()

    def test_coupled(self) -> None:
        """Each side is the other's producer, so that a slow reader slows its writer."""
        client, server = self.client(), self.server()
        client.transport.producer.pauseProducing()  # the client does not read
        self.assertEqual(server.transport.producerState, "paused")
        self.assertEqual(client.transport.producerState, "producing")
        client.transport.producer.resumeProducing()
        self.assertEqual(server.transport.producerState, "producing")


class CrowdTests(PipeTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(pipe, "MAX_CONNECTIONS", 16)

    def test_the_oldest_that_waits_makes_place(self) -> None:
        servers = [self.server() for _ in range(16)]
        self.assertWaiting(*servers)
        servers.append(self.server())
        self.assertFalse(servers[0].connected)
        self.assertWaiting(*servers[1:])
        self.assertEqual(self.house.cuts, {"crowded": 1})
        self.assertEqual(self.house.factory.games.playing, 16)

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
        for role, uuid in (("VCMI 1.3.2 (client)", self.uuids[0]), ("(server)", self.host)):
            stream = pipe_hello(role, uuid) + data.draw(st.binary(max_size=60))
            cuts = data.draw(st.sets(st.integers(1, len(stream)), max_size=12))
            ends = [0, *sorted(cuts | {len(stream)})]
            parts = [stream[a:b] for a, b in pairwise(ends)]
            sides.append((self.house.connect(), stream, parts))
        order = data.draw(st.permutations([0] * len(sides[0][2]) + [1] * len(sides[1][2])))
        for which in order:
            client, _, parts = sides[which]
            client.send_bytes(parts.pop(0))
        (client, said, _), (server, answered, _) = sides
        self.assertEqual(client.transport.value(), answered)
        self.assertEqual(server.transport.value(), said)
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
                    side.send_bytes(stream[at : at + 1])
        self.assertEqual(sides[0].transport.value(), streams[1])
        self.assertEqual(sides[1].transport.value(), streams[0])

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.binary(max_size=40), max_size=4), st.booleans())
    def test_junk(self, frames: list[bytes], framed: bool) -> None:
        """Junk after the magic ends its connection, and disturbs nobody."""
        client = self.client()
        junk = b"".join(map(frame, frames)) if framed else b"".join(frames)
        stranger = self.pipe(frame(b"Aiya!\n") + junk)
        self.house.clock.advance(60)
        self.assertFalse(stranger.connected)
        self.assertEqual(stranger.transport.value(), b"")
        server = self.server()
        self.assertPaired(client, server)
        client.lose()
