"""
The byte pipe, which joins two stream connections.

What one side sends is forwarded unchanged to the other.  A slow reader slows its writer: at most 1
MiB per direction (L{gameservers.net.bypass.CHUNK}) is inside the pipe, besides what the transports
and the kernel buffer.  There is no limit on silence.

When one side closes, the other receives the rest and then the end of the stream.  It may finish
sending; if it has not closed C{linger} seconds later, both connections are closed.  A connection
that is reset ends in both directions: the other side receives what had arrived, and what it still
sends is discarded until it closes, too.  (If it were closed at once, it would be reset as well and
lose what it has not read yet.)  The end of a stream, like anything else, is noticed only when the
other side has taken what came before it.

There are two kinds.  Between plain TCP sockets on Linux the kernel moves the bytes
(L{gameservers.net.bypass.KernelPipe}) and they never come into this process.  Any other two
transports are coupled as producer and consumer.
"""

from __future__ import annotations

import enum
import os
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IDelayedCall,
    IPushProducer,
    IReactorFDSet,
    IReactorTime,
    IReadWriteDescriptor,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from gameservers.net.bypass import (
    KernelPipe,
    half_close,
    is_idle,
    is_plain,
    make_prompt,
    throw_away,
)

#: How long one side may stay open after the other has closed, in seconds.
LINGER = 5.0


class Ending(enum.Enum):
    """Why a pipe has ended."""

    ENDED = "both sides ended"
    LOST = "a connection was lost"
    LINGERED = "one side ended and the other did not follow"
    CLOSED = "closed"


@implementer(IPushProducer)
class End:
    """
    One side of a pipe.  The protocol that owns the transport reports its events here.

    @ivar carried: the number of bytes this side has sent through the pipe.
    """

    def __init__(self, pipe: Pipe, transport: ITransport) -> None:
        self._pipe = pipe
        self.transport: Any = transport
        self.carried = 0
        self.ended = False  # it sends no more
        self.is_lost = False
        self.other: End = self

    def received(self, data: bytes) -> None:
        """Forward what this side has sent."""
        self._pipe._received(self, data)

    def read_lost(self) -> None:
        """Note that this side sends no more, but may still read (IHalfCloseableProtocol)."""
        self._pipe._read_lost(self)

    def lost(self, reason: Failure) -> None:
        """Note that the connection of this side is lost."""
        self.is_lost = True
        self._pipe._lost(self, reason)

    def pauseProducing(self) -> None:
        """The other side's buffer is full."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The other side can take more."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The other side is lost, which its protocol reports next."""


def couple(
    a: ITransport,
    b: ITransport,
    *,
    clock: IReactorTime,
    done: Callable[[Ending], None],
    to_a: bytes = b"",
    to_b: bytes = b"",
    linger: float = LINGER,
) -> Pipe:
    """
    Make a pipe of two transports; nothing else may write to them from now on.

    @param done: called once, when the pipe has ended; both connections are closing then.
    @param to_a: bytes that C{a} is sent before anything from C{b}.
    @param to_b: bytes that C{b} is sent before anything from C{a}.
    @param linger: seconds; how long one side may stay open after the other has closed.
    """
    make_prompt(a)
    make_prompt(b)
    if _is_spliceable(a) and _is_spliceable(b):
        try:
            return SplicedPipe(a, b, to_a, to_b, clock=clock, done=done, linger=linger)
        except OSError:  # no file descriptors left
            pass
    return CoupledPipe(a, b, to_a, to_b, clock=clock, done=done, linger=linger)


