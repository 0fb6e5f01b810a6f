"""
The game's own names for its server: C{PlayerHandler}, C{WorldHandler}, C{ServerTasks}.

It is for servers and bots written for the game's own API, and uses the world, players and rules of
C{gameservers.games.tilegame}; the game server itself does not need this module.  A C{conn} is an
object with C{send(bytes)}, such as a socket; the tasks of the handshake also call its
C{recv(size)}, once for each message.

A connection belongs to one player: the one it joined with (L{ServerTasks.player_join}
remembers that) or, if it has one, that of its attribute C{name}.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from gameservers.games.tilegame import wire
from gameservers.games.tilegame.avatars import Avatar as Player
from gameservers.games.tilegame.avatars import Avatars as Players
from gameservers.games.tilegame.generation import SIZES, THEMES, Terrain
from gameservers.games.tilegame.room import Participant, WorldRoom
from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.world import World, encode_map
from gameservers.wire import WireError


class Sender(Protocol):
    """A connection to which bytes can be sent."""

    def send(self, data: bytes, /) -> object: ...


class Conversation(Sender, Protocol):
    """A connection that can also be read."""

    def recv(self, size: int, /) -> bytes: ...


class PlayerHandler:
    """
    The players, as dictionaries of C{name}, C{x}, C{y}, C{previous_x}, C{previous_y}, C{lerp}
    and C{health}.
    """

    def __init__(self, settings: TileGameSettings | None = None) -> None:
        self.settings = settings or TileGameSettings()
        self.players = Players()
        self._participants: dict[str, Participant] = {}
        self._conns: dict[str, object] = {}  # by the name of the player

    def track_player(self, player: Mapping[str, Any]) -> str:
        """
        Add a player.

        @return: the player's name.
        @raise ValueError: the name is invalid.
        """
        name: str = player["name"]
        if wire.parse_name(name.encode("utf-8")) is None:
            raise ValueError("not a player's name")
        self.players.add(_player(player))
        return name

    def untrack_player(self, player_name: str) -> None:
        """Remove a player, if it exists."""
        self.players.remove(player_name)
        self._participants.pop(player_name, None)
        self._conns.pop(player_name, None)

    def update_player(self, player: Mapping[str, Any]) -> None:
        """Set the attributes of a player."""
        if self.players.get(player["name"]) is not None:
            self.players.add(_player(player))

    def update_player_position(self, player: Mapping[str, Any]) -> None:
        """Set a player's position; the old one becomes its previous position."""
        known = self.players.get(player["name"])
        if known is not None:
            known.move(player["x"], player["y"])

    def get_player(self, player_name: str) -> dict[str, int | dict[str, Any] | None]:
        """A player and its index in the list; both C{None} if it does not exist."""
        for index, player in enumerate(self.players):
            if player.name == player_name:
                return {"index": index, "player": _described(player)}
        return {"index": None, "player": None}

    def get_players(self, compressed: bool = False) -> list[dict[str, Any]] | bytes:
        """All players, in joining order; compressed, as in a state packet."""
        return self.players.block() if compressed else [_described(each) for each in self.players]

    def bind(self, conn: object, player_name: str) -> None:
        """Let this connection belong to this player."""
        self._conns[player_name] = conn

    def participant(self, conn: object) -> Participant | None:
        """The player in the room to which a connection belongs, if it exists."""
        joined = (name for name, each in self._conns.items() if each is conn)
        name = next(joined, None) or getattr(conn, "name", None)
        player = self.players.get(name) if isinstance(name, str) else None
        if player is None:
            return None
        participant = self._participants.get(player.name)
        if participant is None:
            participant = self._participants[player.name] = Participant(
                player, self.settings, time.monotonic()
            )
        participant.avatar = player
        return participant


def _player(described: Mapping[str, Any]) -> Player:
    player = Player(described["name"], described.get("x", 0), described.get("y", 0))
    player.previous_x = described.get("previous_x", player.x)
    player.previous_y = described.get("previous_y", player.y)
    player.lerp = round(described.get("lerp", 0))
    player.health = described.get("health", 100)
    player.write()
    return player


def _described(player: Player) -> dict[str, Any]:
    return {
        "name": player.name,
        "x": player.x,
        "y": player.y,
        "previous_x": player.previous_x,
        "previous_y": player.previous_y,
        "lerp": float(player.lerp),
        "health": player.health,
    }


