"""
Rate limits: the times at which players get the state of the world and their messages are handled.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gameservers.net.rates import ROUNDING, TokenBucket

#: How late a timer may be without reducing the number of states, in seconds.
LATE = 0.01

#: By how much a state may be delayed to be sent together with those of others, in periods.
PUT_OFF = 0.1


def aligned(due: float, rate: float) -> float:
    """
    The time for the next state of a client that has to wait for it anyway.

    All clients that wait for the same moment are served in one turn of the reactor: ten that are
    not aligned take 1.4 to 1.8 times the CPU per state (C{python -m benchmarks.tilegame}).  A
    client that is not aligned is delayed a little each time until it is; one that never has to
    wait, because it answers slowly, is not delayed.
    """
    moment = math.ceil(due * rate - ROUNDING * rate) / rate
    return min(moment, due + PUT_OFF / rate)


class Pace:
    """
    When the messages of one player may be handled.

    A player gets C{tps} states per second, even if timers are a little late; missed states are not
    made up for.  All other messages are limited by a token bucket.
    """

    __slots__ = ("_bucket", "_due", "_tps", "_waited")

    def __init__(self, tps: int, max_rate: float, now: float) -> None:
        self._tps = tps
        self._bucket = TokenBucket(max_rate, max_rate, now)
        self._due = now  # when the next state may be sent
        self._waited = False

    def admit(self, asks: bool, now: float) -> float | None:
        """
        Decide whether a message may be handled now.

        @param asks: whether it asks for a state.
        @return: when to try again, if it may not.
        """
        if asks:
            if self._due - now > ROUNDING:
                self._waited = True
                self._due = aligned(self._due, self._tps)
                return self._due
            on_time = self._waited and now - self._due <= LATE
            self._due = (self._due if on_time else now) + 1 / self._tps
            self._waited = False
            return None
        wait = self._bucket.wait(1, now)
        if wait > ROUNDING:
            return now + wait
        self._bucket.take(1)
        return None


class Schedule:
    """
    Scheduled calls, with one timer for all of the same moment; they must not raise.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[float, tuple[IDelayedCall, dict[Callable[[], None], None]]] = {}

    def call_at(self, due: float, call: Callable[[], None]) -> None:
        """Schedule a call, at this time of the clock."""
        moment = self._waiting.get(due)
        if moment is None:
            wait = max(0.0, due - self._clock.seconds())
            moment = self._waiting[due] = self._clock.callLater(wait, self._run, due), {}
        moment[1][call] = None

    def cancel(self, due: float, call: Callable[[], None]) -> None:
        """Cancel a call, if it has not been made."""
        timer, calls = self._waiting.get(due, (None, {}))
        calls.pop(call, None)
        if timer is not None and not calls:
            timer.cancel()
            del self._waiting[due]

    def _run(self, due: float) -> None:
        _, calls = self._waiting.pop(due)
        for call in calls:
            call()
