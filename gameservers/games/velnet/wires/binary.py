"""
The binary format of VelNet (2022 to 2026): bytes to messages and back.

Numbers are big-endian.  C{u8} and C{u32} are unsigned numbers of 1 and 4 bytes, C{text} is a C{u8}
length in bytes and UTF-8, C{data} is a C{u32} length in bytes and bytes.  A stream is a sequence
of messages, each a type (C{u8}) and a body::

    client to server, stream            meaning
    0  text name, text application      log in
    1                                   list the rooms of my application
    2  text room                        leave my room, then join this one; C{""}, blanks and
                                        C{"-1"}: only leave
    3  data                             to the others in my room
    4  data                             to all in my room
    5  data, text group                 to the members of my group
    6  text group, data ids             my group is these (u32 each) from now on
    7  data                             as 3
    8  data                             as 4
    9  text room                        list the members of this room
    10 data                             back to me (generation 2 sends it every 2 seconds)

    server to client, stream            meaning
    0  u32 id [, u32 2]                 you are logged in; generation 2 expects the version 2
    1  data rooms                       C{name:count,name:count}
    2  u32 id, text room                another player has joined
    3  u32 sender, data                 a payload, however it was sent
        4  u32 id                           this player is the master of the room
    5  u32 n, n u32 ids, text room      you have joined; the ids include yours
    6  u32 id, text room                another player has left
    7  text room                        you have left
    8  text room, u32 n, n (u32 id, text name)   the members of a room

    client to server, datagram          meaning
    0  u32 id                           I am this player
    3  u32 id, payload                  to the others in my room (7: the same)
    4  u32 id, payload                  to all in my room (8: the same)
    5  u32 id, text group, payload      to the members of my group
    10 u32 id, payload                  back to me

    server to client, datagram          meaning
    0                                   I know your address
    3  u32 sender, payload              a payload

An unknown type, text that is not UTF-8, and data longer than L{MAX_DATA} bytes unless configured
otherwise (it is refused before it is buffered) raise L{WireError}, which ends the connection, as
the start of the next message is unknown.  Surplus bytes at the end of a list of ids are ignored,
and so is a datagram that breaks the format.  An empty payload (3, 4, 5, 7, 8) is not relayed: it
would make the receiving clients hang, and no client sends one.

A stream begins with a log-in or, in generation 2, with type 10 and 9 bytes of data; on a port of
VelNet's own, with any type.  A frame of another game that begins like a log-in has a little-endian
length, whose third byte is 00; that of a log-in is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct

from gameservers.games.velnet.wires.messages import (
    Broadcast,
    DefineGroup,
    Hello,
    Join,
    Leave,
    ListMembers,
    ListRooms,
    LogIn,
    Message,
    ToGroup,
    ToSelf,
    fit,
)
from gameservers.wire import Verdict, WireError

#: The messages of a client on a stream.
MESSAGES = frozenset(
    {LogIn, ListRooms, Join, Leave, Broadcast, ToGroup, DefineGroup, ListMembers, ToSelf}
)

#: The messages of a client in a datagram.
DATAGRAMS = frozenset({Hello, Broadcast, ToGroup, ToSelf})

#: Longest data in one message, in bytes.
MAX_DATA = 1_048_576

#: Longest datagram that clients accept, in bytes, by whether they are of generation 2.
MAX_DATAGRAM = {False: 1024, True: 1400}

#: The version, which only generation 2 expects after its id in the answer to a log-in.
VERSION = b"\x00\x00\x00\x02"

#: Types for the room, and whether the sender receives them too.
_ECHOES = {3: False, 4: True, 7: False, 8: True}

#: The greatest type of a message.
_MAX_TYPE = 10

#: The first bytes of a client of generation 2 that has not logged in.
_KEEP_ALIVE = b"\x0a\x00\x00\x00\x09"

_u32 = Struct(">I")
_typed = Struct(">BI")


def recognises_stream(first: bytes) -> Verdict:
    """Whether a stream is VelNet binary, on a port that other games share."""
    if _KEEP_ALIVE.startswith(first) and first != _KEEP_ALIVE:
        return Verdict.MORE
    if first[0] == 0 and 0 not in first[1:3]:
        return Verdict.YES if len(first) > 2 else Verdict.MORE
    return Verdict.YES if first.startswith(_KEEP_ALIVE) else Verdict.NO


def recognises_own(first: bytes) -> Verdict:
    """Whether a stream is VelNet binary, on a port of VelNet's own."""
    if not first:
        return Verdict.MORE
    return Verdict.YES if first[0] <= _MAX_TYPE else Verdict.NO


