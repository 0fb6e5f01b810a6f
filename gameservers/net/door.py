"""
The front door: one port for every game, where the first bytes decide which one it is.

Every wire format is asked whether it recognises the first bytes of a connection
(L{gameservers.wire}), and the transport is handed over to the one that does: no wrapper stays in
the path.  Two openings are handled by the door itself:

  - a TLS ClientHello, where there is a certificate: it is answered, and the data inside is
    recognised anew;
  - an HTTP request.  One for a WebSocket is accepted, whatever its path, without extensions and
    sub-protocol.  If several wire formats use WebSockets here, the opcode of the first message
    decides between them: text and binary have one format each.  Any other request goes to the web
    site.

A game's own port is a door, too, for that game's wire formats alone.  So every connection has a
ticket of the guard, with limits and a time to be recognised; it is set as the attribute
C{ticket} of the protocol that takes over.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    ISSLTransport,
)
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from wsproto.frame_protocol import Opcode
from zope.interface import implementer

from gameservers.net.bypass import write_at_once
from gameservers.net.datagrams import Datagrams
from gameservers.net.guard import Guard, Reason, Ticket
from gameservers.net.headers import HEADERS
from gameservers.net.tls import SPOKEN
from gameservers.net.websocket import (
    MAX_FIRST_PINGS,
    Upgrade,
    WebSocket,
    accepted,
    first_opcode,
    is_asked_for,
)
from gameservers.wire import Recogniser, Verdict, anything, begins, decide, never

#: Maximum size of an HTTP request's head, and of the control frames before the first message of a
#: WebSocket, in bytes.
MAX_HEAD = 16 * 1024

#: Bytes that a connection may send before it is recognised: no wire format needs more than ten,
#: and foreign data is rejected even sooner.
MAX_FIRST_BYTES = 64

#: What ends the head of an HTTP request.
BLANK_LINE = b"\r\n\r\n"

METHODS = (b"GET ", b"HEAD ", b"POST ", b"OPTIONS ")
HTTP = begins(*METHODS)

#: The recogniser on a port with HTTP alone: the site answers unknown methods, too.
HTTP_ALONE = begins(*METHODS, b"PUT ", b"DELETE ", b"TRACE ", b"PATCH ", b"CONNECT ")

#: The start of a TLS handshake record: its type, and the major version, which is the same in all
#: versions from TLS 1.0 on.
TLS = begins(b"\x16\x03\x01", b"\x16\x03\x02", b"\x16\x03\x03")


class Carriage(enum.Enum):
    """How the messages of a wire format travel."""

    STREAM = "a bare TCP or TLS stream"
    DATAGRAM = "UDP datagrams"
    TEXT = "text messages on a WebSocket"
    BINARY = "binary messages on a WebSocket"


@dataclass(frozen=True, slots=True)
class Wire:
    """
    One wire format of a game.

    @ivar name: short, for logs and errors.
    @ivar make: makes a protocol from the game's service: a
        L{gameservers.net.connection.Connection} for a stream, a
        L{gameservers.net.websocket.WebSocket} for a WebSocket, a
        L{gameservers.net.datagrams.Datagrams} for UDP, one for each port.
    @ivar recognise: recognises it among all wire formats by its first bytes, or by a datagram.
        WebSockets are distinguished by the opcode of their first message instead.
    @ivar alone: the recogniser on the game's own port.
    """

    name: str
    carriage: Carriage
    make: Callable[[Any], Any]
    recognise: Recogniser = never
    alone: Recogniser = anything


#: The opcode of the messages of a wire format on WebSockets.
OPCODES = {Carriage.TEXT: Opcode.TEXT, Carriage.BINARY: Opcode.BINARY}


class WireFactory(ServerFactory):
    """Makes the protocols of one wire format."""

    noisy = False

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._make()


@dataclass(frozen=True, slots=True)
class Routes:
    """
    Where the connections of one port go.

    @ivar streams: how each wire format on a bare stream recognises its own, and its factory.
    @ivar sockets: the factories for WebSockets, by the opcode of the first message; they make
        L{WebSocket}s.
    @ivar site: the factory for all other HTTP requests.
    @ivar tls: makes the connections that answer a ClientHello.
    @ivar tls_only: whether connections that are not encrypted are refused.
    """

    streams: Sequence[tuple[Recogniser, IProtocolFactory]] = ()
    sockets: Mapping[int, IProtocolFactory] = field(default_factory=dict)
    site: IProtocolFactory | None = None
    tls: Any = None
    tls_only: bool = False

    @property
    def claims(self) -> list[tuple[Recogniser, IProtocolFactory | None]]:
        """The recognisers to ask; that for HTTP is the door's own."""
        if not (self.sockets or self.site):
            return [*self.streams]
        return [*self.streams, (HTTP if self.streams else HTTP_ALONE, None)]

    @property
    def factories(self) -> tuple[IProtocolFactory, ...]:
        """All factories, each once."""
        found = [*(factory for _, factory in self.streams), *self.sockets.values(), self.site]
        return tuple(dict.fromkeys(factory for factory in found if factory is not None))


