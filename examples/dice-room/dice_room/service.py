"""The game's service: the state that all players share."""

from __future__ import annotations

from dice_room.records import DiceRecords
from dice_room.words import Words
from gameservers.games import Dependencies, GameService
from gameservers.lobby import RoomKey, RoomRules


class DiceService(GameService):
    def __init__(self, dependencies: Dependencies) -> None:
        super().__init__(dependencies)
        assert dependencies.store is not None
        self.words = Words()
        self.records = DiceRecords(dependencies.store)
        self.table = RoomKey(self.game, "", "table")
        capacity = self.settings.max_players
        self.limit_players(capacity)
        rules = RoomRules(hosted=False, permanent=True)
        self.lobby.provide_room(self.table, rules, capacity=capacity)

    def say_farewell(self) -> None:
        self.lobby.announce("the table closes", self.game)
