"""
The front door: one port for every game, where the first bytes decide who speaks.

A connection says something, every wire format is asked whether that is its own
(L{gameservers.wire}), and the connection is handed over to it whole: no wrapper stays in the
path.  Two openings are the door's own:

  - a TLS ClientHello, where there is a certificate: it is answered, and what is said inside is
    listened to from the beginning;
  - an HTTP request.  One for a WebSocket is accepted, whatever its path, without extensions and
    sub-protocol.  If several wire formats are spoken on WebSockets here, the first message
    decides whose it is: text and binary are each one's.  Any other request is the web site's.

A game's own port is such a door, too, with the game's wire formats alone behind it.  So every
connection has a ticket of the guard, with its limits and a time for its first byte, which the
protocol that gets the connection is handed as its attribute C{ticket}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    ISSLTransport,
)
from twisted.internet.protocol import Protocol, ServerFactory
from wsproto.frame_protocol import Opcode
from zope.interface import implementer

from gameservers.net.guard import Guard, Ticket
from gameservers.net.handover import hand_over, holder_of
from gameservers.net.tls import SPOKEN
from gameservers.net.websocket import Upgrade, WebSocket, accepted, first_opcode, is_asked_for
from gameservers.wire import Recogniser, Verdict, begins, decide

#: The most of an HTTP request's head, or of what a WebSocket says before its first message, in
#: bytes.
MAX_HEAD = 16 * 1024

#: What a connection may say before it is clear what it speaks, in bytes: no game needs more than
#: ten, and what is no game's is known as such even sooner.
MAX_FIRST_BYTES = 64

HTTP = begins(b"GET ", b"HEAD ", b"POST ", b"OPTIONS ")

#: A TLS record that belongs to a handshake: its type, and a version from TLS 1.0 on, which all of
#: them claim to be.
TLS = begins(b"\x16\x03\x01", b"\x16\x03\x02", b"\x16\x03\x03")


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
    @ivar sockets: who takes WebSockets, by the opcode of their first message; its protocols are
        L{WebSocket}s.
    @ivar site: who takes other HTTP requests.
    @ivar legacy: who takes HTTP whole, by kind.
    @ivar tls: makes the connections that answer a ClientHello.
    @ivar tls_only: whether what is said in the clear is refused.
    """

    streams: Sequence[tuple[Recogniser, IProtocolFactory]] = ()
    sockets: Mapping[int, IProtocolFactory] = field(default_factory=dict)
    site: IProtocolFactory | None = None
    legacy: Mapping[int, IProtocolFactory] = field(default_factory=dict)
    tls: Any = None
    tls_only: bool = False

    @property
    def claims(self) -> list[tuple[Recogniser, IProtocolFactory | None]]:
        """What is told apart; HTTP is the door's own."""
        http = self.sockets or self.site or self.legacy
        return [*self.streams, *([(HTTP, None)] if http else [])]

    @property
    def factories(self) -> tuple[IProtocolFactory, ...]:
        """All of them, each once."""
        found = [factory for _, factory in self.streams]
        found += [*self.sockets.values(), *self.legacy.values()]
        return tuple(dict.fromkeys([*found, self.site] if self.site is not None else found))


