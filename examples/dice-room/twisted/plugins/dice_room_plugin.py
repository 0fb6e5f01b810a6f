"""Makes the dice room known to gameservers."""

from dice_room import DiceRoom

dice_room = DiceRoom()