def routes(
    games: Iterable[tuple[Any, Sequence[Wire]]],
    site: IProtocolFactory | None,
    *,
    alone: bool = False,
) -> tuple[Routes, list[tuple[Recogniser, Datagrams]]]:
    """
    Work out which protocols the connections and the datagrams of a port go to.

    @param games: the service of each game on the port, and its wire formats.
    @param alone: whether the port is one game's own.
    @raise UsageError: two wire formats use the same kind of WebSocket message.
    """
    streams: list[tuple[Recogniser, IProtocolFactory]] = []
    datagrams: list[tuple[Recogniser, Datagrams]] = []
    sockets: dict[int, IProtocolFactory] = {}
    for service, wires in games:
        for wire in wires:
            recognise = wire.alone if alone else wire.recognise
            make = partial(wire.make, service)
            match wire.carriage:
                case Carriage.STREAM:
                    streams.append((recognise, WireFactory(make)))
                case Carriage.DATAGRAM:
                    datagrams.append((recognise, make()))
                case Carriage.TEXT | Carriage.BINARY as carriage:
                    if OPCODES[carriage] in sockets:
                        raise UsageError(
                            f"{wire.name} is not the only wire format in {carriage.value}."
                        )
                    sockets[OPCODES[carriage]] = WireFactory(make)
    return Routes(streams, sockets, site), datagrams


@implementer(IProtocolNegotiationFactory)
class Door(ServerFactory):
    """The factory of a port."""

    noisy = False

    def __init__(self, guard: Guard, routes: Routes) -> None:
        self.guard = guard
        self.routes = routes
        self.claims = routes.claims

    def acceptableProtocols(self) -> list[bytes]:
        """The protocols that an C{ssl:} endpoint of Twisted's offers (ALPN)."""
        return [SPOKEN]

    def startFactory(self) -> None:
        for factory in self.routes.factories:
            factory.doStart()

    def stopFactory(self) -> None:
        for factory in self.routes.factories:
            factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> FirstBytes:
        return FirstBytes(self)