@implementer(IProtocolNegotiationFactory)
class Door(ServerFactory):
    """The factory of a port."""

    noisy = False

    def __init__(self, guard: Guard, routes: Routes) -> None:
        self.guard = guard
        self.routes = routes
        self.claims = routes.claims

    def acceptableProtocols(self) -> list[bytes]:
        """What a port that is Twisted's own TLS tells browsers it speaks."""
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
    """A connection that has not said enough to know what it speaks."""

    transport: Any  # a stream transport

    def __init__(self, door: Door) -> None:
        self._guard = door.guard
        self._routes = door.routes
        self._claims = door.claims
        self._first = b""
        self._encrypted = False
        self._ticket: Ticket | None = None
        self._upgrade: tuple[Upgrade, int] | None = None  # accepted, and the size of its head

    def connectionMade(self) -> None:
        self._encrypted = ISSLTransport.providedBy(self.transport)
        self._ticket = self._guard.arrived(self.transport)

    def dataReceived(self, data: bytes) -> None:
        ticket = self._ticket
        if ticket is None or not (ticket.spoke or self._guard.spoke(ticket)):
            self._ticket = None
            return
        self._first += data
        if self._upgrade is None:
            self._look()
        else:
            self._await_message(*self._upgrade)

    def _look(self) -> None:
        if not self._encrypted and self._routes.tls is not None:
            match TLS(self._first):
                case Verdict.YES:
                    self._start_tls()
                    return
                case Verdict.MORE:
                    return
                case Verdict.NO if self._routes.tls_only:
                    self._refuse("plain")
                    return
        verdict, factory = decide(self._first, self._claims)
        if verdict is Verdict.YES:
            if factory is None:
                self._read_head()
            else:
                self._admit(self._build(factory))
        elif verdict is Verdict.NO or len(self._first) >= MAX_FIRST_BYTES:
            self._refuse("unknown")

    def _start_tls(self) -> None:
        first, self._first = self._first, b""
        self._encrypted = True
        self.transport.startTLS(self._routes.tls)
        self.transport.protocol.dataReceived(first)

    def _read_head(self) -> None:
        """An HTTP request: once its head is here it is known whether it is for a WebSocket."""
        head, end, _ = self._first.partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD:
            self._refuse("unknown")
        elif not end:
            pass
        elif (found := accepted(head + end)) is None:
            if self._routes.site is not None and not is_asked_for(head + end):
                self._admit(self._build(self._routes.site))
            else:
                self._answer(HTTPStatus.BAD_REQUEST)
        else:
            self._accept(*found, len(head + end))

    def _accept(self, upgrade: Upgrade, answer: bytes, size: int) -> None:
        sockets = {*self._routes.sockets.values(), *self._routes.legacy.values()}
        if len(sockets) == 1 and not self._routes.legacy:
            socket: WebSocket = self._build(sockets.pop())
            status = socket.status(upgrade)
            if status:
                self._answer(HTTPStatus(status))
                return
            self.transport.write(answer)
            self._first = self._first[size:]
            socket.upgrade = upgrade
            self._admit(socket)
        elif sockets:
            self.transport.write(answer)
            self._upgrade = upgrade, size
            self._answer_ = answer
            self._await_message(upgrade, size)
        else:
            self._answer(HTTPStatus.BAD_REQUEST)

    def _await_message(self, upgrade: Upgrade, size: int) -> None:
        frames = self._first[size:]
        opcode = first_opcode(frames)
        if opcode is None:
            if len(frames) > MAX_HEAD:
                self._refuse("unknown")
            return
        sockets = self._routes.sockets
        if opcode in self._routes.legacy:
            self._admit_legacy(self._routes.legacy[opcode], size)
            return
        if opcode == Opcode.CLOSE and sockets:  # anybody can answer that
            opcode = next(iter(sockets))
        factory = sockets.get(opcode)
        socket = None if factory is None else self._build(factory)
        if socket is None or socket.status(upgrade):
            self._refuse("unwelcome")
            return
        self._first = frames
        socket.upgrade = upgrade
        self._admit(socket)

    def _admit_legacy(self, factory: IProtocolFactory, size: int) -> None:
        frames = self._first[size:]
        self._first = self._first[:size]
        answers = _Answers(self.transport)
        self._admit(factory.buildProtocol(self.transport.getPeer()))
        said = answers.end()
        if not said.startswith(self._answer_):
            self._refuse("unwelcome")
            return
        if len(said) > len(self._answer_):
            self.transport.write(said[len(self._answer_) :])
        holder_of(self.transport).dataReceived(frames)

    def _build(self, factory: IProtocolFactory) -> Any:
        return factory.buildProtocol(self.transport.getPeer())

    def _admit(self, protocol: Any) -> None:
        """This protocol has the connection from now on, if there is one."""
        if protocol is None:
            self._refuse("unwelcome")
            return
        first, self._first = self._first, b""
        protocol.ticket = self._ticket
        hand_over(self.transport, protocol, first)

    def _answer(self, status: HTTPStatus) -> None:
        """Answer an HTTP request that nobody takes, and close."""
        body = f"{status.description or status.phrase}.\n".encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._ticket = None
        self.transport.write(head.encode() + body)
        self.transport.loseConnection()

    def _refuse(self, why: str) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._guard.cut(ticket, why)


class _Answers:
    """
    What is written to a transport from now to the L{end}, kept back.

    Whoever takes a WebSocket over answers its request as on a port of his own; the client has
    that answer already.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._said: list[bytes] = []
        transport.write = self._said.append
        transport.writeSequence = self._said.extend

    def end(self) -> bytes:
        del self._transport.write, self._transport.writeSequence
        return b"".join(self._said)