class Pipe:
    """The base of both kinds of pipe."""

    def __init__(
        self,
        a: ITransport,
        b: ITransport,
        *,
        clock: IReactorTime,
        done: Callable[[Ending], None],
        linger: float,
    ) -> None:
        self.a = End(self, a)
        self.b = End(self, b)
        self.a.other, self.b.other = self.b, self.a
        self._clock = clock
        self._done = done
        self._linger = linger
        self._timer: IDelayedCall | None = None
        self._broken = False
        self._over = False

    def close(self) -> None:
        """Close both connections."""
        self._finish(Ending.CLOSED)

    def _finish(self, ending: Ending) -> None:
        if self._over:
            return
        self._over = True
        self._release()
        self._wait(self._abort)
        for end in (self.a, self.b):
            if not end.is_lost:
                end.transport.loseConnection()
        self._done(Ending.LOST if self._broken and ending is not Ending.CLOSED else ending)

    def _linger_now(self) -> None:
        self._wait(lambda: self._finish(Ending.LINGERED))

    def _wait(self, call: Callable[[], None] | None) -> None:
        """Schedule C{call} in C{linger} seconds, in place of the call before."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.callLater(self._linger, call) if call is not None else None

    def _abort(self) -> None:
        for end in (self.a, self.b):
            if not end.is_lost:
                end.transport.abortConnection()

    def _lost(self, end: End, reason: Failure) -> None:
        self._broken |= not isinstance(reason.value, ConnectionDone)
        self._finish(Ending.ENDED)
        if end.other.is_lost:
            self._wait(None)

    def _received(self, end: End, data: bytes) -> None:
        if not self._over and not end.other.is_lost:
            end.carried += len(data)
            self._forward(end, data)

    def _forward(self, end: End, data: bytes) -> None:
        """Pass what C{end} has sent to the other side."""

    def _read_lost(self, end: End) -> None:
        """Pass on that C{end} sends no more."""

    def _release(self) -> None:
        """Release both transports."""


class CoupledPipe(Pipe):
    """A pipe of any two transports: each is the other's producer."""

    def __init__(self, a: ITransport, b: ITransport, to_a: bytes, to_b: bytes, **how: Any) -> None:
        super().__init__(a, b, **how)
        for end, first in ((self.a, to_a), (self.b, to_b)):
            end.other.transport.resumeProducing()
            end.transport.registerProducer(end.other, True)
            if first:
                end.transport.write(first)

    def _forward(self, end: End, data: bytes) -> None:
        end.other.transport.write(data)

    def _read_lost(self, end: End) -> None:
        if self._over or end.ended:
            return
        listener = end.other.transport
        if end.other.ended or not is_plain(listener):
            self._finish(Ending.ENDED)
            return
        end.ended = True
        listener.unregisterProducer()
        listener.loseWriteConnection()
        self._linger_now()

    def _lost(self, end: End, reason: Failure) -> None:
        survivor = end.other
        if self._over or survivor.is_lost or survivor.ended or not is_plain(survivor.transport):
            super()._lost(end, reason)
        else:
            self._broken |= not isinstance(reason.value, ConnectionDone)
            survivor.transport.resumeProducing()
            self._read_lost(end)

    def _release(self) -> None:
        for end in (self.a, self.b):
            if not end.other.ended and not end.is_lost:
                end.transport.unregisterProducer()


def _is_spliceable(transport: ITransport) -> bool:
    return (
        hasattr(os, "splice")
        and is_idle(transport)  # what was written before must be sent first
        and IReactorFDSet.providedBy(transport.reactor)
    )


class _Phase(enum.Enum):
    """What one direction of a spliced pipe waits for."""

    EMPTY = "bytes of the source, or its end"
    FILLED = "room at the sink"
    VAIN = "the end of the source; the sink is lost, so bytes are discarded"
    OVER = "nothing: it has ended"


class _Watched(NamedTuple):
    """The sockets a direction waits for: the source to be readable, the sink to be writable."""

    source: bool
    sink: bool


_WATCHED = {
    _Phase.EMPTY: _Watched(source=True, sink=False),
    _Phase.FILLED: _Watched(source=False, sink=True),
    _Phase.VAIN: _Watched(source=True, sink=False),
    _Phase.OVER: _Watched(source=False, sink=False),
}