class WorldHandler:
    """The world."""

    def __init__(self) -> None:
        self._world: World | None = None

    def create_world(
        self, seed: str, theme: str | int | Mapping[str, Any] = "default", size: str = "small"
    ) -> None:
        """
        Make a world.

        @param theme: the name or the number of a theme, or a dictionary with either.
        @param size: C{Small}, C{Medium} or C{Large}; any other is C{Small}.
        """
        if isinstance(theme, Mapping):
            theme = theme["id"] if "id" in theme else theme["name"]
        name = list(THEMES)[theme] if isinstance(theme, int) else str(theme).lower()
        terrain = Terrain(seed, name, SIZES.get(size.lower(), SIZES["small"]))
        self._world = World(seed, name, terrain.rows(0, terrain.side))

    def set_world(self, world: World) -> None:
        self._world = world

    def get_world(self) -> World:
        """The world; raises L{LookupError} if there is none yet."""
        if self._world is None:
            raise LookupError("there is no world yet")
        return self._world

    def update_broken_tile(self, player: Mapping[str, Any]) -> None:
        """Break a tile for a player, if it can be broken."""
        self.get_world().break_tile(player["broken_tile_x"], player["broken_tile_y"])

    def get_map_data(self, only_dynatile: bool = False) -> bytes:
        """The whole map, or what has changed in it; neither is packed yet."""
        world = self.get_world()
        return world.changes() if only_dynatile else encode_map(*world.snapshot())


class ServerTasks:
    """The server's steps for one connection; the caller calls them in order."""

    @staticmethod
    def recognition(conn: Conversation, addr: object) -> bool:
        """Whether this is a client of the game; if so, it gets the answer."""
        known = conn.recv(wire.BLOCK) == wire.RECOGNITION_REQ
        if known:
            conn.send(wire.RECOGNITION_RES)
        return known

    @staticmethod
    def map_data(conn: Conversation, addr: object, world_handler: WorldHandler) -> None:
        """Send the map if the client requests it."""
        if conn.recv(wire.BLOCK) == wire.MAPDATA_REQ:
            messages = wire.map_messages(wire.payload(world_handler.get_map_data()))
            for at in range(0, len(messages), wire.PIECE):
                conn.send(messages[at : at + wire.PIECE])

    @staticmethod
    def player_join(conn: Conversation, player_handler: PlayerHandler) -> str:
        """Add a player and return its name, or an empty text if it was refused."""
        if conn.recv(wire.BLOCK) != wire.PLAYERJOIN_REQ:
            return ""
        conn.send(wire.PLAYERJOIN_RES)
        name = wire.parse_name(conn.recv(wire.BLOCK))
        if name is None or player_handler.players.get(name) is not None:
            conn.send(wire.NAMEALREXIST_ERR)
            return ""
        if len(player_handler.players) >= player_handler.settings.max_players:
            conn.send(wire.MAXPLAYERS_ERR)
            return ""
        player_handler.track_player({"name": name})
        player_handler.bind(conn, name)
        conn.send(wire.PLAYEROBJ_RES)
        return name

    @staticmethod
    def game_state(
        conn: Sender, data: bytes, player_handler: PlayerHandler, world_handler: WorldHandler
    ) -> bool:
        """Send the state if C{data} requests it."""
        if data != wire.GLGAME_REQ:
            return False
        world = world_handler.get_world()
        participant = player_handler.participant(conn)
        if participant is None:
            state = wire.state(player_handler.players.block(), world.changes_payload())
        else:
            state = _room(player_handler, world).state(participant)
        conn.send(wire.GLGAME_RES)
        conn.send(state)
        return True

    @staticmethod
    def local_game_state(conn: Sender) -> None:
        """Ask the client where its player is."""
        conn.send(wire.LCGAME_REQ)

    @staticmethod
    def incoming_packets(
        conn: Sender, data: bytes, player_handler: PlayerHandler, world_handler: WorldHandler
    ) -> bool:
        """
        Answer C{data} if it is a packet, and carry it out if possible.

        An invalid packet is answered and changes nothing.
        """
        packet = None
        try:
            parsed = wire.parse_packet(data)
        except WireError:
            if not wire.is_packet(data):
                return False
        else:
            if isinstance(parsed, wire.EmptyPacket):
                return False
            packet = parsed
        conn.send(wire.PACKETRECV_RES)
        participant = player_handler.participant(conn)
        if packet is not None and participant is not None:
            room = _room(player_handler, world_handler.get_world())
            room.report(participant, packet, time.monotonic())
        return True

    @staticmethod
    def disconnection(data: bytes) -> bool:
        """Whether C{data} is the good-bye."""
        return data == wire.DISCONNECT_REQ


def _room(player_handler: PlayerHandler, world: World) -> WorldRoom:
    return WorldRoom(world, player_handler.settings, player_handler.players)
