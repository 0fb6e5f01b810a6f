"""
Fair turns for new connections.

To make a connection of what has arrived takes twenty times as long as to accept it.  Twisted does
both at once, so that one client that comes and goes as fast as it can is everybody's delay; and if
less were accepted, the kernel's queue would be full of that one's, and it would turn away the
others, who try again after a second.  Here:

  - What has arrived is accepted, for at most L{SHARE} in a turn.  It then waits in the line of its
    address (an IPv4 address or an IPv6 /64), and the lines have
    their slices of the turn like the input of connections (L{gameservers.net.turn}).
  - Of one address no more can wait than may be connected (C{--max-per-address}), and no more than
    L{MAX_WAITING} in all, but L{FEW} of any address.  What is over is closed, counted and logged
    as C{crowded}.  Trusted hosts and balancers have one line for each port, of the same length;
    when it is full the kernel keeps the rest.
  - What is closed again by its client before it said anything is never made a connection.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Any

from cachetools import LRUCache
from twisted.internet.interfaces import IListeningPort
from twisted.internet.tcp import Port
from twisted.logger import Logger

from gameservers.net.address import unmapped
from gameservers.net.bypass import Entrance, has_left
from gameservers.net.guard import Guard
from gameservers.net.proxy import ProxiedFactory
from gameservers.net.turn import Turn

#: How long connections are accepted in a turn, in seconds.
SHARE = 0.01

#: Connections that wait in all, and how many of each address may wait besides.
MAX_WAITING = 1_024
FEW = 8

#: Lines that are remembered.
MAX_LINES = 4_096


class Arrivals:
    """The lines of all listening ports."""

    def __init__(self, turn: Turn, guard: Guard) -> None:
        self.turn = turn
        self.waiting = 0
        self._guard = guard
        self._lines: LRUCache[str, Line] = LRUCache(MAX_LINES)
        self._unlimited: dict[Entrance, Line] = {}

    def spread(self, port: IListeningPort) -> None:
        """Let the connections of a port come in turn, if it is a TCP port."""
        if type(port) is Port:
            self._unlimited[Entrance(port, self.accept)] = Line(self)

    def accept(self, entrance: Entrance) -> None:
        """Accept what has arrived."""
        unlimited = self._unlimited[entrance]
        forwarded = isinstance(entrance.factory, ProxiedFactory)
        seconds = self.turn.clock.seconds
        end = seconds() + SHARE
        while len(unlimited.waiting) < MAX_WAITING and seconds() < end:
            arrived = entrance.accept()
            if arrived is None:
                return
            if has_left(arrived[0]):
                arrived[0].close()
                continue
            host = unmapped(arrived[1][0])
            place = "" if forwarded else self._guard.place_of(host)
            if not place:
                unlimited.put(entrance, *arrived)
            elif (line := self._line(place)).has_room:
                line.put(entrance, *arrived)
            else:
                arrived[0].close()
                self._guard.turned_away(host)

    def _line(self, place: str) -> Line:
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = Line(self, self._guard.settings.max_per_address)
        return line


class Line:
    """
    The connections from one address that have been accepted.

    @ivar used: see L{gameservers.net.turn.Waiting}.
    """

    _log = Logger()

    def __init__(self, arrivals: Arrivals, most: int = MAX_WAITING) -> None:
        self.used = 0.0
        self.waiting: deque[tuple[Entrance, socket.socket, Any]] = deque()
        self._most = most
        self._arrivals = arrivals
        self._turn = arrivals.turn

    @property
    def has_room(self) -> bool:
        size = len(self.waiting)
        return size < FEW or (size < self._most and self._arrivals.waiting < MAX_WAITING)

    def put(self, entrance: Entrance, accepted: socket.socket, address: Any) -> None:
        """Make a connection of it now, or let it wait."""
        self.waiting.append((entrance, accepted, address))
        self._arrivals.waiting += 1
        if len(self.waiting) > 1:
            return
        if time := self._turn.slice_for(self):
            self.go_on(time)
        else:
            self._turn.queue(self)

    def go_on(self, time: float) -> None:
        seconds = self._turn.clock.seconds
        begun = now = seconds()
        while self.waiting and now < begun + time:
            self._arrivals.waiting -= 1
            entrance, accepted, address = self.waiting.popleft()
            try:
                if has_left(accepted):
                    accepted.close()
                else:
                    entrance.admit(accepted, address)
            except Exception:
                self._log.failure("a connection could not be made")
                accepted.close()
            now = seconds()
        self._turn.spend(self, now - begun, more=bool(self.waiting))
        if self.waiting:
            self._turn.queue(self)
