"""
How often somebody may try: a few times freely, then with growing delays; and how many at once.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

from twisted.internet.defer import Deferred


@dataclass(slots=True)
class _Tries:
    count: int = 0
    last: float = 0.0
    not_before: float = 0.0


class Attempts:
    """
    Attempts by key, an address or a name.

    The first C{free} attempts cost nothing.  After each further one comes a pause, C{pause}
    seconds at first and twice as long each time, up to C{longest}.  An attempt counts when it
    begins, so that many at once are no way around; one that succeeds is given back.  Whoever
    does not try for C{forget} seconds starts anew.  At most C{keys} are remembered; then the
    one that has not tried for longest is forgotten.
    """

    def __init__(
        self,
        free: int,
        *,
        pause: float = 1.0,
        longest: float = 60.0,
        forget: float = 900.0,
        keys: int = 10_000,
    ) -> None:
        self._free = free
        self._pause = pause
        self._longest = longest
        self._forget = forget
        self._keys = keys
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tries)

    def wait(self, key: str, now: float) -> float:
        """Seconds until the next attempt may begin; 0: at once."""
        tries = self._tries.get(key)
        if tries is None or now - tries.last > self._forget:
            return 0.0
        return max(0.0, tries.not_before - now)

    def begin(self, key: str, now: float) -> None:
        """An attempt begins (one that had not to wait)."""
        tries = self._tries.setdefault(key, _Tries())
        self._tries.move_to_end(key)
        if now - tries.last > self._forget:
            tries.count = 0
        tries.count += 1
        tries.last = now
        beyond = tries.count - self._free
        if beyond > 0:
            # The exponent is bounded: a float has an end.
            tries.not_before = now + min(self._pause * 2 ** min(beyond - 1, 64), self._longest)
        while len(self._tries) > self._keys:
            self._tries.popitem(last=False)

    def give_back(self, key: str) -> None:
        """An attempt that has begun was a good one."""
        tries = self._tries.get(key)
        if tries is not None:
            tries.count -= 1
            if tries.count <= self._free:
                tries.not_before = 0.0
            if tries.count <= 0:
                del self._tries[key]

    def clear(self, key: str) -> None:
        """Forget all attempts under this key."""
        self._tries.pop(key, None)


class Line:
    """Some at once; the others wait for their turn, first come, first served."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._under_way = 0
        self._waiting: deque[Deferred[None]] = deque()
        self._calling = False

    @property
    def is_empty(self) -> bool:
        return not self._under_way and not self._waiting

    def turn(self) -> Deferred[None]:
        """Fires when it is the caller's turn, who says when he is L{done}."""
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        self._call()
        return deferred

    def done(self) -> None:
        self._under_way -= 1
        self._call()

    def _call(self) -> None:
        # Whoever is done at once, being refused, comes back here: hundreds of them in a loop.
        if self._calling:
            return
        self._calling = True
        while self._waiting and self._under_way < self._at_once:
            self._under_way += 1
            self._waiting.popleft().callback(None)
        self._calling = False
