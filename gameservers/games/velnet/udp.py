"""
VelNet in datagrams, both forms on each port.

A player says who he is in a hello that must come from the host of his stream; from then on his
datagrams are known by the address they come from, and what others say in datagrams goes there.
Whatever comes from an unknown address, or in another player's name, is ignored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from errno import EAGAIN, ENOBUFS, EWOULDBLOCK
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port

from gameservers.games.velnet import binary, text
from gameservers.games.velnet.dialect import Dialect
from gameservers.games.velnet.messages import Hello
from gameservers.games.velnet.relay import GAME, Relay
from gameservers.games.velnet.session import Address
from gameservers.games.velnet.sniff import Form, form_of_datagram
from gameservers.net.address import unmapped

#: Datagrams that may wait for the network; the oldest is dropped for the newest.
MAX_WAITING = 10_000

#: How long to wait when the network takes no more datagrams, in seconds.
RETRY = 0.005

#: Bytes of datagrams that are read in a reactor turn from a port of VelNet's own: each may be for
#: a whole room, and whoever floods must not keep the streams waiting.
MAX_THROUGHPUT = 2 * 1024


class VelNetDatagrams(DatagramProtocol):
    """One port, and whatever anybody says to it."""

    transport: Any
    max_read = MAX_THROUGHPUT

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._waiting: deque[tuple[bytes, Address]] = deque(maxlen=MAX_WAITING)
        self._retry: IDelayedCall | None = None

    def startProtocol(self) -> None:
        # A port checks at every write whether the address is one.  Ours came with a datagram,
        # and a talk among fifty is a hundred thousand writes a second.
        direct = isinstance(self.transport, Port)
        self._put: Callable[[bytes, Address], object] = (
            self.transport.socket.sendto if direct else self.transport.write
        )

    def stopProtocol(self) -> None:
        self._waiting.clear()
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.cancel()

    def datagramReceived(self, datagram: bytes, address: Address) -> None:
        form = form_of_datagram(datagram)
        if form is Form.UNKNOWN:
            return
        codec = text if form is Form.TEXT else binary
        session = self._relay.bound.get(address)
        if session is None or session.dialect is not codec:
            message = codec.parse_datagram(datagram, None)
        else:
            message = codec.parse_datagram(datagram, session.player, session.seed)
        if isinstance(message, Hello):
            self._greet(message, codec, address)
        elif message is not None and session is not None:
            session.obey_datagram(message)

    def _greet(self, hello: Hello, dialect: Dialect, address: Address) -> None:
        relay = self._relay
        session = relay.sessions.get(hello.player)
        if session is None or session.dialect is not dialect:
            return
        host = unmapped(address[0])
        if session.address != host and not relay.settings.any_address:
            return
        relay.bind(session, address, self.send, seed=hello.seed)
        self.send(dialect.known(hello.player), address)

    def send(self, datagram: bytes, address: Address) -> None:
        """Send a datagram, or keep it until the network takes more; the oldest gives way."""
        if not self._waiting and self._write(datagram, address):
            return
        if len(self._waiting) == self._waiting.maxlen:
            self._relay.metrics.datagrams_dropped[GAME, "unsent"] += 1
        self._waiting.append((datagram, address))
        if self._retry is None:
            self._retry = self._relay.clock.callLater(RETRY, self._resume)

    def _resume(self) -> None:
        self._retry = None
        waiting = self._waiting
        while waiting:
            if not self._write(*waiting[0]):
                self._retry = self._relay.clock.callLater(RETRY, self._resume)
                return
            waiting.popleft()

    def _write(self, datagram: bytes, address: Address) -> bool:
        """Whether the datagram is dealt with."""
        try:
            self._put(datagram, address)
        except OSError as error:
            if error.errno in (EAGAIN, EWOULDBLOCK, ENOBUFS):
                return False
            self._relay.metrics.datagrams_dropped[GAME, "unsent"] += 1
        return True