def recognises_datagram(datagram: bytes) -> Verdict:
    """Whether a datagram is VelNet binary."""
    if not datagram or datagram[0] > _MAX_TYPE:
        return Verdict.NO
    # Tab and line feed are valid types, but no id is so large that a brace could follow them.
    is_json = datagram[0] > 8 and datagram.lstrip(b" \t\r\n").startswith(b"{")
    return Verdict.NO if is_json else Verdict.YES


class _Incomplete(Exception):
    """The message is incomplete; it has at least C{needed} bytes."""

    def __init__(self, needed: int) -> None:
        self.needed = needed


class Decoder:
    """
    Splits a stream into messages.

    Feed it with L{receive_data}, then take the complete messages from L{messages}.  A caller
    that stops iterating can continue later.
    """

    def __init__(self, max_data: int = MAX_DATA) -> None:
        self._max_data = max_data
        self._data = b""
        self._at = 0  # how much of it has been read
        self._more: list[bytes] = []  # what has been received since
        self._size = 0  # bytes that have not been read
        self._needed = 1  # bytes of the next message, at least

    def receive_data(self, data: bytes) -> None:
        self._more.append(data)
        self._size += len(data)

    def messages(self) -> Iterator[Message]:
        """
        The complete messages, in order.  Consecutive messages of one type for the room are
        combined.

        @raise WireError: the stream breaks the format here.
        """
        if self._size < self._needed:
            return
        if self._at < len(self._data):
            self._more.insert(0, self._data[self._at :])
        data = self._data = b"".join(self._more)
        at = self._at = 0
        self._more.clear()
        self._needed = 1
        while at < len(data):
            kind = data[at]
            try:
                if kind in _ECHOES:
                    message, end = self._run(data, at, kind)
                else:
                    message, end = self._single(data, at, kind)
            except _Incomplete as incomplete:
                self._needed = incomplete.needed
                return
            self._size -= end - at
            at = self._at = end
            if message is not None:
                yield message
        self._data = b""
        self._at = 0

    def _run(self, data: bytes, at: int, first: int) -> tuple[Message | None, int]:
        """Read messages for the room up to one of another type."""
        limit, size = self._max_data, len(data)
        unpack, header = _typed.unpack_from, _typed.size
        frames: list[bytes] = []
        start, last = at, size - header
        while start <= last:
            kind, length = unpack(data, start)
            end = start + header + length
            if kind != first or end > size or length > limit:
                break
            if length:
                frames.append(data[start + 1 : end])
            start = end
        if start == at:
            if at > last:
                raise _Incomplete(header)
            if length > limit:
                raise WireError(f"{length} bytes of data")
            raise _Incomplete(end - at)
        return Broadcast(_ECHOES[first], frames) if frames else None, start

    def _single(self, data: bytes, at: int, kind: int) -> tuple[Message | None, int]:
        body = _Body(data, at, self._max_data)
        message: Message | None = None
        match kind:
            case 0:
                name = body.name()
                message = LogIn(name, body.name().encode())
            case 1:
                message = ListRooms()
            case 2:
                room = body.name()
                if room.strip() in ("", "-1"):
                    message = Leave()
                elif fit(room):
                    message = Join(room)
            case 5:
                payload = body.frame()
                group = body.text()
                if len(payload) > _u32.size:
                    message = ToGroup(group, payload)
            case 6:
                group = body.text()
                message = DefineGroup(group, _ids(body.frame()))
            case 9:
                message = ListMembers(body.name())
            case 10:
                message = ToSelf(body.frame())
            case _:
                raise WireError(f"unknown type {kind}")
        return message, body.at


