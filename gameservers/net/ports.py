"""
Listening ports: parsing the options, opening and closing them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from gameservers.config.vocabulary import Listening
from gameservers.net.address import authority
from gameservers.net.arrivals import Arrivals
from gameservers.net.bypass import DatagramReader
from gameservers.net.datagrams import MAX_DATAGRAM, DatagramPort
from gameservers.net.door import Door
from gameservers.net.proxy import ProxiedEndpoint

#: The prefix of an endpoint whose connections come from balancers.  Twisted has it, too, but there
#: a header that is no header is an exception.
PROXIED = "haproxy"

#: Connections that the kernel completes before they are accepted.
BACKLOG = 4096


class CannotStart(SystemExit, Exception):
    """
    The server cannot start; the reason has been printed and logged.

    It is an L{Exception} so that twistd cleans up and reports to the process that waits for the
    daemon, and a L{SystemExit} so that the process ends without a traceback.
    """

    def __init__(self, why: str) -> None:
        super().__init__(1)
        self.why = why

    def __str__(self) -> str:
        return self.why


class Listener(Service):
    """
    One listening port; it opens before privileges are dropped and closes at shutdown.

    @ivar factory: makes the protocols of connections; for UDP, the protocol itself.
    """

    _log = Logger()
    _port: IListeningPort | None = None

    def __init__(
        self,
        what: str,
        listen: Callable[[Any], Any],
        factory: Door | DatagramProtocol,
        arrivals: Arrivals | None = None,
    ) -> None:
        self.factory = factory
        self._arrivals = arrivals
        self._what = what
        self._listen = listen

    def privilegedStartService(self) -> None:
        """Begin to listen, or raise L{CannotStart}."""
        super().privilegedStartService()
        failures: list[Failure] = []
        listening = maybeDeferred(self._listen, self.factory)
        listening.addCallbacks(self._listens, failures.append)
        for failure in failures:
            raise CannotStart(complaint(self._what, failure.value)) from None

    def _listens(self, port: IListeningPort) -> None:
        self._port = port
        if self._arrivals is not None:
            self._arrivals.spread(port)
        address: Any = port.getHost()
        self._log.info(
            "{what} listens on {transport} {address}",
            what=self._what,
            transport=getattr(address, "type", "UNIX"),
            address=shown(address),
        )

    def stopService(self) -> Deferred[None] | None:
        super().stopService()
        port, self._port = self._port, None
        return None if port is None else port.stopListening()


def shown(address: Any) -> str:
    """Format a port's address: a network address, or the path of a Unix socket."""
    if hasattr(address, "port"):
        return authority(address.host, address.port)
    return os.fsdecode(getattr(address, "name", None) or "?")


def complaint(what: str, error: BaseException | None) -> str:
    """Say in a sentence why a port cannot be opened."""
    where, reason = what, str(error)
    if isinstance(error, CannotListenError):
        reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
        port = error.port
        where = authority(error.interface or "*", port) if isinstance(port, int) else str(port)
    return f"Cannot listen on {where}: {reason[:1].lower()}{reason[1:]}."


def endpoint(reactor: Any, where: Listening, interface: str) -> IStreamServerEndpoint:
    """The endpoint that a listening option names; raises L{UsageError}."""
    if isinstance(where, int):
        return TCP4ServerEndpoint(reactor, where, BACKLOG, interface)
    try:
        kind, _, rest = where.partition(":")
        if kind == PROXIED:
            return ProxiedEndpoint(serverFromString(reactor, rest))
        named: IStreamServerEndpoint = serverFromString(reactor, where)
        return named
    except Exception as error:  # endpoint parsers raise all kinds of exceptions
        raise UsageError(f"Cannot listen on {where}: {error!s}.") from None


def listen_udp(reactor: Any, port: int, interface: str, protocol: DatagramPort) -> IListeningPort:
    """Open a UDP port; raises L{CannotListenError}."""
    opened = DatagramReader(port, protocol, interface, MAX_DATAGRAM, reactor)
    opened.startListening()
    listening: IListeningPort = opened
    return listening


def everywhere() -> str:
    """
    The wildcard address of this machine.

    It is C{::}, which accepts IPv4 too, unless the kernel is configured otherwise
    (C{net.ipv6.bindv6only}) or there is no IPv6; then it is C{0.0.0.0}.
    """
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
            only_ipv6 = probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return "0.0.0.0"
    return "0.0.0.0" if only_ipv6 else "::"
