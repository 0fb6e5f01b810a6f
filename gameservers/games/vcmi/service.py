"""
VCMI's service: the state that the sessions of all its wire formats share.
"""

from __future__ import annotations

from gameservers.games import Dependencies, GameService
from gameservers.games.vcmi.started import StartedGames
from gameservers.games.vcmi.words import TextWords

#: Maximum number of distinct names, and of addresses, that are counted.
MAX_DISTINCT = 100_000


class VcmiService(GameService):
    """
    VCMI's service.

    @ivar games: the started games, whose pipes are paired here.
    @ivar text_words: sends messages to the launchers in the text lobby.
    """

    def __init__(self, dependencies: Dependencies) -> None:
        settings = dependencies.settings
        super().__init__(dependencies, rate=settings.chat_rate, burst=settings.chat_burst)
        self.games = StartedGames(self.game, self.clock, self.metrics, settings)
        self.text_words = TextWords(self)
        self._logins = 0
        self._addresses: set[str] = set()
        self._names: set[str] = set()
        self.limit_players(self.settings.max_players, self.settings.max_per_address)
        self.every(self.settings.ping_interval, self.check_health)

    def check_health(self) -> None:
        """Send the launchers a health check."""
        for session in tuple(self.text_words.sessions.values()):
            session.check_health()

    def say_farewell(self) -> None:
        self.games.forget()
        self.text_words.say_farewell()

    def count_login(self, address: str) -> None:
        """Count a connection of any kind."""
        self._logins += 1
        _remember(self._addresses, address)

    def count_name(self, name: str) -> None:
        """Count a player by name."""
        _remember(self._names, name)

    def statistics(self) -> dict[str, int]:
        """The statistics for C{<ROOT>}, by name."""
        metrics = self.metrics
        return {
            "uniques": len(self._addresses),
            "users": len(self._names),
            "logins": self._logins,
            "rooms": metrics.rooms_opened[self.game],
            "sessions": metrics.rooms_started[self.game],
            "clients": metrics.pipes_opened[self.game],
            "connections": metrics.pipes_paired[self.game],
        }


def _remember(seen: set[str], value: str) -> None:
    if len(seen) < MAX_DISTINCT:
        seen.add(value)
