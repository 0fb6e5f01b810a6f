"""
The game's own names for its server, with the arguments and returns it documents.
"""

from __future__ import annotations

import socket
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.world import Tile, World
from tests.games.tilegame.reading import (
    NAME,
    TOKEN,
    broken,
    expanded,
    messages,
    packet,
    position,
    read_state,
    unpacked,
)

API = Path(__file__).parents[3] / "examples" / "tilegame-api" / "tilegame_api.py"


def loaded(path: Path) -> Any:
    """A module that is not on the path."""
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tilegame_api = loaded(API)
PlayerHandler = tilegame_api.PlayerHandler
ServerTasks = tilegame_api.ServerTasks
WorldHandler = tilegame_api.WorldHandler


class Conn:
    """A connection that was sent something, and remembers what it sends."""

    def __init__(self, *received: bytes) -> None:
        self.received = list(received)
        self.sent = b""

    def recv(self, size: int) -> bytes:
        return self.received.pop(0)[:size]

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)


class PlainConn:
    """A connection that equals every other, and is not made to be put into a set."""

    __slots__ = ("_received", "send")

    name = "connection"

    def __init__(self, name: bytes) -> None:
        self._received = iter([TOKEN["PLAYERJOIN_REQ"], name])
        self.send = Mock()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlainConn)

    def recv(self, size: int) -> bytes:
        return next(self._received)


class Sender:
    """A connection that can only send, for a player whose name it has."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.sent = b""

    def send(self, data: bytes) -> None:
        self.sent += data


def a_world(tile: Tile = Tile.COBBLESTONE) -> WorldHandler:
    handler = WorldHandler()
    handler.set_world(World("seed", "default", bytes([tile]) * 64**2))
    return handler


class PlayerHandlerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.players = PlayerHandler()
        for name in ("alice", "bob"):
            self.assertEqual(self.players.track_player({"name": name}), name)

    def test_get_player(self) -> None:
        """The index in the list and the player; both C{None} for nobody."""
        bob = {
            "name": "bob",
            "x": 0,
            "y": 0,
            "previous_x": 0,
            "previous_y": 0,
            "lerp": 0.0,
            "health": 100,
        }
        self.assertEqual(self.players.get_player("bob"), {"index": 1, "player": bob})
        self.assertEqual(self.players.get_player("carol"), {"index": None, "player": None})

    def test_untrack_player(self) -> None:
        self.assertIsNone(self.players.untrack_player("alice"))
        self.assertIsNone(self.players.untrack_player("nobody"))
        self.assertEqual([each["name"] for each in self.players.get_players()], ["bob"])
        self.assertEqual(self.players.get_player("bob")["index"], 0)

    def test_update_player_position(self) -> None:
        """It moves a player that is here and makes none."""
        self.players.update_player_position({"name": "bob", "x": 7, "y": -7})
        self.players.update_player_position({"name": "bob", "x": 8, "y": -8})
        self.players.update_player_position({"name": "nobody", "x": 1, "y": 1})
        bob = self.players.get_player("bob")["player"]
        self.assertEqual((bob["x"], bob["y"]), (8, -8))
        self.assertEqual((bob["previous_x"], bob["previous_y"]), (7, -7))
        self.assertEqual(len(self.players.get_players()), 2)

    def test_update_player(self) -> None:
        self.players.update_player({"name": "alice", "x": 3, "y": 4, "lerp": 1.0, "health": 50})
        self.players.update_player({"name": "nobody", "x": 3, "y": 4})
        alice = self.players.get_player("alice")
        self.assertEqual(alice["index"], 0)
        self.assertEqual((alice["player"]["lerp"], alice["player"]["health"]), (1.0, 50))
        self.assertEqual(len(self.players.get_players()), 2)

    def test_get_players_compressed(self) -> None:
        block = self.players.get_players(compressed=True)
        self.assertEqual(block.hex()[:6], "100e00")
        self.assertEqual(len(block), 3 + 16 + 14)

    def test_no_name(self) -> None:
        """Nobody is tracked whose name would break the states of all."""
        for name in ("a b", "", "x" * 17, "Īé"):
            self.assertRaises(ValueError, self.players.track_player, {"name": name})


class WorldHandlerTests(SynchronousTestCase):
    def test_create_world(self) -> None:
        """By name, by number or by a theme's dictionary; an unknown size is small."""
        made = []
        for theme in ("HELL", "hell", 1, {"id": 1, "name": "Hell"}, {"name": "HELL"}):
            worlds = WorldHandler()
            worlds.create_world("transcript1", theme, "no such size")
            made.append(worlds.get_map_data())
        self.assertEqual(made, made[:1] * 5)
        self.assertEqual(made[0][:2], b"\x3f\x3f")

    def test_broken_tile(self) -> None:
        worlds = a_world()
        for x, y in ((1, 0), (200, 63)):
            worlds.update_broken_tile({"name": "a", "broken_tile_x": x, "broken_tile_y": y})
        self.assertEqual(worlds.get_world().revision, 1)
        changes = worlds.get_map_data(only_dynatile=True)
        self.assertEqual(expanded(changes[4:], 1), b"\x40" + bytes(511))
        self.assertTrue(worlds.get_map_data().endswith(changes[4:]))

    def test_no_world(self) -> None:
        self.assertRaises(LookupError, WorldHandler().get_map_data)


class ServerTasksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.players = PlayerHandler(TileGameSettings(max_players=2))
        self.worlds = a_world()

    def join(self, name: str) -> Conn:
        conn = Conn(TOKEN["PLAYERJOIN_REQ"], name.encode())
        self.assertEqual(ServerTasks.player_join(conn, self.players), name)
        conn.sent = b""
        return conn

    def test_recognition(self) -> None:
        conn = Conn(TOKEN["RECOGNITION_REQ"], b"?" * 32)
        self.assertIs(ServerTasks.recognition(conn, ("192.0.2.1", 1)), True)
        self.assertIs(ServerTasks.recognition(conn, ("192.0.2.1", 1)), False)
        self.assertEqual(messages(conn.sent), ["RECOGNITION_RES"])

    def test_map_data(self) -> None:
        conn = Conn(TOKEN["MAPDATA_REQ"], TOKEN["GLGAME_REQ"])
        for _ in range(2):
            self.assertIsNone(ServerTasks.map_data(conn, ("192.0.2.1", 1), self.worlds))
        [world] = messages(conn.sent)
        self.assertEqual(world.side, 64)

    def test_player_join(self) -> None:
        conn = Conn(TOKEN["PLAYERJOIN_REQ"], b"alice")
        self.assertEqual(ServerTasks.player_join(conn, self.players), "alice")
        self.assertEqual(messages(conn.sent), ["PLAYERJOIN_RES", "PLAYEROBJ_RES"])
        self.assertEqual(self.players.get_player("alice")["index"], 0)

    def test_player_join_refused(self) -> None:
        """An empty text, after the client was told; names go before places."""
        self.join("alice")
        self.join("bob")
        for name, error in (
            (b"alice", "NAMEALREXIST_ERR"),
            (b"a b", "NAMEALREXIST_ERR"),
            (b"carol", "MAXPLAYERS_ERR"),
        ):
            conn = Conn(TOKEN["PLAYERJOIN_REQ"], name)
            self.assertEqual(ServerTasks.player_join(conn, self.players), "")
            self.assertEqual(messages(conn.sent), ["PLAYERJOIN_RES", error])
        self.assertEqual(ServerTasks.player_join(Conn(TOKEN["GLGAME_REQ"]), self.players), "")

    def test_game_state(self) -> None:
        """Sent when it is asked for, with the changes only when there are new ones."""
        conn = self.join("alice")
        state = ServerTasks.game_state
        self.assertIs(state(conn, b"?" * 32, self.players, self.worlds), False)
        self.assertEqual(conn.sent, b"")
        self.assertIs(state(conn, TOKEN["GLGAME_REQ"], self.players, self.worlds), True)
        self.assertEqual(NAME[conn.sent[:32]], "GLGAME_RES")
        first = read_state(conn.sent[32:])
        self.assertEqual((first.players[0][0], first.bits), ("alice", bytes(512)))
        conn.sent = b""
        state(conn, TOKEN["GLGAME_REQ"], self.players, self.worlds)
        self.assertIsNone(read_state(conn.sent[32:]).bits)

    def test_game_state_for_anybody(self) -> None:
        """A connection that only sends, and speaks for no player, is told everything."""
        self.players.track_player({"name": "alice"})
        for _ in range(2):
            conn = Sender()
            ServerTasks.game_state(conn, TOKEN["GLGAME_REQ"], self.players, self.worlds)
            self.assertEqual(read_state(conn.sent[32:]).bits, bytes(512))

    def test_local_game_state(self) -> None:
        conn = Sender()
        self.assertIsNone(ServerTasks.local_game_state(conn))
        self.assertEqual(messages(conn.sent), ["LCGAME_REQ"])

    def test_incoming_packets(self) -> None:
        """A packet is answered and done; what is none is not."""
        conn = self.join("alice")
        incoming = ServerTasks.incoming_packets
        for data in (position("alice", 5, 6), broken("alice", 1, 1)):
            self.assertIs(incoming(conn, data, self.players, self.worlds), True)
        self.assertEqual(messages(conn.sent), ["PACKETRECV_RES"] * 2)
        self.assertEqual(self.players.get_player("alice")["player"]["x"], 5)
        self.assertTrue(self.worlds.get_world().is_broken(1, 1))
        conn.sent = b""
        for data in (TOKEN["GLGAME_REQ"], b"SGPKT".ljust(32, b"\0"), b"", b"SGPKT"):
            self.assertIs(incoming(conn, data, self.players, self.worlds), False)
        self.assertEqual(conn.sent, b"")

    def test_incoming_packets_of_others(self) -> None:
        """A connection speaks for its own player only, and no longer than that is here."""
        alice, bob = self.join("alice"), self.join("bob")
        incoming = ServerTasks.incoming_packets
        self.assertTrue(incoming(alice, position("bob", 9, 9), self.players, self.worlds))
        stranger = Sender()
        self.assertTrue(incoming(stranger, position("bob", 9, 9), self.players, self.worlds))
        self.players.untrack_player("bob")
        self.players.track_player({"name": "bob"})
        self.assertTrue(incoming(bob, position("bob", 9, 9), self.players, self.worlds))
        self.assertEqual(self.players.get_player("bob")["player"]["x"], 0)
        named = Sender("bob")
        self.assertTrue(incoming(named, position("bob", 9, 9), self.players, self.worlds))
        self.assertEqual(self.players.get_player("bob")["player"]["x"], 9)

    def test_any_connection(self) -> None:
        """It is told from others by what it is: it need not be hashable, nor have no name."""
        plain, equal = PlainConn(b"alice"), PlainConn(b"bob")
        mock = Mock()
        mock.recv.side_effect = [TOKEN["PLAYERJOIN_REQ"], b"carol"]
        players = PlayerHandler()
        for conn, name in ((plain, "alice"), (equal, "bob"), (mock, "carol")):
            self.assertEqual(ServerTasks.player_join(conn, players), name)
            for _ in range(2):
                ServerTasks.game_state(conn, TOKEN["GLGAME_REQ"], players, self.worlds)
            self.assertIsNone(read_state(conn.send.call_args.args[0]).bits)
            ServerTasks.incoming_packets(conn, position(name, 5, 6), players, self.worlds)
            self.assertEqual(players.get_player(name)["player"]["x"], 5)

    @settings(deadline=None)
    @given(st.binary(max_size=40))
    def test_incoming_packets_never_raises(self, junk: bytes) -> None:
        conn = Sender("alice")
        for data in (junk, b"SGPKT" + junk, packet(junk[:20]), packet(b"\x1e" + junk[:20])):
            answered = ServerTasks.incoming_packets(conn, data, self.players, self.worlds)
            self.assertIn(answered, (True, False))

    def test_disconnection(self) -> None:
        self.assertIs(ServerTasks.disconnection(TOKEN["DISCONNECT_REQ"]), True)
        self.assertIs(ServerTasks.disconnection(TOKEN["GLGAME_REQ"]), False)

    def test_sockets(self) -> None:
        """A socket is a connection, too."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        theirs.sendall(TOKEN["PLAYERJOIN_REQ"])
        theirs.shutdown(socket.SHUT_WR)
        self.assertEqual(ServerTasks.player_join(ours, self.players), "")
        self.assertEqual(messages(theirs.recv(4096)), ["PLAYERJOIN_RES", "NAMEALREXIST_ERR"])

    def test_payload_of_the_state(self) -> None:
        """What a state carries is what L{WorldHandler.get_map_data} says."""
        packed = self.worlds.get_world().changes_payload()
        self.assertEqual(unpacked(packed), self.worlds.get_map_data(only_dynatile=True))
