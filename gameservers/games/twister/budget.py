"""
Limits on the bytes sent to addresses, against amplification attacks.

The sender of a UDP datagram can be forged, so a server whose replies are larger than the requests
could be used to flood a victim.
"""

from __future__ import annotations

from cachetools import LRUCache

from gameservers.games.twister.settings import TwisterSettings
from gameservers.net.rates import TokenBucket

#: Maximum number of receivers that are remembered; the least recently used is dropped.
MAX_SENDERS = 4_096


class Budgets:
    """
    Limits the bytes sent to each receiver, and to all together.

    A receiver is a connected client, by its id, or an address, as text.
    """

    def __init__(self, settings: TwisterSettings, now: float) -> None:
        self._settings = settings
        self._each: LRUCache[int | str, TokenBucket] = LRUCache(MAX_SENDERS)
        self._total = TokenBucket(settings.max_rate, settings.max_burst, now)

    def __len__(self) -> int:
        """The number of receivers that are remembered."""
        return len(self._each)

    def pays(self, receiver: int | str, amount: int, now: float) -> bool:
        """Whether this number of bytes may be sent; if so, they count as sent."""
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
