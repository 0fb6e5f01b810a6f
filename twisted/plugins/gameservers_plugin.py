"""Registers C{twistd gameserver} and the built-in games."""

from twisted.application.service import ServiceMaker

from gameservers.games.tictactoe import game as tictactoe
from gameservers.games.tilegame import game as tilegame
from gameservers.games.twister import game as twister
from gameservers.games.vcmi import game as vcmi
from gameservers.games.velnet import game as velnet

server = ServiceMaker(
    "gameservers",
    "gameservers.tap",
    "One lobby for the players of several multiplayer games.",
    "gameserver",
)

__all__ = ["server", "tictactoe", "tilegame", "twister", "vcmi", "velnet"]
