"""
Connections: the handshake in every arrival pattern, the pace, the outbox, the end.
"""

from __future__ import annotations

import socket
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tilegame import protocol
from gameservers.games.tilegame.outbox import BlockOutbox
from gameservers.net.bypass import APART
from gameservers.net.turn import Turn
from tests.games.tilegame.reading import TOKEN, Map, State, broken, packet, position
from tests.games.tilegame.support import Client, Game, Made, Threads
from tests.transports import ROOM, Network, Peer

HANDSHAKE = ["RECOGNITION_REQ", "MAPDATA_REQ", "PLAYERJOIN_REQ"]


class HandshakeTests(SynchronousTestCase):
    def test_in_order(self) -> None:
        """Each step is answered as the client waits for it, up to the first position."""
        client = Game().connect()
        client.send("RECOGNITION_REQ")
        self.assertEqual(client.received(), ["RECOGNITION_RES"])
        client.send("MAPDATA_REQ")
        [world] = client.received()
        self.assertEqual((type(world), world.side), (Map, 64))
        client.send("PLAYERJOIN_REQ")
        self.assertEqual(client.received(), ["PLAYERJOIN_RES"])
        client.send(b"alice")
        self.assertEqual(client.received(), ["PLAYEROBJ_RES"])
        client.send("GLGAME_REQ")
        here = (("alice", 0, 0, 0, 0),)
        state = State(here, bytes(512))
        self.assertEqual(client.received(), ["GLGAME_RES", state, "LCGAME_REQ"])
        client.send(position("alice", 3, 4))
        self.assertEqual(client.received(), ["PACKETRECV_RES"])

    def test_every_split(self) -> None:
        """The blocks of the handshake may be cut anywhere, or come together."""
        stream = b"".join(TOKEN[each] for each in HANDSHAKE)
        game = Game(max_connections=800)
        for cut in range(len(stream) + 1):
            client = game.connect()
            client.send(stream[:cut])
            client.send(stream[cut:])
            said = client.received()
            self.assertEqual((said[0], said[2]), ("RECOGNITION_RES", "PLAYERJOIN_RES"), cut)
            self.assertEqual(len(said), 3)

    def test_byte_by_byte(self) -> None:
        """So may those of the play; only the name has to come at once."""
        game = Game()
        client = game.connect()
        for message in HANDSHAKE:
            for byte in TOKEN[message]:
                client.send(bytes([byte]))
        client.send(b"alice")
        client.received()
        for byte in position("alice", 1, 2) + TOKEN["GLGAME_REQ"]:
            client.send(bytes([byte]))
        said = client.received()
        self.assertEqual(said[:2], ["PACKETRECV_RES", "GLGAME_RES"])
        self.assertEqual(said[2].players, (("alice", 1, 2, 0, 0),))

    def test_name_with_the_step_before(self) -> None:
        """A name that comes with PLAYERJOIN_REQ is what comes after it."""
        client = Game().connect()
        client.send(*HANDSHAKE, b"alice")
        self.assertEqual(client.received()[-2:], ["PLAYERJOIN_RES", "PLAYEROBJ_RES"])

    def test_wrong_order(self) -> None:
        """Any other token than the one whose turn it is cuts the client off."""
        game = Game(max_connections=800)
        for step, expected in enumerate(HANDSHAKE):
            for token in TOKEN:
                if token != expected:
                    client = game.connect()
                    client.send(*HANDSHAKE[:step])
                    client.received()
                    client.send(token)
                    self.assertTrue(client.reset, (step, token))
                    self.assertEqual(client.received(), [])

    def test_good_bye_for_a_name(self) -> None:
        """BYEBYE is no name: nobody joins."""
        game = Game()
        client = game.connect()
        client.send(*HANDSHAKE)
        client.send("DISCONNECT_REQ")
        game.clock.turn(2)
        self.assertTrue(client.reset)
        self.assertEqual(game.present, 0)

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.sampled_from(sorted(TOKEN.values())) | st.binary(max_size=70), max_size=12))
    def test_junk(self, junk: list[bytes]) -> None:
        """Whatever a client says, another one plays on, and nothing is left of the first."""
        game = Game()
        other = game.play("other")
        client = game.connect()
        for data in junk:
            client.send(data)
            game.clock.turn(0.1)
        client.close()
        self.assertEqual([each[0] for each in other.state().players], ["other"])
        self.assertEqual(game.present, 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_refused_client_is_told_first(self) -> None:
        """The error is sent, nothing more said is heard, and after 2 s the client is cut off."""
        game = Game()
        game.play("alice")
        client = game.connect()
        self.assertEqual(client.join("alice")[-1], "NAMEALREXIST_ERR")
        client.send("GLGAME_REQ", position("alice", 9, 9))
        self.assertEqual(client.received(), [])
        game.clock.turn(1.9)
        self.assertTrue(client.connected)
        game.clock.turn(0.1)
        self.assertTrue(client.reset)

    def test_names_before_places(self) -> None:
        """A taken name is told before that there is no place."""
        game = Game(max_players=1)
        game.play("alice")
        self.assertEqual(game.connect().join("alice")[-1], "NAMEALREXIST_ERR")
        self.assertEqual(game.connect().join("bob")[-1], "MAXPLAYERS_ERR")

    def test_names_are_compared_exactly(self) -> None:
        game = Game()
        game.play("alice")
        game.play("Alice")
        self.assertEqual(game.present, 2)


class WaitingForTheWorldTests(SynchronousTestCase):
    def test_early_connections_wait(self) -> None:
        """A client that comes before the world is made gets it when it is."""
        threads = Threads()
        game = Game(in_thread=threads)
        clients = [game.connect() for _ in range(3)]
        for client in clients:
            client.send(*HANDSHAKE, b"x" * 9)
            self.assertEqual(client.received(), ["RECOGNITION_RES"])
        clients[2].close()
        game.clock.turn(1000)  # nobody's fault but ours
        while threads.work:
            threads.do()
        for client in clients[:2]:
            self.assertIsInstance(client.received()[0], Map)

    def test_map_is_packed_once(self) -> None:
        """Everybody gets the same map, packed once, until a tile breaks."""
        threads = Threads()
        game = Game(in_thread=threads)
        while threads.work:
            threads.do()
        maps = []
        for number in range(3):
            client = game.connect()
            client.send("RECOGNITION_REQ", "MAPDATA_REQ")
            self.assertEqual(len(threads.work), number == 0)
            threads.do()
            maps.append(client.received()[1])
        self.assertEqual(maps, maps[:1] * 3)
        self.assertTrue(game.world.break_tile(8, 0))
        client = game.connect()
        client.send("RECOGNITION_REQ", "MAPDATA_REQ")
        threads.do()
        self.assertNotEqual(client.received()[1], maps[0])

    def test_tile_breaks_while_the_map_is_packed(self) -> None:
        """The first state has what the map has not."""
        threads = Threads()
        game = Game(in_thread=threads)
        while threads.work:
            threads.do()
        client = game.connect()
        client.send("RECOGNITION_REQ", "MAPDATA_REQ")
        game.world.break_tile(8, 0)
        threads.do()
        self.assertEqual(client.received()[1].bits, bytes(512))
        client.send("PLAYERJOIN_REQ", b"alice")
        self.assertEqual(client.state().bits[:2], b"\0\x80")

    def test_no_world(self) -> None:
        """Without a world there is nothing to wait for."""
        game = Game(Made(theme="no such theme"))
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        client = game.connect()
        client.send("RECOGNITION_REQ", "MAPDATA_REQ")
        self.assertTrue(client.reset)


class PaceTests(SynchronousTestCase):
    def asked(self, client: Client) -> bool:
        client.send("GLGAME_REQ")
        return client.received() != []

    def test_states_per_second(self) -> None:
        """The next state comes when 1/TPS have gone since the last, however early it is asked."""
        for tps in (1, 20, 100):
            game = Game(tps=tps)
            client = game.play("alice")
            self.assertTrue(self.asked(client))
            self.assertFalse(self.asked(client))
            game.clock.turn(1 / tps - 0.001)
            self.assertEqual(client.received(), [])
            game.clock.turn(0.001)
            self.assertEqual(client.received()[0], "GLGAME_RES")

    def test_twenty_in_a_second(self) -> None:
        """A client that asks again at once gets 20 states a second, though timers are late."""
        game = Game()
        client = game.play("alice")
        states = 0
        client.send("GLGAME_REQ")
        while game.clock.seconds() < 9.999:
            game.clock.turn(0.003)
            if client.received():
                states += 1
                client.send("GLGAME_REQ")
        self.assertIn(states, (199, 200, 201))

    def test_nothing_is_made_up_for(self) -> None:
        """A client that was away does not get more often what it missed."""
        game = Game()
        client = game.play("alice")
        self.asked(client)
        game.clock.turn(5)
        self.assertTrue(self.asked(client))
        self.assertFalse(self.asked(client))
        game.clock.turn(1)  # a timer as late as that
        self.assertNotEqual(client.received(), [])
        self.assertFalse(self.asked(client))
        game.clock.turn(0.049)
        self.assertEqual(client.received(), [])

    def test_together(self) -> None:
        """A client out of step gets its states a little later each time, until it is in step."""
        game = Game()
        alice, bob = game.play("alice"), game.play("bob")
        told: dict[Client, list[float]] = {alice: [0.0], bob: []}
        self.assertTrue(self.asked(alice))
        alice.send("GLGAME_REQ")
        game.clock.turn(0.021)
        bob.send("GLGAME_REQ")
        for _ in range(1000):
            for client, times in told.items():
                if client.received():
                    times.append(game.clock.seconds())
                    client.send("GLGAME_REQ")
            game.clock.turn(0.001)
        self.assertEqual(told[alice][-10:], told[bob][-10:])
        for times in told.values():
            gaps = [after - before for before, after in pairwise(times)]
            self.assertGreater(min(gaps), 0.0499)
            self.assertLess(max(gaps), 0.0561)
            self.assertGreaterEqual(len(times), 19)

    def test_one_timer(self) -> None:
        """Clients that wait for the same moment share a timer, until the last of them is gone."""
        game = Game()
        players = [game.play(f"player{number}") for number in range(10)]
        timers = len(game.clock.getDelayedCalls())
        for player in players:
            player.send("GLGAME_REQ", "GLGAME_REQ")
        self.assertEqual(len(game.clock.getDelayedCalls()), timers + 1)
        for player in players[1:]:
            player.close()
        players[0].received()
        game.clock.turn(0.05)
        self.assertEqual(len(players[0].received()), 3)
        players[0].send("GLGAME_REQ")
        players[0].close()
        self.assertEqual(len(game.clock.getDelayedCalls()), 1)  # that the world is saved

    def test_one_cuts_off_another(self) -> None:
        """A client cut off while others are served at the same moment is not served."""
        game = Game()
        alice, bob = game.play("alice"), game.play("bob")
        for client in (alice, bob):
            client.send("GLGAME_REQ", "GLGAME_REQ")
            client.received()
        state = game.worlds.room.state

        def cut_off(participant):
            bob.peer.protocol.abort()
            return state(participant)

        self.patch(game.worlds.room, "state", cut_off)
        game.clock.turn(0.05)
        self.assertEqual(len(alice.received()), 3)
        self.assertEqual(bob.received(), [])

    def test_bug(self) -> None:
        """What goes wrong with one client's state is logged and cuts off this one alone."""
        game = Game()
        alice, bob = game.play("alice"), game.play("bob")
        for client in (alice, bob):
            client.send("GLGAME_REQ", "GLGAME_REQ")
            client.received()
        state = game.worlds.room.state

        def buggy(participant):
            return state(participant) if participant.avatar.name == "bob" else 1 // 0

        self.patch(game.worlds.room, "state", buggy)
        game.clock.turn(0.05)
        self.assertTrue(alice.reset)
        self.assertEqual(len(bob.received()), 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(game.cuts, {"failed": 1})

    def test_slow_client_is_not_put_off(self) -> None:
        """A client that asks later than it may is answered at once, in step or not."""
        game = Game()
        client = game.play("alice")
        for _ in range(20):
            self.assertTrue(self.asked(client))
            game.clock.turn(0.053)

    def test_packets_are_answered_at_once(self) -> None:
        """Only states have a pace."""
        client = Game().play("alice")
        for number in range(30):
            self.assertEqual(client.move("alice", number, 0), ["PACKETRECV_RES"])

    def test_order(self) -> None:
        """What is said after GLGAME_REQ is answered after it."""
        game = Game()
        client = game.play("alice")
        client.send("GLGAME_REQ", "GLGAME_REQ", position("alice", 1, 1), "GLGAME_REQ")
        self.assertEqual(len(client.received()), 3)
        game.clock.turn(0.05)
        said = client.received()
        self.assertEqual((said[0], said[3:]), ("GLGAME_RES", ["PACKETRECV_RES"]))
        game.clock.turn(0.05)
        self.assertEqual(client.received()[1].players, (("alice", 1, 1, 0, 0),))

    def test_each_has_its_own(self) -> None:
        game = Game()
        alice, bob = game.play("alice"), game.play("bob")
        self.assertTrue(self.asked(alice))
        self.assertTrue(self.asked(bob))

    def test_packet_rate(self) -> None:
        """More packets than the limit wait, and are answered in their time."""
        game = Game(max_rate=40.0)
        client = game.play("alice")
        client.send(position("alice", 1, 1) * 60)
        self.assertEqual(len(client.received()), 40)
        answers = 0
        for _ in range(25):
            game.clock.turn(1 / 40)
            answers += len(client.received())
        self.assertEqual(answers, 20)


class FlowTests(SynchronousTestCase):
    def test_read_ahead(self) -> None:
        """A client that says more than can be handled now is not read until it is."""
        self.patch(protocol, "READ_AHEAD", 96)
        game = Game()
        client = game.play("alice")
        client.send(*["GLGAME_REQ"] * 4)  # one answered, three waiting
        self.assertTrue(client.peer.reading)
        client.send("GLGAME_REQ")
        client.send("GLGAME_REQ")
        self.assertFalse(client.peer.reading)
        game.clock.turn(0.05)
        game.clock.turn(0.05)
        self.assertTrue(client.peer.reading)

    def test_max_unread(self) -> None:
        """A client that does not read causes nothing more to be written, and goes."""
        game = Game(max_unread=1024, max_rate=4000.0)
        client = game.play("alice")
        client.peer.stall()
        for _ in range(100):
            client.send(position("alice", 1, 1))
        self.assertFalse(client.peer.reading)
        self.assertEqual(game.worlds.room.avatars.get("alice").previous_x, 1)
        self.assertEqual(client.peer.protocol.outbox.pending, 1024)
        client.peer.read_on()
        self.assertEqual(len(client.received()), 100)
        self.assertTrue(client.peer.reading)
        client.peer.stall()
        client.send(position("alice", 1, 1) * 100)
        self.assertEqual(client.peer.protocol.outbox.pending, 1024)
        game.clock.turn(15)
        self.assertTrue(client.reset)
        self.assertEqual(game.cuts, {"slow": 1})

    def test_others_while_one_does_not_read(self) -> None:
        """Nobody else is delayed by a client that does not read."""
        game = Game(max_unread=1024)
        alice, bob = game.play("alice"), game.play("bob")
        alice.peer.stall()
        for number in range(300):
            alice.send(position("alice", number, 1))
            self.assertEqual(bob.move("bob", number, 1), ["PACKETRECV_RES"])
            if number % 100 == 0:
                self.assertEqual(len(bob.state().players), 2)
        game.clock.turn(14)
        bob.move("bob", 1, 1)
        game.clock.turn(1)
        self.assertTrue(alice.reset)
        self.assertEqual(len(bob.state().players), 1)

    def test_whole_blocks(self) -> None:
        """Nothing is written that is not whole blocks, one write for each answer."""
        game = Game()
        client = game.connect()
        for message in (*HANDSHAKE, b"alice", "GLGAME_REQ", position("alice", 5, 5)):
            client.peer.socket.sends.clear()
            client.send(message)
            self.assertEqual(len(client.peer.socket.sends), 1)
            self.assertEqual(len(client.peer.socket.sends[0]) % 32, 0)

    def test_large_map_in_pieces(self) -> None:
        """A large map leaves in pieces of 1024 bytes."""
        client = Game(Made("abc", "default", 192)).connect()
        client.send("RECOGNITION_REQ", "MAPDATA_REQ")
        _, *pieces = client.peer.socket.sends
        self.assertGreater(len(pieces), 2)
        self.assertEqual({len(piece) for piece in pieces[:-1]}, {1024})
        self.assertLessEqual(len(pieces[-1]), 1024)
        self.assertEqual(client.received()[1].side, 192)

    def test_no_delay(self) -> None:
        """The connection does not wait for more to send."""
        client = Game().connect()
        options = client.peer.socket.options
        self.assertTrue(options[socket.IPPROTO_TCP, socket.TCP_NODELAY])


class OutboxTests(SynchronousTestCase):
    """Blocks on a network that takes as much as it is told to."""

    def outbox(self, room: int = ROOM) -> tuple[Peer, BlockOutbox]:
        network = Network()
        self.flow: list[bool] = []
        peer = network.connect(Factory.forProtocol(Protocol))
        peer.stall(room)
        outbox = BlockOutbox(
            peer.transport,
            Turn(network),
            max_unread=4096,
            overflowed=self.fail,
            flow=self.flow.append,
        )
        return peer, outbox

    def sends(self, peer: Peer) -> list[int]:
        return [len(each) for each in peer.socket.sends]

    def test_pieces(self) -> None:
        """What the network takes is sent at once, each piece by itself."""
        peer, outbox = self.outbox()
        outbox.send(bytes(range(256)) * 10)
        self.assertEqual(self.sends(peer), [1024, 1024, 512])
        self.assertEqual(peer.received(), bytes(range(256)) * 10)
        self.assertEqual(self.flow, [])

    def test_apart(self) -> None:
        """A slow network does not join the pieces."""
        peer, outbox = self.outbox()
        outbox.send(bytes(3008))
        peer.network.turn()
        self.assertEqual(set(peer.socket.flags), {APART})

    def test_the_network_takes_less(self) -> None:
        """After a part of a piece the next one ends where a block ends."""
        peer, outbox = self.outbox(1124)
        outbox.send(bytes(range(256)) * 12)
        peer.network.turn()
        outbox.send(b"!" * 32)
        peer.network.turn()
        self.assertEqual(self.flow, [True])
        said = peer.socket.outgoing
        peer.read_on()
        self.assertEqual(said, bytes(range(256)) * 12 + b"!" * 32)
        self.assertEqual(self.sends(peer), [1024, 100, 924, 1024, 32])
        self.assertEqual(self.flow, [True, False])

    def test_full(self) -> None:
        """It is full when not one more block may wait."""
        peer, outbox = self.outbox(0)
        for _ in range(127):
            outbox.send(bytes(32))
        self.assertFalse(outbox.full)
        outbox.send(bytes(32))
        self.assertTrue(outbox.full)
        peer.network.turn()
        self.assertTrue(outbox.full)
        peer.read_on()
        self.assertFalse(outbox.full)

    def test_lost(self) -> None:
        """A connection that is lost while it is written to ends; nothing waits."""
        peer, outbox = self.outbox()
        peer.socket.reset = True
        outbox.send(bytes(64))
        peer.network.turn()
        self.assertTrue(peer.closed)
        self.assertEqual(outbox.pending, 0)

    def test_last_words(self) -> None:
        """What was said before the end leaves; then the connection is reset, never closed."""
        peer, outbox = self.outbox(100)
        outbox.send(bytes(3008))
        outbox.close(2)
        peer.network.turn()
        peer.read_on()
        self.assertEqual(len(peer.received()), 3008)
        peer.network.turn(1.9)
        self.assertFalse(peer.ended)
        peer.network.turn(0.1)
        self.assertTrue(peer.aborted)


class EndTests(SynchronousTestCase):
    def test_good_bye(self) -> None:
        """BYEBYE is not answered; the player is gone at once."""
        game = Game()
        alice, bob = game.play("alice"), game.play("bob")
        alice.send("DISCONNECT_REQ", "GLGAME_REQ")
        self.assertEqual(alice.received(), [])
        self.assertTrue(alice.reset)
        self.assertEqual(len(bob.state().players), 1)

    def test_name_is_free_again(self) -> None:
        game = Game()
        for _ in range(3):
            game.play("alice").close()
        self.assertEqual(game.present, 0)
        self.assertEqual(len(game.worlds.room.avatars), 0)

    def test_handshake_timeout(self) -> None:
        """Each step has its time; a client that takes more is cut off."""
        for steps in range(len(HANDSHAKE) + 1):
            game = Game()
            client = game.connect()
            for step in HANDSHAKE[:steps]:
                game.clock.turn(59)
                client.send(step)
            game.clock.turn(59)
            self.assertTrue(client.connected)
            game.clock.turn(1)
            self.assertTrue(client.reset)

    def test_silence_timeout(self) -> None:
        """A player is silent for 15 s and no longer, from its last message."""
        game = Game()
        client = game.play("alice")
        game.clock.turn(14)
        client.move("alice", 1, 1)
        game.clock.turn(14)
        self.assertTrue(client.connected)
        with capturedLogs() as logged:
            game.clock.turn(1)
        self.assertTrue(client.reset)
        self.assertEqual(game.present, 0)
        self.assertIn("192.0.2.1", [each.get("address") for each in logged])
        self.assertEqual(game.cuts, {"silent": 1})

    def test_limits_of_time_are_options(self) -> None:
        self.patch(protocol, "FAREWELL", 4.0)
        game = Game(login_timeout=2.0, silence_timeout=3.0)
        handshake, silent, refused = game.connect(), game.play("alice"), game.connect()
        refused.join("alice")
        ended = []
        for _ in range(5):
            game.clock.turn(1)
            ended.append([each.reset for each in (handshake, silent, refused)])
        self.assertEqual(ended[1], [True, False, False])
        self.assertEqual(ended[2], [True, True, False])
        self.assertEqual(ended[3], [True, True, True])

    def test_nothing_is_left_to_do(self) -> None:
        """When all connections are gone, no timer is."""
        game = Game()
        clients = [game.connect() for _ in range(4)]
        clients[1].send("RECOGNITION_REQ")
        clients[2].join("alice")
        clients[2].send("GLGAME_REQ", "GLGAME_REQ")
        clients[3].join("alice")
        for client in clients:
            client.close()
        self.successResultOf(game.stop())
        self.assertEqual(game.clock.getDelayedCalls(), [])

    def test_stop_when_empty(self) -> None:
        """As an option the server stops some time after the last player left."""
        stopped = []
        game = Game(stop=lambda: stopped.append(game.clock.seconds()), stop_when_empty=5.0)
        game.clock.turn(100)
        game.play("alice").close()
        game.clock.turn(4)
        bob = game.play("bob")
        game.clock.turn(10)
        bob.close()
        game.clock.turn(4.9)
        self.assertEqual(stopped, [])
        game.clock.turn(0.1)
        self.assertEqual(stopped, [119.0])

    def test_goes_on_when_empty(self) -> None:
        """By default it does not."""
        stopped = []
        game = Game(stop=lambda: stopped.append(True))
        game.play("alice").close()
        game.clock.turn(1000)
        self.assertEqual(stopped, [])


class LobbyTests(SynchronousTestCase):
    def test_room(self) -> None:
        """The world is one permanent room, and the players are its members."""
        game = Game(max_players=7)
        [room] = game.lobby.rooms()
        self.assertEqual((room.key.game, room.capacity, room.members), ("tilegame", 7, ()))
        alice = game.play("alice")
        self.assertEqual([each.name for each in game.lobby.room(room.key).members], ["alice"])
        [player] = game.lobby.players("tilegame")
        self.assertEqual(player.address, "192.0.2.1")
        alice.close()
        self.assertEqual(game.lobby.room(room.key), room)

    def test_nothing_is_said_for_which_there_is_no_word(self) -> None:
        """Others come and go, operators speak: the connection carries nothing of it."""
        game = Game()
        alice = game.play("alice")
        bob = game.play("bob")
        bob.close()
        game.lobby.announce("nobody hears this")
        self.assertEqual(alice.received(), [])

    def test_expelled(self) -> None:
        """A player who is expelled is cut off, and nobody else."""
        game = Game()
        alice, bob = game.play("alice"), game.play("bob")
        game.lobby.expel(game.lobby.find("tilegame", "bob").id, "enough")
        self.assertTrue(alice.connected)
        self.assertTrue(bob.reset)
        self.assertEqual(game.cuts, {"banned": 1})
        self.assertEqual(game.present, 1)

    def test_log(self) -> None:
        """Coming and going is logged, in fields."""
        with capturedLogs() as logged:
            Game().play("alice").close()
        told = [(each["log_format"], each.get("player") or each.get("name")) for each in logged]
        self.assertIn(
            ("{game} connection {id} from {address} has logged in as {name!r}", "alice"), told
        )
        self.assertIn(("{player} left {room}", "alice"), told)


class WorldTests(SynchronousTestCase):
    def test_everybody_sees_a_broken_tile(self) -> None:
        """It is broken for players that were there, and for those that come later."""
        game = Game()
        alice, bob = game.play("alice"), game.play("bob")
        bob.state()
        alice.send(broken("alice", 8, 0))
        self.assertEqual(alice.received(), ["PACKETRECV_RES"])
        bits = b"\0\x80" + bytes(510)
        self.assertEqual(bob.state().bits, bits)
        carol = game.connect()
        self.assertEqual(carol.join("carol")[1].bits, bits)
        self.assertEqual(carol.state().bits, bits)

    def test_refused_packets_are_answered(self) -> None:
        """Whatever is refused, the client gets its PACKETRECV_RES."""
        client = Game().play("alice")
        for refused in (
            position("bob", 1, 1),
            broken("alice", 0, 0),
            broken("alice", 255, 255),
            packet(b"\x1f\x36\x01"),
            b"SGPKT\xff\xff".ljust(32),
        ):
            client.send(refused)
            self.assertEqual(client.received(), ["PACKETRECV_RES"])
