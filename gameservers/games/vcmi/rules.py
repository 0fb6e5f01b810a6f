"""
What only VCMI's rooms and names have: pure rules, no bytes and no sockets.
"""

from __future__ import annotations

import re

from gameservers.lobby import RoomRules, Succession

#: The host's leaving ends a room, a start ends it too, and it starts by itself when at least two
#: are in it and all are ready, whatever places are free.
ROOM_RULES = RoomRules(
    succession=Succession.CLOSE,
    leaving_resets_readiness=True,
    starts_when_ready=2,
    ends_when_started=True,
)

#: How many players a room may be made for.
PLACES = range(2, 9)

#: The room property that the host sets: 0 is a new game, 1 a saved one.
MODE = "mode"
MODES = {"0": 0, "1": 1}

#: The room property that holds the host's mods, name to version.
MODS = "mods"

#: The traits of a player: its protocol version, the version of its program as it tells it, and
#: the channel in which it speaks.
VERSION = "version"
PROGRAM = "program"
CHANNEL = "channel"

#: Channels in which a client of protocol 5 can speak.  The talk of a room is the room's; those
#: who chose C{ROOM} and are in none share the channel C{ROOM} of the lobby.
GLOBAL = "global"
ROOM = "room"

#: Characters a name of a user or a room must have at least.
SHORTEST_NAME = 3

#: The host of these protocol versions cannot wait for the others: its readiness starts the game.
STARTS_AT_ONCE = range(1, 3)

_RESERVED = frozenset({"System", "all", "room"})
_USER = re.compile(r"[\w.%+-]+")
_NUMBER = re.compile(r"[0-9]{1,3}")


def user_name_fault(name: str, longest: int) -> str | None:
    """
    What is wrong with a user's name, in the words of the original; L{None} if nothing is.

    The words never hold a colon, whatever the name holds.
    """
    if len(name) < SHORTEST_NAME:
        return f"Too short username {name}"
    if name in _RESERVED:
        return f"Username {name} is reserved by system"
    if len(name) > longest or not _USER.fullmatch(name):
        return "Invalid username"
    return None


def room_name_fault(name: str, longest: int) -> str | None:
    """What is wrong with a room's name: it stands between colons in every client's list."""
    good = (
        SHORTEST_NAME <= len(name) <= longest
        and name.isprintable()
        and ":" not in name
        and not name.startswith((" ", ">>"))
    )
    return None if good else f"Cannot create session with invalid name {name[:longest]}"


def places(text: str) -> int | None:
    """The number of players a room is made for; L{None} if it is no possible one."""
    number = int(text) if _NUMBER.fullmatch(text.strip()) else 0
    return number if number in PLACES else None