class FirstBytes(Protocol):
    """The protocol of a connection until its wire format is recognised."""

    transport: Any  # a stream transport

    def __init__(self, door: Door) -> None:
        self._guard = door.guard
        self._routes = door.routes
        self._claims = door.claims
        self._first = bytearray()
        self._seen = 0  # bytes of it that need not be looked at again
        self._encrypted = False
        self._ended = False
        self._ticket: Ticket | None = None
        self._upgrade = Upgrade("/")
        self._read: Callable[[FirstBytes], None] = FirstBytes._look

    def connectionMade(self) -> None:
        self._encrypted = ISSLTransport.providedBy(self.transport)
        self._ticket = self._guard.arrived(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._ticket is not None:
            self._ticket.lost()

    def dataReceived(self, data: bytes) -> None:
        ticket = self._ticket
        if ticket is None or self._ended:
            return
        if not self._guard.has_room_for(ticket):
            self._ended = True
            return
        self._first += data
        self._read(self)

    def malformed(self, fault: str) -> None:
        """What came before the first bytes is malformed."""
        if self._ticket is not None and not self._ended:
            self._refuse(Reason.MALFORMED, fault)

    # Each of these does work in proportion to the bytes that are new, however they are cut.

    def _look(self) -> None:
        """Recognise the wire format."""
        first = bytes(self._first)
        if not self._encrypted and self._routes.tls is not None:
            match TLS(first):
                case Verdict.YES:
                    self._start_tls()
                    return
                case Verdict.MORE:
                    return
                case Verdict.NO if self._routes.tls_only:
                    self._refuse(Reason.REFUSED, "not encrypted")
                    return
        verdict, factory = decide(first, self._claims)
        if verdict is Verdict.YES:
            if factory is None:
                self._read = FirstBytes._read_head
                self._read_head()
            else:
                self._admit(self._build(factory))
        elif verdict is Verdict.NO or len(first) >= MAX_FIRST_BYTES:
            self._refuse(Reason.MALFORMED, "unknown")

    def _start_tls(self) -> None:
        first = self._take()
        self._encrypted = True
        self.transport.startTLS(self._routes.tls)
        self.transport.protocol.dataReceived(first)

    def _read_head(self) -> None:
        """Read the head of an HTTP request, which tells whether it is for a WebSocket."""
        end = self._first.find(BLANK_LINE, self._seen)
        self._seen = max(0, len(self._first) - len(BLANK_LINE) + 1)
        if (len(self._first) if end < 0 else end) > MAX_HEAD:
            self._refuse(Reason.MALFORMED, "unknown")
            return
        if end < 0:
            return
        size = end + len(BLANK_LINE)
        head = bytes(self._first[:size])
        if (found := accepted(head)) is not None:
            self._accept(*found, size)
        elif self._routes.site is not None and not is_asked_for(head):
            self._admit(self._build(self._routes.site))
        else:
            self._answer(HTTPStatus.BAD_REQUEST)

    def _accept(self, upgrade: Upgrade, answer: bytes, size: int) -> None:
        factories = set(self._routes.sockets.values())
        if not factories:
            self._answer(HTTPStatus.BAD_REQUEST)
        elif len(factories) == 1:
            socket: WebSocket = self._build(factories.pop())
            status = socket.status(upgrade)
            if status:
                self._answer(HTTPStatus(status))
                return
            write_at_once(self.transport, answer)
            del self._first[:size]
            socket.upgrade = upgrade
            self._admit(socket)
        else:
            assert self._ticket is not None
            write_at_once(self.transport, answer)
            self._guard.recognised(self._ticket)
            del self._first[:size]
            self._upgrade, self._seen = upgrade, 0
            self._read = FirstBytes._await_message
            self._await_message()

    def _await_message(self) -> None:
        """Wait for the first message of a WebSocket, which tells which game it is for."""
        opcode, self._seen = first_opcode(self._first, self._seen)
        if opcode is None:
            if self._seen >= MAX_FIRST_PINGS:
                self._refuse(Reason.MALFORMED, "unknown")
            return
        sockets = self._routes.sockets
        if opcode == Opcode.CLOSE:  # any factory can answer a ping
            opcode = next(iter(sockets))
        factory = sockets.get(opcode)
        socket = None if factory is None else self._build(factory)
        if socket is None or socket.status(self._upgrade):
            self._refuse(Reason.REFUSED, "not taken here")
            return
        socket.upgrade = self._upgrade
        self._admit(socket)

    def _take(self) -> bytes:
        """What has been received, which is forgotten."""
        first, self._first = bytes(self._first), bytearray()
        return first

    def _build(self, factory: IProtocolFactory) -> Any:
        return factory.buildProtocol(self.transport.getPeer())

    def _admit(self, protocol: Any) -> None:
        """Hand the connection over to this protocol, or refuse it if there is none."""
        if protocol is None:
            self._refuse(Reason.REFUSED, "not taken here")
            return
        if not hasattr(protocol, "ticket"):  # the guard would miss its end
            raise TypeError(f"{type(protocol).__name__} is not a Connection")
        assert self._ticket is not None
        self._guard.recognised(self._ticket)
        protocol.ticket = self._ticket
        hand_over(self.transport, protocol, self._take())

    def _answer(self, status: HTTPStatus) -> None:
        """Answer an HTTP request that is not accepted, and close."""
        body = f"{status.description or status.phrase}.\n".encode()
        headers = {
            "Content-Type": "text/plain",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **HEADERS,
        }
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *map(": ".join, headers.items())]
        self._ended = True
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.loseConnection()

    def _refuse(self, reason: Reason, detail: str) -> None:
        self._ended = True
        assert self._ticket is not None
        self._guard.cut(self._ticket, reason, detail)


def hand_over(transport: Any, protocol: Any, rest: bytes) -> None:
    """
    Hand the connection over to C{protocol}, with C{rest}, which was read already.

    The transport calls its new protocol directly, with nothing in between.  The old protocol is
    not called any more, not even when the connection is lost.
    """
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol
    elif getattr(transport, "TLS", False):  # started on a plain connection
        transport.protocol.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.makeConnection(transport)
    if rest:
        protocol.dataReceived(rest)
