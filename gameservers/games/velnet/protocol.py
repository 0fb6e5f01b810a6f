"""
VelNet on a stream: one connection, in either form, and the door that finds out in which.

The two forms share everything but how they cut the stream, so a connection's life is in
L{Connection}: it begins with silence, which has its limit; a log-in, which may have to wait for
a checker of credentials; then wishes, which are the session's business; and it ends in one of
several ways, each counted as C{velnet.cut.<why>} unless the peer chose it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from gameservers.games.velnet import text
from gameservers.games.velnet.access import Access
from gameservers.games.velnet.binary import Decoder
from gameservers.games.velnet.generation import Generation
from gameservers.games.velnet.messages import LogIn, Message, ToRoom, ToSelf, WireError
from gameservers.games.velnet.relay import Relay
from gameservers.games.velnet.session import BinarySession, Session, TextSession
from gameservers.games.velnet.sniff import Form, form_of_stream
from gameservers.games.velnet.websocket import WebSocketCarriage
from gameservers.lobby import Refused
from gameservers.net.address import host_of
from gameservers.net.bypass import make_prompt
from gameservers.net.handover import hand_over
from gameservers.net.outbox import Outbox

#: Bytes in a WebSocket message beyond the longest payload: room for a message's other fields.
MARGIN = 1024

#: Wishes of one connection that are done before the others' turn comes.  A payload for the room
#: is cheap, however many there are; a list, a change of rooms or a group is some work for a few
#: bytes.
MAX_WISHES = 16

#: Bytes that L{LineReceiver} is given at once: for each line it copies all that follows it.
BLOCK = 4096


class Connection(TimeoutMixin, Protocol):
    """What a connection is in both forms."""

    _log = Logger()

    transport: Any  # a stream transport
    paused = False

    def __init__(
        self, relay: Relay, access: Access, make_session: Callable[[Outbox, str], Session]
    ) -> None:
        self.relay = relay
        self._access = access
        self._make_session = make_session
        self._asking = False  # whether a checker is deciding about a log-in
        self._over = False
        self._wishes = 0

    def connectionMade(self) -> None:
        make_prompt(self.transport)
        self.outbox = Outbox(
            self.transport,
            self.relay.turn,
            limit=self.relay.settings.max_unread,
            overflowed=self._overflowed,
        )
        self.session = self._make_session(self.outbox, host_of(self.transport))
        self.watch()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._leave()
        self.outbox.lost()

    def callLater(self, period: float, call: Callable[[], None]) -> IDelayedCall:
        return self.relay.clock.callLater(period, call)

    def pauseProducing(self) -> None:
        self.paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        self.transport.resumeProducing()
        self.dataReceived(b"")

    def watch(self) -> None:
        """Close him who says nothing for too long from now on."""
        self.setTimeout(self.session.silence or None)

    def timeoutConnection(self) -> None:
        self._count_cut("silent")
        self._leave()
        self.outbox.abort()

    def obey(self, message: Message) -> None:
        session = self.session
        if self._over:
            return
        if isinstance(message, LogIn):
            if session.may_log_in():
                self._log_in(message)
        elif session.player:
            session.obey(message)
            if not isinstance(message, (ToRoom, ToSelf)):
                self._give_way()
        else:
            session.overhear(message)

    def _give_way(self) -> None:
        """Let the others have their turn, if it is time."""
        self._wishes += 1
        if self._wishes == MAX_WISHES:
            self._wishes = 0
            self.pauseProducing()
            self.relay.clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        if not self._over:
            self.resumeProducing()

    def end(self, why: str) -> None:
        """Close the connection, for a reason that is counted, after what was said to him."""
        if not self._over:
            self._count_cut(why)
            self._leave()
            self.outbox.close()

    def _log_in(self, wish: LogIn) -> None:
        if not self.relay.fit(wish.name, wish.secret.decode("utf-8", "surrogateescape")):
            return
        self._asking = True
        answer = Deferred.fromCoroutine(self._access.admits(wish.name, wish.secret))
        answer.addCallback(self._answered, wish)
        answer.addErrback(self._failed)
        if self._asking:
            self.pauseProducing()

    def _answered(self, admitted: bool, wish: LogIn) -> None:
        self._asking = False
        if self._over:
            return
        if admitted:
            try:
                self.session.log_in(wish)
                self.relay.logged_in(self.transport)
                self.watch()
            except Refused:
                self.end("full")
        else:
            self.end("password")
        if self.paused:
            self.resumeProducing()

    def _failed(self, failure: Failure) -> None:
        self._log.failure("A VelNet log-in failed", failure)
        self.outbox.abort()

    def _overflowed(self) -> None:
        self._count_cut("slow")
        self.transport.abortConnection()

    def _leave(self) -> None:
        if not self._over:
            self._over = True
            self.setTimeout(None)
            self.session.forget()
            if self.session.player:
                self.relay.exit(self.session)

    def _count_cut(self, why: str) -> None:
        self.relay.count_cut(why)
        self._log.info(
            "VelNet player {player} at {address} is cut off: {why}",
            player=self.session.player,
            address=self.session.address,
            why=why,
        )


class VelNetTextProtocol(Connection, LineReceiver):
    """One text client on TCP."""

    delimiter = b"\n"

    def __init__(self, relay: Relay, access: Access) -> None:
        super().__init__(relay, access, partial(TextSession, relay))
        self.MAX_LENGTH = relay.settings.max_line
        self._run: ToRoom | None = None  # lines for the room that stand in a row

    def dataReceived(self, data: bytes) -> None:
        if not self._over:
            self.resetTimeout()
            for start in range(0, len(data) or 1, BLOCK):
                super().dataReceived(data[start : start + BLOCK])
            self._end_run()

    def lineReceived(self, line: bytes) -> None:
        message = text.parse(line)
        run = self._run
        if isinstance(message, ToRoom):
            if run is not None and run.echo is message.echo:
                run.frames.extend(message.frames)
                return
            self._end_run()
            self._run = message
        elif message is not None:
            self._end_run()
            self.obey(message)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._end_run()
        self.end("long")

    def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            self.obey(run)


class VelNetBinaryProtocol(Connection):
    """One binary client on TCP, or on a WebSocket."""

    def __init__(self, relay: Relay, access: Access, generation: Generation) -> None:
        make_session = partial(BinarySession, relay, generation=generation, settled=self.watch)
        super().__init__(relay, access, make_session)
        self._decoder = Decoder(relay.settings.max_message)

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self.resetTimeout()
        decoder = self._decoder
        decoder.receive_data(data)
        if self.paused:
            return
        try:
            for message in decoder.messages():
                self.obey(message)
                if self.paused or self._over:
                    return
        except WireError as fault:
            self._log.debug("Broken stream: {fault}", fault=str(fault))
            self.end("malformed")


#: The generation that clients are taken to be of, by the option that says so.
GENERATIONS = {
    "auto": Generation.OPEN,
    "1": Generation.FIRST,
    "2": Generation.SECOND,
}


class Door(TimeoutMixin, Protocol):
    """A connection that has not yet said enough to know its form."""

    transport: Any

    def __init__(self, factory: VelNetFactory) -> None:
        self._factory = factory
        self._first = b""

    def callLater(self, period: float, call: Callable[[], None]) -> IDelayedCall:
        return self._factory.relay.clock.callLater(period, call)

    def connectionMade(self) -> None:
        self.setTimeout(self._factory.relay.settings.login_timeout)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)

    def timeoutConnection(self) -> None:
        self._factory.relay.count_cut("silent")
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        self._first += data
        form = form_of_stream(self._first)
        if form is None:
            return
        self.setTimeout(None)
        if form is Form.UNKNOWN:
            self._factory.relay.count_cut("unknown")
            self.transport.abortConnection()
        else:
            hand_over(self.transport, self._factory.build(form), self._first)


class VelNetFactory(ServerFactory):
    """Everybody who connects to VelNet's port."""

    noisy = False

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self._access = Access(relay.settings.auth)
        self._generation = GENERATIONS[relay.settings.generation]

    def buildProtocol(self, addr: IAddress | None) -> Door:
        return Door(self)

    def build(self, form: Form) -> Protocol:
        """Make the protocol that speaks this form."""
        settings = self.relay.settings
        if form is Form.TEXT:
            return VelNetTextProtocol(self.relay, self._access)
        if form is Form.BINARY:
            return VelNetBinaryProtocol(self.relay, self._access, self._generation)
        return WebSocketCarriage(
            VelNetBinaryProtocol(self.relay, self._access, Generation.SECOND),
            self.relay.clock,
            max_message=settings.max_message + MARGIN,
            patience=settings.login_timeout,
        )
