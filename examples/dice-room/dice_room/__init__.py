"""
A room in which players roll dice: a small example of a game.
"""

from __future__ import annotations

from zope.interface import implementer

from dice_room.protocol import DiceProtocol
from dice_room.records import SCHEMA
from dice_room.service import DiceService
from dice_room.settings import DiceSettings
from dice_room.wire import recognise
from gameservers.games import Carriage, IGame, Wire


@implementer(IGame)
class DiceRoom:
    """The description of the game."""

    name = "dice"
    title = "A room of dice"
    settings = DiceSettings
    schema = SCHEMA
    wires = (Wire("lines", Carriage.STREAM, DiceProtocol, recognise),)
    build = DiceService
