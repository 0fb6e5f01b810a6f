"""
The log lines of log-ins and cuts: each tells the game, the address, the connection's number and,
of a cut, the reason, so that an offender can be found.

A flood of connections does not become a flood of lines.  Each address (an IPv6 /64 is one) has a
number of lines in a period of L{PERIOD} seconds; what exceeds that is counted, and told in one
line at the end of the period.  If there are more than L{MAX_ADDRESSES} addresses in a period, the
further ones are counted together.  Trusted addresses have any number of lines.

Names are chosen by clients, so they are shown quoted, with escapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

#: Length of a period, in seconds.
PERIOD = 10.0

#: Maximum number of addresses that are told apart in a period.
MAX_ADDRESSES = 1_000

#: Lines of one address in a period, where there is no option.
LINES = 30


@dataclass(slots=True)
class _Source:
    """
    An address in the present period.

    @ivar lines: lines that it may still have.
    @ivar last: number of the last connection that has no line.
    @ivar more: what has no line, by game and what happened.
    """

    lines: int
    last: int = 0
    more: Counter[str] = field(default_factory=Counter)


class ConnectionLog(Service):
    """
    Writes these lines.

    @ivar lines: lines of one address in a period.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, place_of: Callable[[str], str] = str, lines: int = LINES
    ) -> None:
        """
        Begin.

        @param place_of: what a host is counted under; C{""} if it may have any number of lines.
        """
        self.lines = lines
        self._clock = clock
        self._place_of = place_of
        self._began = clock.seconds()
        self._sources: dict[str, _Source] = {}
        self._others = _Source(0)
        self._timer: IDelayedCall | None = None
        self._stopped = False

    def logged_in(self, game: str, number: int, address: str, name: str) -> None:
        """A client has logged in; C{name} is empty if it has none."""
        words = " as {name!r}" if name else ""
        self._tell("has logged in" + words, "log-ins", game, number, address, name=name)

    def left(self, game: str, number: int, address: str, why: str) -> None:
        """A client has left by itself."""
        self._tell("has left: {why}", "left", game, number, address, why=why)

    def cut(self, game: str, number: int, address: str, reason: str, detail: str = "") -> None:
        """The server has ended a connection, or removed a player."""
        words = "is cut off as {reason}" + (": {detail}" if detail else "")
        self._tell(words, reason, game, number, address, reason=reason, detail=detail)

    def stopService(self) -> None:
        super().stopService()
        self._stopped = True
        self._end_period()

    def _tell(
        self, words: str, what: str, game: str, number: int, address: str, **fields: Any
    ) -> None:
        place = self._place_of(address)
        if place:
            now = self._clock.seconds()
            if now - self._began >= PERIOD:
                self._end_period()
                self._began = now
            source = self._sources.get(place, self._others)
            if source is self._others and len(self._sources) < MAX_ADDRESSES:
                source = self._sources[place] = _Source(self.lines)
            if not source.lines:
                source.more[f"{game} {what}"] += 1
                source.last = number
                if self._timer is None and not self._stopped:
                    left = self._began + PERIOD - now
                    self._timer = self._clock.callLater(left, self._end_period)
                return
            source.lines -= 1
        self._log.info(
            "{game} connection {id} from {address} " + words,
            game=game,
            id=number,
            address=address,
            **fields,
        )

    def _end_period(self) -> None:
        """Tell what had no line; the next period begins with the next event."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        sources, self._sources = self._sources, {}
        for address, source in (*sources.items(), ("other addresses", self._others)):
            if source.more:
                self._log.info(
                    "{count} more from {address}, up to connection {id}: {what}",
                    count=source.more.total(),
                    address=address,
                    id=source.last,
                    what=", ".join(f"{count} {what}" for what, count in source.more.items()),
                )
        self._others = _Source(0)
