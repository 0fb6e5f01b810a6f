"""
The lobby: the players of all games, their rooms and their chat.

It knows players and rooms and nothing else: no bytes, no transports, no texts of a game. Every
wire format is an adapter that sends requests to the L{Lobby} and receives the results as events;
L{gameservers.lobby.events} has all of them.  Queries return values (L{gameservers.lobby.views}).
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
