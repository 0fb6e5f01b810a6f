"""
How many bytes may go where.

Anybody can write any sender into a UDP datagram, so a server whose replies are larger than the
requests could be used to flood somebody else.
"""

from __future__ import annotations

from cachetools import LRUCache

from gameservers.games.twister.settings import TwisterSettings
from gameservers.net.rates import TokenBucket

#: Senders that are remembered; the one that was silent longest is forgotten.
MAX_SENDERS = 4_096


class Budgets:
    """
    What may be sent to each receiver, and to all of them together.

    A receiver is a connected client, by its id, or else an address, as text.
    """

    def __init__(self, settings: TwisterSettings, now: float) -> None:
        self._settings = settings
        self._each: LRUCache[int | str, TokenBucket] = LRUCache(MAX_SENDERS)
        self._total = TokenBucket(settings.max_rate, settings.max_burst, now)

    def __len__(self) -> int:
        """How many receivers are remembered."""
        return len(self._each)

    def pays(self, receiver: int | str, amount: int, now: float) -> bool:
        """Whether so many bytes may be sent, which then count as sent."""
        own = self._each.get(receiver)
        if own is None:
            settings = self._settings
            own = self._each[receiver] = TokenBucket(
                settings.max_rate_per_address, settings.max_burst_per_address, now
            )
        if own.wait(amount, now) or self._total.wait(amount, now):
            return False
        own.take(amount)
        self._total.take(amount)
        return True