class _Flow:
    """One direction of a spliced pipe: its phase, and the kernel pipe for its bytes."""

    def __init__(self, end: End, first: bytes) -> None:
        self.end = end  # the side that is the source
        self.source: socket.socket = end.transport.socket
        self.sink: socket.socket = end.other.transport.socket
        self.pipe = KernelPipe(first)
        self.source_broken = False
        self.phase = _Phase.FILLED if first else _Phase.EMPTY

    def fill(self) -> None:
        """Read from the source, and forward as much as the sink takes."""
        wasted = self.phase is _Phase.VAIN
        try:
            size = throw_away(self.source) if wasted else self.pipe.fill(self.source)
        except BlockingIOError:
            return
        except OSError:
            self.source_broken = True
            size = 0
        if not size:
            self.phase = _Phase.OVER
            half_close(self.sink)
        elif not wasted:
            self.end.carried += size
            self.phase = _Phase.FILLED
            self.drain()

    def waste(self) -> None:
        """Note that the sink is lost."""
        if self.phase is not _Phase.OVER:
            self.phase = _Phase.VAIN

    def drain(self) -> None:
        """Write to the sink what there is."""
        try:
            self.pipe.drain(self.sink)
        except BlockingIOError:
            return
        except OSError:
            self.waste()
        else:
            self.phase = _Phase.EMPTY


@implementer(IReadWriteDescriptor)
class _Socket:
    """The socket of one side, as the reactor sees it while the pipe has it."""

    def __init__(self, pipe: SplicedPipe, outgoing: _Flow, incoming: _Flow) -> None:
        self._pipe = pipe
        self._outgoing = outgoing
        self._incoming = incoming
        self.fileno = outgoing.source.fileno

    def doRead(self) -> None:
        before = self._outgoing.phase
        if _WATCHED[before].source:
            self._outgoing.fill()
            if self._outgoing.phase is not before:
                self._pipe._turned(self._outgoing)

    def doWrite(self) -> None:
        if _WATCHED[self._incoming.phase].sink:
            self._incoming.drain()
            if self._incoming.phase is not _Phase.FILLED:
                self._pipe._turned(self._incoming)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has noticed a broken connection and stopped watching it."""
        if not isinstance(reason.value, (ConnectionDone, ConnectionLost)):
            self._pipe._finish(Ending.LOST)  # a bug, which has been logged
            return
        self._incoming.waste()
        self._pipe._turned(self._incoming)
        self._pipe._turned(self._outgoing)

    def logPrefix(self) -> str:
        return "pipe"


class SplicedPipe(Pipe):
    """A pipe of two plain TCP sockets; their transports get them back for closing."""

    def __init__(self, a: ITransport, b: ITransport, to_a: bytes, to_b: bytes, **how: Any) -> None:
        super().__init__(a, b, **how)
        from_a = _Flow(self.a, to_b)
        try:
            from_b = _Flow(self.b, to_a)
        except OSError:
            from_a.pipe.close()
            raise
        self._reactor: IReactorFDSet = self.a.transport.reactor
        socket_a, socket_b = _Socket(self, from_a, from_b), _Socket(self, from_b, from_a)
        #: Each direction, with its source and its sink.
        self._flows = {from_a: (socket_a, socket_b), from_b: (socket_b, socket_a)}
        for end in (self.a, self.b):
            end.transport.stopReading()
            end.transport.stopWriting()
        for flow in self._flows:
            self._watch(flow)

    def _forward(self, end: End, data: bytes) -> None:
        # The rest of the read during which the pipe was made, so nothing is inside.
        flow = next(flow for flow in self._flows if flow.end is end)
        flow.pipe.first = memoryview(bytes(flow.pipe.first) + data)
        flow.phase = _Phase.FILLED
        self._watch(flow)

    def _watch(self, flow: _Flow) -> None:
        source, sink = self._flows[flow]
        reads, writes = _WATCHED[flow.phase]
        (self._reactor.addReader if reads else self._reactor.removeReader)(source)
        (self._reactor.addWriter if writes else self._reactor.removeWriter)(sink)

    def _turned(self, flow: _Flow) -> None:
        """Note that a direction has entered another phase."""
        if self._over:
            return
        self._watch(flow)
        self._broken |= flow.source_broken or flow.phase is _Phase.VAIN
        if all(each.phase is _Phase.OVER for each in self._flows):
            self._finish(Ending.ENDED)
        elif flow.phase is _Phase.OVER:
            self._linger_now()

    def _release(self) -> None:
        for flow, (source, sink) in self._flows.items():
            self._reactor.removeReader(source)
            self._reactor.removeWriter(sink)
            flow.phase = _Phase.OVER
            flow.pipe.close()
