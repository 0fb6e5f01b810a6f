"""
How many bytes may go where.

Anybody can write any sender into a UDP datagram, so a server whose replies are larger than the
requests could be used to flood somebody else.
"""

from __future__ import annotations

from cachetools import LRUCache

from gameservers.games.twister.settings import TwisterSettings

#: Senders that are remembered; the one that was silent longest is forgotten.
MAX_SENDERS = 4_096


class TokenBucket:
    """
    A number of bytes that grows by C{rate} a second up to C{burst}, and is that at first.

    A rate of 0 stands for no limit.
    """

    __slots__ = ("_burst", "_level", "_rate", "_since")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._since = now

    def affords(self, amount: int, now: float) -> bool:
        """Whether there is enough; a clock that is set back adds nothing and takes nothing."""
        filled = self._level + self._rate * max(0.0, now - self._since)
        self._level = min(self._burst, filled)
        self._since = now
        return not self._rate or self._level >= amount

    def spend(self, amount: int) -> None:
        self._level -= amount


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
        if own.affords(amount, now) and self._total.affords(amount, now):
            own.spend(amount)
            self._total.spend(amount)
            return True
        return False
