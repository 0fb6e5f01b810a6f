"""
Limits on log-in attempts: growing delays after a few failures, and a maximum number at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import TTLCache
from twisted.internet.defer import Deferred

#: The first and the longest delay, in seconds.
PAUSE = 1.0
LONGEST_PAUSE = 60.0

#: Time without an attempt after which earlier ones are forgotten, in seconds.
FORGET = 900.0

#: Maximum number of names or addresses that are remembered.
KEYS = 10_000


@dataclass(slots=True)
class _Tries:
    count: int = 0
    not_before: float = 0.0


class Attempts:
    """
    Counts attempts by key, an address or a name.

    The first C{free} attempts are not delayed.  After each further one there is a delay, L{PAUSE}
    at first and twice as long each time, up to L{LONGEST_PAUSE}.  An attempt counts when it
    begins, so that parallel attempts do not evade the limit; one that succeeds is given back.
    After L{FORGET} without an attempt the count starts again.  At most L{KEYS} keys are
    remembered, the most recently used ones.
    """

    def __init__(self, free: int, now: Callable[[], float]) -> None:
        """Allow C{free} attempts without delay; C{now} returns the time in seconds."""
        self._free = free
        self._now = now
        self._tries: TTLCache[str, _Tries] = TTLCache(KEYS, FORGET, now)

    def wait(self, key: str) -> float:
        """The time until the next attempt may begin, in seconds."""
        tries = self._tries.get(key)
        return 0.0 if tries is None else max(0.0, tries.not_before - self._now())

    def begin(self, key: str) -> None:
        """Count an attempt, which must not have to wait."""
        tries = self._tries.get(key) or _Tries()
        self._tries[key] = tries  # for another FORGET seconds
        tries.count += 1
        beyond = tries.count - self._free
        if beyond > 0:
            # The exponent is bounded because a float overflows.
            pause = min(PAUSE * 2 ** min(beyond - 1, 64), LONGEST_PAUSE)
            tries.not_before = self._now() + pause

    def give_back(self, key: str) -> None:
        """Take back an attempt, which was successful."""
        tries = self._tries.get(key)
        if tries is not None:
            tries.count -= 1
            if tries.count <= self._free:
                tries.not_before = 0.0
            if tries.count <= 0:
                self.clear(key)

    def clear(self, key: str) -> None:
        """Forget all attempts under this key."""
        self._tries.pop(key, None)


class AdmissionQueue:
    """
    Lets a number of tasks run at once; the others wait their turn, first come, first served.

    Twisted's C{DeferredSemaphore} starts each task from within the one before: hundreds that are
    refused at once would exceed the recursion limit.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._under_way = 0
        self._waiting: deque[Deferred[None]] = deque()
        self._calling = False

    @property
    def is_empty(self) -> bool:
        return not self._under_way and not self._waiting

    def turn(self) -> Deferred[None]:
        """Wait for a turn, which lasts until the caller calls L{done}."""
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        self._call()
        return deferred

    def done(self) -> None:
        """End a turn."""
        self._under_way -= 1
        self._call()

    def _call(self) -> None:
        if self._calling:
            return
        self._calling = True
        while self._waiting and self._under_way < self._at_once:
            self._under_way += 1
            self._waiting.popleft().callback(None)
        self._calling = False