class _Body:
    """
    Reads one message.

    @ivar at: the offset of the next field.
    """

    def __init__(self, data: bytes, start: int, max_data: int) -> None:
        self._data = data
        self._start = start
        self._max_data = max_data
        self.at = start + 1

    def frame(self) -> bytes:
        """Read data, including its length."""
        start = self.at
        (length,) = _u32.unpack(self._take(_u32.size))
        if length > self._max_data:
            raise WireError(f"{length} bytes of data")
        self._take(length)
        return self._data[start : self.at]

    def text(self) -> bytes:
        return self._take(self._take(1)[0])

    def name(self) -> str:
        try:
            return self.text().decode()
        except UnicodeDecodeError:
            raise WireError("text that is not UTF-8") from None

    def _take(self, size: int) -> bytes:
        start = self.at
        self.at += size
        if self.at > len(self._data):
            raise _Incomplete(self.at - self._start)
        return self._data[start : self.at]


def _ids(frame: bytes) -> tuple[int, ...]:
    """The ids in the data of a group's definition; odd bytes at its end are ignored."""
    return tuple(each for (each,) in _u32.iter_unpack(frame[4 : len(frame) // 4 * 4]))


def parse_datagram(
    datagram: bytes, player: int | None, seed: bool = False
) -> Hello | Broadcast | ToGroup | ToSelf | None:
    """
    Decode one datagram; L{None} if it is ignored.

    @param player: the player whose address it came from; L{None} if unknown.
    @param seed: not used in this format.
    """
    if len(datagram) < _typed.size:
        return None
    kind, sender = _typed.unpack_from(datagram)
    if kind == 0:
        return Hello(sender)
    payload = datagram[_typed.size :]
    if sender != player or not payload:
        return None
    if kind in _ECHOES:
        return Broadcast(_ECHOES[kind], [payload])
    if kind == 10:
        return ToSelf(payload)
    name_end = 1 + payload[0]
    if kind == 5 and len(payload) > name_end:
        return ToGroup(payload[1:name_end], payload[name_end:])
    return None


# --- server to client ------------------------------------------------------------------------


def logged_in(player: int) -> bytes:
    """You are logged in: generation 1 expects this, and generation 2 also L{VERSION} after it."""
    return _typed.pack(0, player)


def rooms(listed: Iterable[tuple[str, int]]) -> bytes:
    """The rooms with the number of players in each."""
    return b"\x01" + frame(",".join(f"{name}:{count}" for name, count in listed).encode())


def welcome(player: int, members: Iterable[int], room: str, master: int) -> bytes:
    """You have joined: all members, yourself included, then the master."""
    ids = tuple(members)
    packed = Struct(f">BI{len(ids)}I").pack(5, len(ids), *ids)
    return packed + _text(room) + new_master(master)


def joined(player: int, room: str) -> bytes:
    return _typed.pack(2, player) + _text(room)


def left(player: int, room: str) -> bytes:
    return _typed.pack(6, player) + _text(room)


def you_left(player: int, room: str) -> bytes:
    return b"\x07" + _text(room)


def new_master(player: int) -> bytes:
    return _typed.pack(4, player)


def members(room: str, present: Iterable[tuple[int, str]]) -> bytes:
    """The members of a room: ids and names."""
    listed = [_u32.pack(player) + _text(name) for player, name in present]
    return b"\x08" + _text(room) + _u32.pack(len(listed)) + b"".join(listed)


def head(sender: int) -> bytes:
    """The header of a frame; in a datagram, of a payload."""
    return _typed.pack(3, sender)


def frame(payload: bytes) -> bytes:
    """Convert a payload from a datagram for a stream."""
    return _u32.pack(len(payload)) + payload


def known(player: int) -> bytes:
    """The datagram that answers a hello."""
    return b"\x00"


def _text(name: str) -> bytes:
    encoded = name.encode()
    return bytes((len(encoded),)) + encoded
