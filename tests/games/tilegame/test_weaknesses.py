"""
The weaknesses of the original server, each with what happens here instead.
"""

from __future__ import annotations

from dataclasses import fields

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games import Dependencies
from gameservers.games.tilegame import game as description
from gameservers.games.tilegame import session, wire
from gameservers.games.tilegame import world as rules
from gameservers.games.tilegame.records import SCHEMA
from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.world import LARGEST, Tile, World
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from gameservers.net.guard import place_of
from gameservers.store import Store, StoreSettings
from tests.games.tilegame.reading import broken, packet, position, unpacked
from tests.games.tilegame.support import Game, Made
from tests.transports import Network


class WeaknessTests(SynchronousTestCase):
    def names(self, client) -> list[str]:
        return [player[0] for player in client.state().players]

    def test_position_packet_with_an_unknown_name(self) -> None:
        """It adds nobody, not even half a player; all others play on."""
        game = Game()
        mallory, bob = game.play("mallory"), game.play("bob")
        mallory.send(position("nobody", 1, 1))
        self.assertEqual(mallory.received(), ["PACKETRECV_RES"])
        self.assertEqual(self.names(bob), ["mallory", "bob"])
        self.assertEqual(self.names(game.play("carol")), ["mallory", "bob", "carol"])

    def test_name_below_plus(self) -> None:
        """A name with a space is refused in the nearest words there are, and nobody suffers."""
        game = Game()
        bob, mallory = game.play("bob"), game.connect()
        for name in ("a b", "!", "a+b", "a,b"):
            mallory = game.connect()
            self.assertEqual(mallory.join(name)[-1], "NAMEALREXIST_ERR", name)
        self.assertEqual(self.names(bob), ["bob"])
        game.clock.turn(2)
        self.assertTrue(mallory.reset)

    def test_packets_in_the_name_of_another(self) -> None:
        """They are answered, and move and break nothing."""
        game = Game()
        alice, bob = game.play("alice"), game.play("bob")
        bob.move("bob", 20, 20)
        alice.send(position("bob", 999, -999), broken("bob", 8, 0))
        self.assertEqual(alice.received(), ["PACKETRECV_RES"] * 2)
        state = bob.state()
        self.assertEqual(state.players[1], ("bob", 20, 20, 0, 0))
        self.assertEqual(state.bits, bytes(512))

    def test_player_vanishes_without_good_bye(self) -> None:
        """It is gone with its connection, or after 15 s of silence; its place is free."""
        game = Game(max_players=2)
        lost, silent = game.play("lost"), game.play("silent")
        lost.close()
        bob = game.play("bob")
        for _ in range(15):
            game.clock.turn(1)
            bob.move("bob", 1, 1)
        self.assertTrue(silent.reset)
        self.assertEqual(self.names(bob), ["bob"])
        game.play("silent")

    def test_connection_lost_in_the_handshake(self) -> None:
        """A step of the handshake may take 60 s, and a lost one leaves nothing."""
        game = Game()
        silent = game.connect()
        silent.send("RECOGNITION_REQ")
        lost = game.connect()
        lost.join("ghost")
        lost.close()
        game.clock.turn(60)
        self.assertTrue(silent.reset)
        self.assertEqual(self.names(game.play("looker")), ["looker"])

    def test_wrong_first_token(self) -> None:
        """It is the end at once: no world, no player."""
        for first in (b"0" * 32, bytes(range(32)), wire.MAPDATA_REQ):
            client = Game().connect()
            client.send(first)
            self.assertTrue(client.reset)
            self.assertEqual(client.received(), [])

    def test_steps_out_of_order(self) -> None:
        """A wrong token in the handshake is the end."""
        for steps in (
            ["RECOGNITION_REQ", "GLGAME_REQ"],
            ["RECOGNITION_REQ", "PLAYERJOIN_REQ"],
            ["RECOGNITION_REQ", "MAPDATA_REQ", "MAPDATA_REQ"],
            ["RECOGNITION_REQ", "MAPDATA_REQ", "GLGAME_REQ"],
        ):
            client = Game().connect()
            client.send(*steps)
            self.assertTrue(client.reset, steps)

    def test_odd_packets(self) -> None:
        """Unknown commands and half packets are answered; too many of them are the end."""
        self.patch(session, "MAX_ODD_PACKETS", 4)
        game = Game()
        alice, bob = game.play("alice"), game.play("bob")
        for content in (b"\x1f\x36\x01abcd", b"\x1d\x37\x44", b"\x1d\xff\xfe\x01", b"\x1e"):
            alice.send(packet(content))
            self.assertEqual(alice.received(), ["PACKETRECV_RES"])
        alice.send(b"x" * 32)
        self.assertTrue(alice.reset)
        self.assertEqual(self.names(bob), ["bob"])

    def test_unknown_tokens(self) -> None:
        """A token, text or empty packet that is not known gets no answer and does no harm."""
        alice = Game().play("alice")
        for odd in (b"x" * 32, b"SGPKT".ljust(32, b"\0"), b"CGPKT".ljust(32, b"\0")):
            alice.send(odd)
            self.assertEqual(alice.received(), [])
        self.assertEqual(self.names(alice), ["alice"])

    def test_positions_are_checked(self) -> None:
        """A position is on the map, whatever was said."""
        game = Game()
        alice = game.play("alice")
        for said, known in ((32767, 992), (-32768, -1024), (100, 100)):
            alice.move("alice", said, said)
            self.assertEqual(alice.state().players[0][1:3], (known, known))

    def test_speed_can_be_checked(self) -> None:
        """As an option a leap is ignored, but not the one to the place of birth."""
        game = Game(max_speed=350.0)
        alice = game.play("alice")
        alice.move("alice", -800, 800)
        self.assertEqual(alice.move("alice", 800, -800), ["PACKETRECV_RES"])
        self.assertEqual(alice.state().players[0][1:3], (-800, 800))

    def test_breaking_does_not_wrap(self) -> None:
        """Column 200 of 64 is no column."""
        game = Game()
        alice = game.play("alice")
        alice.send(broken("alice", 200, 63), broken("alice", 8, 64), broken("alice", 255, 255))
        self.assertEqual(alice.received(), ["PACKETRECV_RES"] * 3)
        self.assertEqual(alice.state().bits, bytes(512))

    def test_breaking_has_a_reach_and_a_rate(self) -> None:
        """Tiles far away stay whole, and so do more than a shovel breaks."""
        game = Game(reach=2, break_burst=3)
        for at in range(64**2):
            game.world.tiles[at] = Tile.COBBLESTONE
        alice = game.play("alice")
        alice.send(broken("alice", 35, 32), *(broken("alice", x, 32) for x in range(30, 35)))
        self.assertEqual(alice.received(), ["PACKETRECV_RES"] * 6)
        self.assertEqual([x for x in range(64) if game.world.is_broken(x, 32)], [30, 31, 32])

    def test_length_field(self) -> None:
        """A packet that says it has 64 KB is one block like any other; nothing is waited for."""
        alice = Game().play("alice")
        for length in (26, 32, 33, 65535):
            alice.send(b"SGPKT" + length.to_bytes(2, "big") + b"\x1d".ljust(25))
            self.assertEqual(alice.received(), ["PACKETRECV_RES"])
        self.assertEqual(alice.move("alice", 1, 1), ["PACKETRECV_RES"])

    def test_nothing_is_compressed_per_tick(self) -> None:
        """Ten players at full pace cause one payload for each broken tile, not for each state."""
        game = Game()
        players = [game.play(f"player{number}") for number in range(10)]
        packed = []
        self.patch(game.world, "changes", lambda: packed.append(True) or World.changes(game.world))
        for turn in range(20):
            for number, player in enumerate(players):
                player.move(f"player{number}", turn, turn)
                player.state()
        players[0].send(broken("player0", 8, 0))
        for player in players:
            self.assertEqual(player.state().bits[1], 0x80)
        self.assertEqual(len(packed), 2)

    def test_dictionary_is_small(self) -> None:
        """The container asks the client for a dictionary of 4 KiB and a CRC32."""
        packed = wire.payload(b"x" * 5000)
        self.assertEqual(packed[:8].hex(), "fd377a585a000001")
        self.assertEqual(packed[12:17].hex(), "0200210100", "block header: LZMA2, 4 KiB")

    def test_connections_are_limited(self) -> None:
        """There are only so many, three quarters of them from one address; one more is reset."""
        game = Game(max_connections=5)
        clients = [game.play(f"a{number}") for number in range(3)]
        self.assertTrue(game.connect("192.0.2.1").reset)
        clients += [game.play(f"b{number}", "192.0.2.2") for number in range(2)]
        self.assertTrue(game.connect("192.0.2.3").reset)
        self.assertTrue(all(client.connected for client in clients))
        clients[0].close()
        self.assertTrue(game.connect("192.0.2.1").connected)

    def test_connections_of_one_network(self) -> None:
        """A subscriber has all of an IPv6 /64; one that is trusted has no such limit."""
        trusted = []
        game = Game(
            max_connections=2, place_of=lambda host: "" if host in trusted else place_of(host)
        )
        self.assertTrue(game.connect("2001:db8::1").connected)
        self.assertTrue(game.connect("2001:db8::2").reset)
        other = game.connect("2001:db8:0:1::1")
        self.assertTrue(other.connected)
        other.close()
        trusted.append("2001:db8::1")
        self.assertTrue(game.connect("2001:db8::1").connected)

    def test_ten_long_names(self) -> None:
        """The tenth player with a long name plays like the others."""
        game = Game()
        players = [game.play(str(number) * 16) for number in range(10)]
        for number, player in enumerate(players):
            player.move(str(number) * 16, number, 0)
        for number, player in enumerate(players):
            names = self.names(player)
            self.assertEqual(len(names), 9)
            self.assertIn(str(number) * 16, names)

    def test_state_fits_its_length(self) -> None:
        """The worst that can be broken in the largest world is well below what fits."""
        world = World("", "", bytes([Tile.COBBLESTONE]) * LARGEST**2)
        for at in range(0, LARGEST**2, 2):
            x, y = at % LARGEST, at // LARGEST
            world.break_tile(x ^ (y & 1), y)
        world.bits[::2] = bytes(len(world.bits[::2]))  # no two bytes alike
        world._packed = None
        self.assertGreater(len(world.changes()), 13_000)
        packed = world.changes_payload()
        self.assertEqual(unpacked(packed), world.changes())
        self.assertLess(len(packed), wire.MAX_STATE - 300)

    def test_breaking_is_not_slow(self) -> None:
        """Breaking a tile of a large world encodes nothing and copies nothing."""
        world = World("", "", bytes([Tile.COBBLESTONE]) * LARGEST**2)
        tiles, encoded = world.tiles, []
        for encode in ("encode_tiles", "encode_bits"):
            self.patch(rules, encode, encoded.append)
        for x in range(LARGEST):
            self.assertTrue(world.break_tile(x, x))
        self.assertIs(world.tiles, tiles)
        self.assertEqual(encoded, [])

    def test_maximum_of_players(self) -> None:
        """The eleventh is told so; when one leaves there is a place."""
        game = Game()
        players = [game.play(f"player{number}") for number in range(10)]
        self.assertEqual(game.connect().join("eleventh")[-1], "MAXPLAYERS_ERR")
        players[3].send("DISCONNECT_REQ")
        self.assertEqual(game.connect().join("eleventh")[-1], "PLAYEROBJ_RES")
        self.assertEqual(game.present, 10)

    def test_port_is_not_fixed(self) -> None:
        """It is an option, 0 turns it off; that it is free after a restart is tested elsewhere."""
        about = {each.name: each.metadata["option"] for each in fields(TileGameSettings)}["port"]
        self.assertEqual(about.off, 0)
        for port in (0, 35000, 50000):
            settings = TileGameSettings(port=port)
            clock = Network()
            store = Store(StoreSettings(database="memory"), clock, [SCHEMA])
            lobby = Lobby(clock, Metrics())
            service = description.build(
                Dependencies(description.name, lobby, clock, settings, store=store)
            )
            self.assertEqual(service.settings.port, port)

    def test_world_is_there_before_it_is_asked_for(self) -> None:
        """A large world is made once, not while somebody waits for each state."""
        game = Game(Made("abc", "default", 192))
        self.assertEqual(game.play("alice").state().bits, bytes(192 * 192 // 8))
