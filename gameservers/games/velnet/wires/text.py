"""
The text format of VelNet (January 2022): bytes to messages and back.

Over TCP a message is one line of fields joined by C{:}, ended by LF; over UDP it is one
datagram of the same fields.  Nothing can be escaped.  The first field says what it is::

    client to server, TCP               meaning
    0:<name>:<password>                 log in; exactly three fields
    1 | 1:<password>                    list the rooms, and the private ones of this password
    2:<room> | 2:<room>:<password>      join, or open with this password
    2:-1 | 2:-1:...                     leave
    3:<type>:<payload>                  to the room: types 0 and 2 to the others, 1 and 3 to all
    4:<group>:<payload>                 to the members of my group
    5:<group>:<id>:<id>...              my group is these from now on; C{5:<group>:} empties it

    server to client, TCP               meaning
    0:<id>:                             you are logged in
    1:<room>-<count>,<room>-<count>     the rooms; C{1:} if there are none
    2:<id>:<room>                       this player is in the room now (also sent for oneself)
    2:<id>:                             this player has left it (also sent for oneself)
    3:<sender>:<payload>                a payload, however it was sent
    4:<id>                              this player is the master of the room

    client to server, UDP               meaning
    <id>:0:Hello                        client spelling: I am this player
    <id>:3:<type>:<payload>             client spelling: to the room
    <id>:4:<group>:<payload>            client spelling: to my group
    0:<id>                              seed spelling: I am this player
    3:<type>:<payload>                  seed spelling: to the room (the address tells who sends)
    4:<group>:<payload>                 seed spelling: to my group

    server to client, UDP               meaning
    0:<id>:connected                    I know your address
    3:<sender>:<payload>                a payload

An id is a decimal number from 1.  A payload is any bytes except LF, including C{:}, and is relayed
unchanged.  A name is UTF-8 (other bytes become U+FFFD); one CR at the end of a line is not part of
it, and a room's name holds no comma and no control character, or the room list would be ambiguous.
A line has at most L{MAX_LINE} bytes unless configured otherwise, LF not counted; a longer one ends
the connection.  An outgoing datagram has at most L{MAX_DATAGRAM} bytes.

Any other line or datagram is ignored: the protocol has no error message.

A line begins with a digit, a log-in with C{0:}, and a datagram with a digit.
"""

from __future__ import annotations

from collections.abc import Iterable

from gameservers.games.velnet.wires.messages import (
    Broadcast,
    DefineGroup,
    Hello,
    Join,
    Leave,
    ListRooms,
    LogIn,
    Message,
    ToGroup,
    fit,
)
from gameservers.wire import Verdict

#: The messages of a client on a stream.
MESSAGES = frozenset({LogIn, ListRooms, Join, Leave, Broadcast, ToGroup, DefineGroup})

#: The messages of a client in a datagram.
DATAGRAMS = frozenset({Hello, Broadcast, ToGroup})

#: Longest line, in bytes, LF not counted.
MAX_LINE = 65_536

#: Longest datagram that clients accept, in bytes.
MAX_DATAGRAM = 1024

#: Send types, and whether the sender receives them too.
_ECHOES = {b"0": False, b"1": True, b"2": False, b"3": True}

#: Digits of the largest possible id.
_MAX_DIGITS = 10


def recognises_stream(first: bytes) -> Verdict:
    """Whether a stream is VelNet text, on a port that other games share."""
    if len(first) < 2:
        return Verdict.MORE if not first or first.isdigit() else Verdict.NO
    return Verdict.YES if first[:1].isdigit() and first[1:2] in (b":", b"\n") else Verdict.NO


def recognises_own(first: bytes) -> Verdict:
    """Whether a stream is VelNet text, on a port of VelNet's own."""
    return recognises_datagram(first) if first else Verdict.MORE


def recognises_datagram(datagram: bytes) -> Verdict:
    """Whether a datagram is VelNet text."""
    return Verdict.YES if datagram[:1].isdigit() else Verdict.NO


def parse(line: bytes) -> Message | None:
    """Decode one line, without its LF; L{None} if it is ignored."""
    kind, _, rest = line.partition(b":")
    if kind == b"3":
        return _to_room(rest, b"\n")
    if kind == b"4":
        return _to_group(rest, b"\n")
    fields = line.removesuffix(b"\r").split(b":")
    match fields:
        case [b"0", name, password]:
            return LogIn(name.decode("utf-8", "replace"), password)
        case [b"1", *password]:
            return ListRooms(_password(password))
        case [b"2", b"-1", *_]:
            return Leave()
        case [b"2", name, *password]:
            room = name.decode("utf-8", "replace")
            return Join(room, _password(password)) if fit(room) else None
        case [b"5", group, *ids] if ids:
            return DefineGroup(group, tuple(int(each) for each in ids if _is_number(each)))
    return None


def parse_datagram(
    datagram: bytes, player: int | None, seed: bool = False
) -> Hello | Broadcast | ToGroup | None:
    """
    Decode one datagram; L{None} if it is ignored.

    @param player: the player whose address it came from; L{None} if unknown.
    @param seed: whether this player's hello was in the seed spelling.
    """
    datagram = datagram.removesuffix(b"\n")
    if b"\n" in datagram:
        return None
    first, _, rest = datagram.partition(b":")
    if not _is_number(first):
        return None
    second, more, after = rest.partition(b":")
    if first == b"0" and not more:
        return Hello(int(second), seed=True) if _is_number(second) else None
    if more and second == b"0" and not (seed and player is not None):
        return Hello(int(first))
    if player is None:
        return None
    if not seed:
        if int(first) != player:
            return None
        first, rest = second, after
    if first == b"3":
        return _to_room(rest, b"")
    if first == b"4":
        return _to_group(rest, b"")
    return None


def _to_room(rest: bytes, end: bytes) -> Broadcast | None:
    kind, colon, payload = rest.partition(b":")
    echo = _ECHOES.get(kind)
    return None if echo is None or not colon else Broadcast(echo, [payload + end])


def _to_group(rest: bytes, end: bytes) -> ToGroup | None:
    group, colon, payload = rest.partition(b":")
    return ToGroup(group, payload + end) if colon else None


def _password(fields: list[bytes]) -> str:
    return b":".join(fields).decode("utf-8", "surrogateescape")


def _is_number(field: bytes) -> bool:
    return len(field) <= _MAX_DIGITS and field.isdigit()


# --- server to client ------------------------------------------------------------------------


def logged_in(player: int) -> bytes:
    return b"0:%d:\n" % player


def rooms(listed: Iterable[tuple[str, int]]) -> bytes:
    """The rooms with the number of players in each."""
    return f"1:{','.join(f'{name}-{count}' for name, count in listed)}\n".encode()


def welcome(player: int, members: Iterable[int], room: str, master: int) -> bytes:
    """
    You have joined: yourself first, then the others, then the master.  In any other order the
    client hangs.
    """
    others = (member for member in members if member != player)
    lines = [joined(each, room) for each in (player, *others)]
    return b"".join(lines) + new_master(master)


def joined(player: int, room: str) -> bytes:
    return b"2:%d:%b\n" % (player, room.encode())


def left(player: int, room: str) -> bytes:
    return b"2:%d:\n" % player


def you_left(player: int, room: str) -> bytes:
    return left(player, room)


def new_master(player: int) -> bytes:
    return b"4:%d\n" % player


def head(sender: int) -> bytes:
    """The header of a frame."""
    return b"3:%d:" % sender


def known(player: int) -> bytes:
    """The datagram that answers a hello."""
    return b"0:%d:connected" % player
