"""
How many bytes may go where: anybody can write any sender into a UDP datagram, so a reply that
is larger than its request is a gift to whoever likes to flood somebody else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bucket:
    """
    An account in bytes that fills by C{rate} a second up to C{burst}, full at first.

    A rate of 0 stands for an account that never runs dry.
    """

    __slots__ = ("_burst", "_level", "_rate", "_since")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._since = now

    def affords(self, amount: int, now: float) -> bool:
        """Whether there is enough; a clock that is set back fills nothing and takes nothing."""
        filled = self._level + self._rate * max(0.0, now - self._since)
        self._level = min(self._burst, filled)
        self._since = now
        return not self._rate or self._level >= amount

    def spend(self, amount: int) -> None:
        self._level -= amount


class Recent(Generic[K, V]):
    """What is known of the C{size} keys that were asked for last; of others, what C{make} says."""

    def __init__(self, size: int, make: Callable[[], V]) -> None:
        self._size = size
        self._make = make
        self._known: OrderedDict[K, V] = OrderedDict()

    def __getitem__(self, key: K) -> V:
        known = self._known
        if key in known:
            known.move_to_end(key)
            return known[key]
        self[key] = value = self._make()
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self._known[key] = value
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._known)
