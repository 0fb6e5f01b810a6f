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


class Allowance:
    """
    What one sender may send: always C{rate} a second, and C{burst} at once; more while it is not
    asked to wait.

    What was sent beyond that while it was free to is a debt of at most C{burst}.

    @ivar rate: amount per second; 0 is no limit.
    @ivar used: what was sent while it was free to, since the last call of L{wait}.
    """

    __slots__ = ("_burst", "_level", "_since", "rate", "used")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.used = 0.0
        self._burst = burst
        self._level = burst
        self._since = now

    def wait(self, now: float, amount: float = 0) -> float:
        """
        Seconds until its debt is paid; 0 if it has none.

        @param amount: what it sends now.
        """
        if not self.rate:
            return 0.0
        level = self._level + self.rate * (now - self._since)
        paid = min(self._burst, level - self.used)
        self._level = max(paid, min(level, -self._burst)) - amount
        self._since = now
        self.used = 0.0
        short = -self._level / self.rate
        return short if short > ROUNDING else 0.0
