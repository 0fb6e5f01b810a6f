"""Registers the dice room with gameservers."""

from dice_room import DiceRoom

dice_room = DiceRoom()
