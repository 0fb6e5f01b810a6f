"""
Limits on log-in attempts: delays after failures, checks per minute, and fair turns at hashing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Protocol

from cachetools import LRUCache, TTLCache
from twisted.internet.defer import Deferred, fail

from gameservers.net.rates import TokenBucket
from gameservers.store.passwords import Busy

#: The first and the longest delay, in seconds.
PAUSE = 1.0
LONGEST_PAUSE = 60.0

#: Time without an attempt after which earlier ones are forgotten, in seconds.
FORGET = 900.0

#: Maximum number of names, addresses or pairs of them that each limit remembers.
KEYS = 10_000

MINUTE = 60.0


class Limit(Protocol):
    """A limit on attempts by key: an address, a name or a pair of them."""

    def wait(self, key: Hashable) -> float:
        """The time until the next attempt may begin, in seconds."""

    def begin(self, key: Hashable) -> None:
        """Count an attempt, which must not have to wait."""

    def give_back(self, key: Hashable) -> None:
        """Take back an attempt, which was successful or was not made."""


@dataclass(slots=True)
class _Tries:
    count: int = 0
    not_before: float = 0.0


class Attempts:
    """
    Growing delays: a L{Limit}.

    The first C{free} attempts are not delayed.  After each further one there is a delay, L{PAUSE}
    at first and twice as long each time, up to L{LONGEST_PAUSE}.  An attempt counts when it
    begins, so that parallel attempts do not evade the limit; one that succeeds is given back.
    After L{FORGET} without an attempt the count starts again.  At most L{KEYS} keys are
    remembered, the most recently used ones.
    """

    def __init__(self, free: int, now: Callable[[], float]) -> None:
        """Allow C{free} attempts without delay; C{now} is a monotonic clock, in seconds."""
        self._free = free
        self._now = now
        self._tries: TTLCache[Hashable, _Tries] = TTLCache(KEYS, FORGET, now)

    def wait(self, key: Hashable) -> float:
        tries = self._tries.get(key)
        return 0.0 if tries is None else max(0.0, tries.not_before - self._now())

    def begin(self, key: Hashable) -> None:
        tries = self._tries.get(key) or _Tries()
        self._tries[key] = tries  # for another FORGET seconds
        tries.count += 1
        beyond = tries.count - self._free
        if beyond > 0:
            # The exponent is bounded because a float overflows.
            pause = min(PAUSE * 2 ** min(beyond - 1, 64), LONGEST_PAUSE)
            tries.not_before = self._now() + pause

    def give_back(self, key: Hashable) -> None:
        tries = self._tries.get(key)
        if tries is not None:
            tries.count -= 1
            if tries.count <= self._free:
                tries.not_before = 0.0
            if tries.count <= 0:
                self.clear(key)

    def clear(self, key: Hashable) -> None:
        """Forget all attempts under this key."""
        self._tries.pop(key, None)


class PerMinute:
    """
    A number of attempts per minute: a L{Limit}.

    Each key has a token bucket, which holds half of the number and is filled with the other half
    in a minute, so that no 60 seconds have more attempts than the number.  At most L{KEYS} keys
    are remembered, the most recently used ones.

    @ivar at_once: attempts that may begin at the same moment.
    """

    def __init__(self, most: float, now: Callable[[], float]) -> None:
        """Allow C{most} attempts per minute; C{now} is a monotonic clock, in seconds."""
        self.at_once = max(1.0, most / 2)
        self._now = now
        self._rate = max(0.0, most - self.at_once) / MINUTE
        # A bucket that was not used for a minute is full.
        self._buckets: TTLCache[Hashable, TokenBucket] = TTLCache(KEYS, MINUTE, now)

    def wait(self, key: Hashable) -> float:
        bucket = self._buckets.get(key)
        return 0.0 if bucket is None else bucket.wait(1, self._now())

    def begin(self, key: Hashable) -> None:
        bucket = self._buckets.get(key) or TokenBucket(self._rate, self.at_once, self._now())
        self._buckets[key] = bucket  # for another minute
        bucket.take(1)

    def give_back(self, key: Hashable) -> None:
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.take(-1)


@dataclass(eq=False, slots=True)
class _Waiting:
    place: str
    name: str
    known: bool
    deferred: Deferred[None] = field(default_factory=Deferred)


class AdmissionQueue:
    """
    Lets a number of tasks run at once; the others wait for their turn.

    Every second turn goes to a name that has logged in from its address before, if one waits, and
    every other one to a name that has not: guesses from any number of addresses do not keep out
    those who come back.  Among these the next turn goes to the address whose last one is longest
    ago and, at that address, to the name whose last one is: a player that logs in now and then
    waits only for a task in progress to end, however many log-ins of others wait.  Among many
    addresses that had none, names that are not guessed elsewhere come first.  If too many wait,
    the newest of the address with most of them is refused.

    Twisted's C{DeferredSemaphore} starts each task from within the one before: hundreds that are
    refused at once would exceed the recursion limit.
    """

    def __init__(self, at_once: int, per_place: int, waiting: int) -> None:
        """
        Run C{at_once} tasks at once, of them at most C{per_place} of one address.

        @param waiting: maximum number of tasks that wait.
        """
        self._at_once = at_once
        self._per_place = per_place
        self._limit = waiting
        self._under_way: Counter[str] = Counter()  # by place
        self._waiting: dict[_Waiting, None] = {}  # the oldest first
        self._waiting_of: Counter[str] = Counter()  # by place
        self._turns = 0  # so far
        self._was_known = False  # whether the last one was of a name that was known
        #: The last turn of a place, of a name at a place, and of a name where it is not known.
        self._last: LRUCache[tuple[str | None, str | None], int] = LRUCache(KEYS)
        self._calling = False

    def turn(self, place: str, name: str, *, known: bool) -> Deferred[None]:
        """
        Wait for a turn, which lasts until L{done}; fails with L{Busy} if too many wait.

        @param known: whether this name has logged in from this address before.
        """
        if len(self._waiting) >= self._limit and not self._make_room(place):
            return fail(Busy())
        task = _Waiting(place, name, known)
        self._waiting[task] = None
        self._waiting_of[place] += 1
        self._call()
        return task.deferred

    def done(self, place: str) -> None:
        """End a turn of this address."""
        self._under_way[place] -= 1
        if not self._under_way[place]:
            del self._under_way[place]
        self._call()

    def _call(self) -> None:
        if self._calling:
            return
        self._calling = True
        while self._under_way.total() < self._at_once:
            ready = [t for t in self._waiting if self._under_way[t.place] < self._per_place]
            if not ready:
                break
            task = min(ready, key=self._rank)  # the oldest of several
            self._remove(task)
            self._was_known = task.known
            self._under_way[task.place] += 1
            self._turns += 1
            self._last[task.place, None] = self._last[task.place, task.name] = self._turns
            if not task.known:
                self._last[None, task.name] = self._turns
            task.deferred.callback(None)
        self._calling = False

    def _rank(self, task: _Waiting) -> tuple[bool, int, int, int]:
        again = task.known is self._was_known
        of_place = self._last.get((task.place, None), 0)
        of_name = 0 if task.known else self._last.get((None, task.name), 0)
        of_both = self._last.get((task.place, task.name), 0)
        return again, of_place, of_name, of_both

    def _make_room(self, place: str) -> bool:
        """Refuse the newest task of the address with most of them, unless it is this one."""
        crowd = max(self._waiting_of, key=lambda each: self._waiting_of[each])
        if self._waiting_of[crowd] <= self._waiting_of[place] + 1:
            return False
        task = next(t for t in reversed(self._waiting) if t.place == crowd)
        self._remove(task)
        task.deferred.errback(Busy())
        return True

    def _remove(self, task: _Waiting) -> None:
        del self._waiting[task]
        self._waiting_of[task.place] -= 1
        if not self._waiting_of[task.place]:
            del self._waiting_of[task.place]
