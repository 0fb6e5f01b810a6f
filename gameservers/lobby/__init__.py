"""
The lobby: the players of all games, their rooms and their talk.

It speaks of players and rooms and of nothing else: no bytes, no transports, no game's words.
Every wire format is an adapter that asks the L{Lobby} for something and is told what came of it
as events; see L{gameservers.lobby.events} for the whole vocabulary.
"""

from gameservers.lobby.chat import ToChannel, ToPlayer, ToRoom
from gameservers.lobby.events import Departure, Member, RoomKey
from gameservers.lobby.queue import Queue
from gameservers.lobby.rooms import Refused, Room, RoomRules, Succession, Why
from gameservers.lobby.service import Lobby, Player

__all__ = [
    "Departure",
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
