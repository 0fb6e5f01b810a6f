"""
The rules of VCMI's rooms and names: pure, without bytes and sockets.
"""

from __future__ import annotations

import re

from gameservers import names
from gameservers.lobby import RoomRules, Succession

#: A room ends when its host leaves or when it starts, and starts by itself when it has at least
#: two members and all are ready, even if it is not full.
ROOM_RULES = RoomRules(
    succession=Succession.CLOSE,
    leaving_resets_readiness=True,
    starts_when_ready=2,
    distinct=True,
    ends_when_started=True,
)

#: Possible capacities of a room, in players.
PLACES = range(2, 9)

#: The room property with the mode: 0 is a new game, 1 a saved one.
MODE = "mode"
MODES = {"0": 0, "1": 1}

#: The room property with the host's mods, name to version.
MODS = "mods"

#: The traits of a player: its protocol version, its program's version as text, and the channel in
#: which it chats.
VERSION = "version"
PROGRAM = "program"
CHANNEL = "channel"

#: The channels in which a client of protocol 5 can chat.  C{ROOM} is the chat of the player's
#: room; players in no room share the lobby's channel C{ROOM}.
GLOBAL = "global"
ROOM = "room"

#: Minimum length of the name of a user or a room, in characters.
SHORTEST_NAME = 3

#: Protocol versions in which the host's readiness starts the game at once.
STARTS_AT_ONCE = range(1, 3)

#: The names that no user may have, nor one that looks like them.
_RESERVED = frozenset(map(names.skeleton, ("System", "all", "room")))
_USER = re.compile(r"[\w.%+-]+")
_NUMBER = re.compile(r"[0-9]{1,3}")


def user_name_fault(name: str, longest: int) -> str | None:
    """
    What is wrong with a user's name, as the original server says it; L{None} if nothing is.

    The text never contains a colon, even if the name does.
    """
    if len(name) < SHORTEST_NAME:
        return f"Too short username {name}"
    if names.skeleton(name[:longest]) in _RESERVED:
        return f"Username {name} is reserved by system"
    if len(name) > longest or not (_USER.fullmatch(name) and names.is_legible(name)):
        return "Invalid username"
    return None


def room_name_fault(name: str, longest: int) -> str | None:
    """What is wrong with a room's name, which is sent between colons in the room list."""
    good = (
        SHORTEST_NAME <= len(name) <= longest
        and names.is_legible(name)
        and ":" not in name
        and not name.startswith((" ", ">>"))
    )
    return None if good else f"Cannot create session with invalid name {name[:longest]}"


def places(text: str) -> int | None:
    """Parse the capacity of a room; L{None} if it is not possible."""
    number = int(text) if _NUMBER.fullmatch(text.strip()) else 0
    return number if number in PLACES else None
