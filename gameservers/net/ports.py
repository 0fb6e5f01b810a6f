"""
Ports: what a listening option names, and how it is listened to.
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
from gameservers.net.door import Door

#: Connections that the kernel completes before they are accepted.
BACKLOG = 1024


class CannotStart(SystemExit, Exception):
    """
    The server does not start, and its operator was told why.

    Being an L{Exception} it makes twistd tidy up and report to the process that waits for
    the daemon; being a L{SystemExit} it ends the process without a traceback.
    """

    def __init__(self, why: str) -> None:
        super().__init__(1)
        self.why = why

    def __str__(self) -> str:
        return self.why


class Listener(Service):
    """
    One port of one transport, open from before privileges are shed to the stop.

    @ivar factory: makes the protocols of connections; for UDP, the protocol itself.
    """

    _log = Logger()
    _port: IListeningPort | None = None

    def __init__(
        self, what: str, listen: Callable[[Any], Any], factory: Door | DatagramProtocol
    ) -> None:
        self.factory = factory
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
    """An address of a port: of the network, or the path of a Unix socket."""
    if hasattr(address, "port"):
        return authority(address.host, address.port)
    return os.fsdecode(getattr(address, "name", None) or "?")


def complaint(what: str, error: BaseException | None) -> str:
    """Why a port cannot be listened on, in a sentence."""
    where, reason = what, str(error)
    if isinstance(error, CannotListenError):
        reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
        port = error.port
        where = authority(error.interface or "*", port) if isinstance(port, int) else str(port)
    return f"Cannot listen on {where}: {reason[:1].lower()}{reason[1:]}."


def endpoint(reactor: Any, where: Listening, interface: str) -> IStreamServerEndpoint:
    """What a listening option names, or L{UsageError}."""
    if isinstance(where, int):
        return TCP4ServerEndpoint(reactor, where, BACKLOG, interface)
    try:
        named: IStreamServerEndpoint = serverFromString(reactor, where)
        return named
    except Exception as error:  # the parsers of endpoints raise anything
        raise UsageError(f"Cannot listen on {where}: {error!s}.") from None


def everywhere() -> str:
    """
    The address that stands for all addresses of this machine.

    C{::} takes IPv4 too unless the kernel's default says otherwise (C{net.ipv6.bindv6only});
    then, and where there is no IPv6, it is IPv4 alone.
    """
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
            only_ipv6 = probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return "0.0.0.0"
    return "0.0.0.0" if only_ipv6 else "::"
