"""
Models of the real clients: what they know, and what stops them for good.

They take a stream as the real programs do and raise L{Wedged} where those programs would hang
while still connected, or give up the connection, and for anything else a server must not say.
"""

from __future__ import annotations

import struct


class Wedged(Exception):
    """The client hangs for ever."""


class Client:
    """
    What both have in common.

    @ivar me: the client's own id, 0 before it has logged in.
    @ivar room: the room it is in, or empty.
    @ivar players: the members it knows of, in the order in which it heard of them.
    @ivar heard: sender and payload of what it was sent.
    """

    def __init__(self) -> None:
        self.me = 0
        self.room = ""
        self.players: list[int] = []
        self.master = 0
        self.heard: list[tuple[int, bytes]] = []
        self._rest = b""

    def demand(self, fine: bool, what: str) -> None:
        if not fine:
            raise Wedged(f"{what}; me {self.me}, room {self.room!r}, players {self.players}")

    def _leave(self) -> None:
        self.room, self.players, self.master = "", [], 0

    def _name_master(self, player: int) -> None:
        self.demand(player in self.players, f"unknown master {player}")
        self.master = player


class TextClient(Client):
    """The client of January 2022."""

    def receive(self, stream: bytes) -> None:
        *lines, self._rest = (self._rest + stream).split(b"\n")
        for line in lines:
            self._line(line)

    def _line(self, line: bytes) -> None:
        kind, *fields = line.split(b":")
        self.demand(kind in (b"0", b"1", b"2", b"3", b"4"), f"line {line!r}")
        if kind == b"0":
            self.demand(not self.me, "second log-in")
            self.me = int(fields[0])
        elif kind == b"2":
            self._joined_or_left(int(fields[0]), fields[1].decode())
        elif kind == b"3":
            self.heard.append((int(fields[0]), b":".join(fields[1:])))
        elif kind == b"4":
            self._name_master(int(fields[0]))

    def _joined_or_left(self, player: int, room: str) -> None:
        if player == self.me:
            self.demand(bool(room) is not bool(self.room), f"own line for {room!r}")
            self._leave()
            if room:
                self.room, self.players = room, [player]
        elif room:
            self.demand(room == self.room, f"join of another room {room!r}")
            self.demand(player not in self.players, f"duplicate join of {player}")
            self.players.append(player)
        else:
            self.demand(player in self.players, f"unknown leaver {player}")
            self.players.remove(player)


class BinaryClient(Client):
    """The clients of generation 1 and 2."""

    def __init__(self, generation: int) -> None:
        super().__init__()
        self.generation = generation

    def receive(self, stream: bytes) -> None:
        self._rest += stream
        while self._rest:
            try:
                self._message(self._rest)
            except (IndexError, struct.error):
                return  # incomplete

    def _message(self, stream: bytes) -> None:
        kind = stream[0]
        self.demand(kind <= 8, f"type {kind}")
        if kind == 0:
            (player,) = struct.unpack_from(">I", stream, 1)
            end = 5
            if self.generation == 2:
                (version,) = struct.unpack_from(">I", stream, 5)
                self.demand(version == 2, f"version {version}")
                end = 9
            self.demand(self.me in (0, player), "another id")
            self.me = player
        elif kind == 1:
            _, end = _data(stream, 1)
        elif kind == 2:
            player, room, end = _player_and_room(stream)
            self.demand(bool(self.room), "join of another while in no room")
            self.demand(room == self.room, f"join of another room {room!r}")
            self.demand(player not in self.players, f"duplicate join of {player}")
            self.players.append(player)
        elif kind == 3:
            (sender,) = struct.unpack_from(">I", stream, 1)
            payload, end = _data(stream, 5)
            self.demand(bool(payload), "empty payload")
            self.heard.append((sender, payload))
        elif kind == 4:
            (player,) = struct.unpack_from(">I", stream, 1)
            end = 5
            self._name_master(player)
        elif kind == 5:
            (count,) = struct.unpack_from(">I", stream, 1)
            ids = list(struct.unpack_from(f">{count}I", stream, 5))
            room, end = _text(stream, 5 + 4 * count)
            self.demand(not self.room, "joined while in a room")
            self.demand(len(set(ids)) == len(ids) and self.me in ids, f"members {ids}")
            self.room, self.players = room, ids
        elif kind == 6:
            player, _, end = _player_and_room(stream)
            self.demand(player in self.players, f"unknown leaver {player}")
            self.players.remove(player)
        elif kind == 7:
            _, end = _text(stream, 1)
            self.demand(bool(self.room), "left while in no room")
            self._leave()
        else:
            _, end = _text(stream, 1)
            (count,) = struct.unpack_from(">I", stream, end)
            end += 4
            for _ in range(count):
                _, end = _text(stream, end + 4)
        self._rest = stream[end:]


def _data(stream: bytes, at: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from(">I", stream, at)
    end = at + 4 + size
    if len(stream) < end:
        raise IndexError
    return stream[at + 4 : end], end


def _text(stream: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + stream[at]
    if len(stream) < end:
        raise IndexError
    return stream[at + 1 : end].decode(), end


def _player_and_room(stream: bytes) -> tuple[int, str, int]:
    (player,) = struct.unpack_from(">I", stream, 1)
    room, end = _text(stream, 5)
    return player, room, end
