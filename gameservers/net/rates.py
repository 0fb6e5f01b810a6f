"""
Rates: how much of something there may be in a time.

The rules know no clock: C{now} is in seconds, from wherever it counts.
"""

from __future__ import annotations

#: Less than this is rounding, of times in seconds and of what is missing of one token.
ROUNDING = 1e-6


class TokenBucket:
    """
    A number of tokens that grows by C{rate} a second up to C{burst}, and is that at first.

    A rate of 0 stands for no limit.
    """

    __slots__ = ("_burst", "_level", "_rate", "_since")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._since = now

    def wait(self, amount: float, now: float) -> float:
        """
        Seconds until there are so many tokens; 0 if there are.

        A clock that is set back adds nothing and takes nothing.
        """
        if not self._rate:
            return 0.0
        filled = self._level + self._rate * max(0.0, now - self._since)
        self._level = min(self._burst, filled)
        self._since = now
        short = amount - self._level
        return short / self._rate if short > ROUNDING else 0.0

    def take(self, amount: float) -> None:
        """Take so many tokens."""
        self._level -= amount
