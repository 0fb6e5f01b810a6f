"""
The lobby: the players of all games, their rooms and their talk.

It speaks of players and rooms and of nothing else: no bytes, no transports, no game's words.
Every wire format is an adapter that asks the L{Lobby} for something and is told what came of it
as events; see L{gameservers.lobby.events} for the whole vocabulary.  Questions are answered with
values (L{gameservers.lobby.views}).
"""

from gameservers.lobby.chat import ToChannel, ToPlayer, ToRoom
from gameservers.lobby.events import Departure, Member, RoomKey
from gameservers.lobby.queue import Queue
from gameservers.lobby.rooms import Refused, RoomRules, Succession, Why
from gameservers.lobby.service import Lobby
from gameservers.lobby.views import Listing, Player, Room

__all__ = [
    "Departure",
    "Listing",
    "Lobby",
    "Member",
    "Player",
    "Queue",
    "Refused",
    "Room",
    "RoomKey",
    "RoomRules",
    "Succession",
    "ToChannel",
    "ToPlayer",
    "ToRoom",
    "Why",
]
