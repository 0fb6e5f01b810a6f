"""
The front door: one port for every game, where the first bytes decide who speaks.

A connection says something, every game is asked whether that is its own
(L{gameservers.wire}), and the connection is handed over to it whole: no wrapper stays
in the path.  Two openings are the door's own:

  - a TLS ClientHello, where there is a certificate: it is answered, and what is said inside is
    listened to from the beginning;
  - an HTTP request.  One for a WebSocket is accepted, whatever its path, without extensions and
    sub-protocol, and the first message decides: text and binary are each one game's.  Any other
    request is the page's.

A game's own port is such a door, too, behind which there is one game alone.  So every
connection has a ticket of the guard, with its limits, and a time for its first byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    ISSLTransport,
)
from twisted.internet.protocol import Protocol, ServerFactory
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request
from wsproto.frame_protocol import Opcode
from wsproto.utilities import RemoteProtocolError
from zope.interface import implementer

from gameservers.net.guard import Guard, Ticket
from gameservers.net.handover import hand_over, holder_of
from gameservers.net.tls import SPOKEN
from gameservers.wire import Recogniser, Verdict, begins, decide

#: The most of an HTTP request's head, or of what a WebSocket says before its first message, in
#: bytes.
MAX_HEAD = 16 * 1024

#: What a connection may say before it is clear what it speaks, in bytes: no game needs more than
#: eight, and what is no game's is known as such even sooner.
MAX_FIRST_BYTES = 64

HTTP = begins(b"GET ", b"HEAD ", b"POST ", b"OPTIONS ")

#: A TLS record that belongs to a handshake: its type, and a version from TLS 1.0 on, which all of
#: them claim to be.
TLS = begins(b"\x16\x03\x01", b"\x16\x03\x02", b"\x16\x03\x03")

#: The kinds of message that a WebSocket begins with.
KINDS: dict[int, str] = {Opcode.TEXT: "text", Opcode.BINARY: "binary"}

#: The opcodes of frames that are no message: they may come before the first.
CONTROL = range(Opcode.PING, Opcode.PONG + 1)


@dataclass(frozen=True, slots=True)
class Behind:
    """
    What is behind a door.

    @ivar games: how each game recognises its own, and its factory.
    @ivar http: who takes HTTP requests (C{"page"}), and WebSockets whose first message is
        C{"text"} or C{"binary"}.
    @ivar tls: makes the connections that answer a ClientHello.
    @ivar tls_only: whether what is said in the clear is refused.
    """

    games: Sequence[tuple[Recogniser, IProtocolFactory]] = ()
    http: Mapping[str, IProtocolFactory] = field(default_factory=dict)
    tls: Any = None
    tls_only: bool = False


@implementer(IProtocolNegotiationFactory)
class Door(ServerFactory):
    """The factory of a port."""

    noisy = False

    def __init__(self, guard: Guard, behind: Behind) -> None:
        self.guard = guard
        self.behind = behind
        factories = [factory for _, factory in behind.games]
        self._factories = tuple(dict.fromkeys([*factories, *behind.http.values()]))
        #: Who can be recognised; HTTP is the door's own.
        self.claims: list[tuple[Recogniser, IProtocolFactory | None]] = [*behind.games]
        if behind.http:
            self.claims.append((HTTP, None))

    def acceptableProtocols(self) -> list[bytes]:
        """What a port that is Twisted's own TLS tells browsers it speaks."""
        return [SPOKEN]

    def startFactory(self) -> None:
        for factory in self._factories:
            factory.doStart()

    def stopFactory(self) -> None:
        for factory in self._factories:
            factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Visitor:
        return Visitor(self)


class Visitor(Protocol):
    """A connection of which it is not known yet what it speaks."""

    transport: Any  # a stream transport

    def __init__(self, door: Door) -> None:
        self._door = door
        self._guard = door.guard
        self._behind = door.behind
        self._first = b""
        self._encrypted = False
        self._ticket: Ticket | None = None
        self._upgrade: _Upgrade | None = None

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
            self._await_message(self._upgrade)

    def _look(self) -> None:
        if not self._encrypted and self._behind.tls is not None:
            match TLS(self._first):
                case Verdict.YES:
                    self._start_tls()
                    return
                case Verdict.MORE:
                    return
                case Verdict.NO if self._behind.tls_only:
                    self._refuse("plain")
                    return
        verdict, factory = decide(self._first, self._door.claims)
        if verdict is Verdict.YES:
            self._admit(factory) if factory else self._read_head()
        elif verdict is Verdict.NO or len(self._first) >= MAX_FIRST_BYTES:
            self._refuse("unknown")

    def _start_tls(self) -> None:
        first, self._first = self._first, b""
        self._encrypted = True
        self.transport.startTLS(self._behind.tls)
        self.transport.protocol.dataReceived(first)

    def _read_head(self) -> None:
        """An HTTP request: once its head is here it is known whether it is for a WebSocket."""
        head, end, _ = self._first.partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD:
            self._refuse("unknown")
        elif not end:
            pass
        elif (answer := acceptance(head + end)) is None:
            self._admit(self._behind.http.get("page"))
        else:
            self.transport.write(answer)
            self._upgrade = _Upgrade(head + end, answer)
            self._await_message(self._upgrade)

    def _await_message(self, upgrade: _Upgrade) -> None:
        frames = self._first[len(upgrade.head) :]
        opcode = first_message(frames)
        if opcode is None:
            if len(frames) > MAX_HEAD:
                self._refuse("unknown")
            return
        answers = _Answers(self.transport)
        self._first = upgrade.head
        self._admit(self._behind.http.get(KINDS.get(opcode, "")))
        said = answers.end()
        if not said.startswith(upgrade.answer):
            self._refuse("unwelcome")
            return
        if len(said) > len(upgrade.answer):
            self.transport.write(said[len(upgrade.answer) :])
        # Not together with the request, which has made the connection another protocol's.
        holder_of(self.transport).dataReceived(frames)

    def _admit(self, factory: IProtocolFactory | None) -> None:
        """Somebody is to have the connection, if there is anybody and he takes it."""
        protocol = None if factory is None else factory.buildProtocol(self.transport.getPeer())
        if protocol is None:
            self._refuse("unwelcome")
        else:
            first, self._first = self._first, b""
            hand_over(self.transport, protocol, first)

    def _refuse(self, why: str) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._guard.cut(ticket, why)


@dataclass(frozen=True, slots=True)
class _Upgrade:
    """A WebSocket that was asked for and accepted: the request's head, and the answer to it."""

    head: bytes
    answer: bytes


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


def acceptance(head: bytes) -> bytes | None:
    """The answer to a request for a WebSocket; L{None} if it is another request."""
    connection = WSConnection(ConnectionType.SERVER)
    try:
        connection.receive_data(head)
        if not any(isinstance(event, Request) for event in connection.events()):
            return None
        return connection.send(AcceptConnection())
    except RemoteProtocolError:
        return None


def first_message(frames: bytes) -> int | None:
    """The opcode with which a WebSocket's first message begins; L{None} until it is here."""
    while frames:
        opcode = frames[0] & 0x0F
        if opcode not in CONTROL:
            return opcode
        if len(frames) < 2:
            return None
        # A client's control frame: two bytes, a mask of four, at most 125 of payload.
        frames = frames[6 + (frames[1] & 0x7F) :]
    return None
