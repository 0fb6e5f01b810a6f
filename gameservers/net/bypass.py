"""
Every place where the server bypasses Twisted: mostly a transport, to use its socket directly.

Most are justified by a measurement (Linux 6, one core of a shared machine, so only the ratios are
meaningful; the command is beside each).  All of them need a kernel socket; any other transport,
such as TLS, uses Twisted's own methods.

================================  =================================================================
L{send_some}, L{write_at_once}    an outbox sends at once instead of in the reactor's next turn:
                                  1.3 times the chat lines per CPU-second
                                  (C{python -m benchmarks.vcmi_chat}), twice the payloads in a
                                  room of 50 (C{python -m benchmarks.velnet --form=text})
L{send_apart}                     C{MSG_EOR} keeps blocks of 32 bytes whole in segments that had to
                                  wait: without it the original Tile-Game client hung in 11 of 12
                                  joins at 800 kbit/s, with it in none
L{datagram_sender}                C{sendto} without three checks of the address: 1.5 times the
                                  datagrams relayed per CPU-second
                                  (C{python -m benchmarks.velnet --form=datagrams})
L{DatagramReader}                 Twisted bounds what a port reads in a turn by bytes, and empty
                                  datagrams have none: a flood of them is read for ever
L{Entrance}                       Twisted makes all connections that have arrived in one go: while
                                  one client came and went as fast as it could, everybody waited
                                  for 100 ms at a time, and others could not connect for a second
                                  (C{python -m benchmarks.fairness --attack connections})
L{KernelPipe}                     C{splice} moves bytes between two sockets inside the kernel: 3
                                  times the bytes per CPU-second of a proxy that reads them
                                  (C{python -m benchmarks.net_pipe})
L{unsent}, L{has_ended},          Twisted offers no way to ask
L{segment_size}
L{follow_monotonic_clock}         Twisted's timers follow the wall clock, without an option
L{keep_alive}                     Twisted turns keep-alive on, but not after what time: Linux
                                  asks after two hours
L{bound_buffers}                  Twisted offers no way to set: an HTTP client that does not read
                                  makes the server hold at most 32 KiB besides one answer
================================  =================================================================
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Self, TypeGuard

from twisted.internet import udp
from twisted.internet.interfaces import ITCPTransport, ITransport
from twisted.internet.tcp import Connection

from gameservers.net.address import Address

#: Bytes that fit into one TCP segment on any usual path.
SAFE_SEGMENT = 1400

#: Upper bound for the segment size, in bytes, where segments are huge (loopback).
LARGEST_SEGMENT = 16 * 1024

#: Maximum size of the TCP options in a segment (timestamps, selective acknowledgement), in bytes.
TCP_OPTIONS = 40

#: Linux's numbers for the TCP states in which both sides can still send, and none can.
ESTABLISHED, CLOSED = 1, 7

#: With this flag Linux does not append later writes to a segment that is waiting to be sent or
#: resent. Other systems have no such flag for TCP.
APART = socket.MSG_EOR if sys.platform == "linux" else 0

#: Maximum number of bytes that a kernel pipe moves in one call, and so holds.
CHUNK = 1024 * 1024

#: A kernel pipe that moves this many bytes in one call is enlarged to L{CHUNK} bytes.  The kernel
#: limits the total per user, and most games never need it.
BUSY = 16 * 1024

#: Bytes of datagrams that the kernel keeps until they are read, or fewer if it allows fewer: small
#: ones take about 800 each, so this is enough for 100,000 a second and turns of 50 ms.
RECEIVE_BUFFER = 4 * 1024 * 1024

#: How often a silent peer is asked whether it still exists, before it is lost.
PROBES = 3

_SPLICE = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


def follow_monotonic_clock(reactor: Any) -> None:
    """
    Let all timers of a reactor follow the monotonic clock, also those that are set already.

    Twisted's reactors ask C{time.time}, so that when the wall clock is stepped forward every time
    limit ends at once, and when it is stepped back no timer fires until it has caught up.  This is
    the one place where a method of somebody else's object is replaced: each reactor reads the
    time through this attribute alone, and there is no option for it.
    """
    shift = time.monotonic() - reactor.seconds()
    for call in reactor.getDelayedCalls():
        call.time += shift
        call.seconds = time.monotonic
    reactor.seconds = time.monotonic


def is_plain(transport: ITransport) -> TypeGuard[Connection]:
    """Whether a transport is a bare socket, without TLS, so that it can be half-closed."""
    return isinstance(transport, Connection) and not transport.TLS


def is_idle(transport: ITransport) -> TypeGuard[Connection]:
    """Whether a transport is a bare socket with nothing left to send."""
    return is_plain(transport) and not transport.dataBuffer and not transport._tempDataBuffer


def unsent(transport: Connection) -> int:
    """The number of bytes that a plain transport has been given and has not sent yet."""
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen


def state_of(connection: socket.socket) -> int:
    """
    The kernel's state of a TCP connection; L{ESTABLISHED} where it does not tell.

    This is how to ask about one that is not read, since the reactor does not watch it then.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # not TCP
            return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return ESTABLISHED


def has_ended(transport: ITransport) -> bool:
    """Whether the peer has closed the connection or it is lost, though it is not read."""
    return isinstance(transport, Connection) and state_of(transport.socket) != ESTABLISHED


def segment_size(transport: ITransport) -> int:
    """The number of bytes that are certain to fit into one segment of this connection."""
    if is_plain(transport):
        with contextlib.suppress(OSError):  # not TCP
            size = transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
            return min(max(size - TCP_OPTIONS, 1), LARGEST_SEGMENT)
    return SAFE_SEGMENT


def make_prompt(transport: ITransport) -> None:
    """Turn on TCP_NODELAY, for small messages."""
    if ITCPTransport.providedBy(transport):
        transport.setTcpNoDelay(True)


def keep_alive(transport: Any, seconds: int) -> None:
    """
    Let the kernel find out whether a peer still exists, also one that is asked for nothing.

    After so many seconds of silence the kernel asks, and again L{PROBES} times in all, a sixth of
    that time apart.  A peer that answers none of them is lost, 1.5 times these seconds after the
    last sign of it; and so is, on Linux, one that for as long acknowledges nothing of what it was
    sent, or takes nothing of what waits for it.

    @param seconds: 0 leaves a connection as it is.
    """
    kernel: Any = getattr(transport, "socket", None)  # of any wrapped transport, too
    if not seconds or kernel is None or not ITCPTransport.providedBy(transport):
        return
    transport.setTcpKeepAlive(True)
    interval = max(1, seconds // 6)
    for name, value in (
        ("TCP_KEEPIDLE", seconds),
        ("TCP_KEEPALIVE", seconds),  # what macOS calls it
        ("TCP_KEEPINTVL", interval),
        ("TCP_KEEPCNT", PROBES),
        ("TCP_USER_TIMEOUT", 1000 * (seconds + PROBES * interval)),
    ):
        number = getattr(socket, name, None)
        if number is not None:
            with contextlib.suppress(OSError):
                kernel.setsockopt(socket.IPPROTO_TCP, number, value)


def bound_buffers(transport: Any, size: int) -> None:
    """
    Let a socket be read in pieces of at most this size, and its producer pause beyond it.

    Twisted has one constant for both, 64 KiB.
    """
    if isinstance(transport, Connection):
        transport.bufferSize = size


def send_some(transport: Connection, data: bytes | memoryview) -> int:
    """
    Send what the network takes now, through a plain transport whose own buffer is empty.

    @return: the number of bytes sent.  0 also if the connection is lost, which the transport
        notices when it writes the rest.
    """
    sent = transport.writeSomeData(data)  # type: ignore[arg-type]  # any buffer will do
    return sent if isinstance(sent, int) else 0


def write_at_once(transport: Any, data: bytes) -> None:
    """
    Send the first bytes on this transport, so that no outbox overtakes them.

    Twisted's C{write} sends in the next reactor turn, an outbox in this one.
    """
    sent = send_some(transport, data) if is_idle(transport) else 0
    if sent < len(data):
        transport.write(data[sent:])


def send_apart(transport: Connection, data: bytes | memoryview) -> int:
    """
    Like L{send_some}, but the kernel does not append later data to the same segment.

    @return: the number of bytes sent; 0 also if the connection is lost.
    """
    try:
        return transport.socket.send(data, APART)
    except OSError:
        return 0


def datagram_sender(transport: Any) -> Callable[[bytes, Address], object]:
    """The function that sends a datagram through this port; it raises L{OSError} on failure."""
    if isinstance(transport, udp.Port):
        send: Callable[[bytes, Address], object] = transport.socket.sendto
        return send
    write: Callable[[bytes, Address], object] = transport.write
    return write


class DatagramReader(udp.Port):
    """
    A UDP port whose protocol, a L{gameservers.net.datagrams.DatagramPort}, reads the socket.
    """

    protocol: Any

    def createInternetSocket(self) -> socket.socket:
        created: socket.socket = super().createInternetSocket()
        created.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        return created

    def doRead(self) -> None:
        self.protocol.arrived(self.socket.recvfrom)


class Entrance:
    """
    A listening TCP port that leaves open when what it accepts becomes a connection.

    @ivar factory: makes the protocols.
    """

    def __init__(self, port: Any, ready: Callable[[Self], None]) -> None:
        """
        Take over a port that listens.

        @param ready: is called with this object when there is something to accept.
        """
        self._port = port
        self.factory = port.factory
        self._accept_all = port.doRead
        self._port.doRead = partial(ready, self)

    def accept(self) -> tuple[socket.socket, Any] | None:
        """A connection that has arrived, and its peer's address; L{None} if there is none now."""
        try:
            accepted: tuple[socket.socket, Any] = self._port.socket.accept()
        except BlockingIOError:
            return None
        except OSError:  # there are no file descriptors left, for example; Twisted sees to it
            self._port.numberAccepts = 1
            self._accept_all()
            return None
        connection, address = accepted
        if len(address) == 4 and address[3]:  # the interface of a link-local address, by number
            host, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
            address = (host, *address[1:])
        return connection, address

    def admit(self, accepted: socket.socket, address: Any) -> None:
        """Make a connection of what was accepted, as Twisted does, unless the port is closed."""
        port = self._port
        protocol = port.factory.buildProtocol(port._buildAddr(address)) if port.connected else None
        if protocol is None:
            accepted.close()
            return
        number = port.sessionno
        port.sessionno = number + 1
        transport = port.transport(accepted, protocol, address, port, number, port.reactor)
        protocol.makeConnection(transport)


def has_left(accepted: socket.socket) -> bool:
    """Whether a new connection was reset, or closed before its client said anything."""
    state = state_of(accepted)
    if state in (ESTABLISHED, CLOSED):
        return state == CLOSED
    try:
        return not accepted.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return True


class KernelPipe:
    """
    A kernel pipe between two sockets, filled only when it is empty.

    @ivar inside: bytes in the pipe.
    """

    def __init__(self, first: bytes) -> None:
        """
        Open the pipe.

        @param first: bytes that the sink is sent before all others.
        @raise OSError: there are no file descriptors left.
        """
        self.first = memoryview(first)
        self.inside = 0
        self._out, self._in = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._is_wide = False

    def close(self) -> None:
        """Close the file descriptors; what is inside is lost."""
        os.close(self._out)
        os.close(self._in)

    def fill(self, source: socket.socket) -> int:
        """
        Read what the source has.

        @return: the number of bytes; 0 at the end of the stream.
        @raise BlockingIOError: there is nothing now.
        @raise OSError: the source is lost.
        """
        size = os.splice(source.fileno(), self._in, CHUNK, flags=_SPLICE)
        self.inside = size
        if size >= BUSY and not self._is_wide:
            self._widen()
        return size

    def drain(self, sink: socket.socket) -> None:
        """
        Write everything to the sink.

        @raise BlockingIOError: it takes no more now.
        @raise OSError: it is lost.
        """
        while self.first:
            self.first = self.first[sink.send(self.first) :]
        while self.inside:
            self.inside -= os.splice(self._out, sink.fileno(), self.inside, flags=_SPLICE)

    def _widen(self) -> None:
        """Enlarge the pipe to L{CHUNK} bytes, if the kernel allows this user that much."""
        import fcntl  # a system without splice may have no fcntl

        self._is_wide = True
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, CHUNK)


def throw_away(source: socket.socket) -> int:
    """
    Read what a source has and discard it.

    @return: the number of bytes; 0 at the end of the stream.
    @raise OSError: as L{KernelPipe.fill}.
    """
    return len(source.recv(BUSY))


def half_close(sink: socket.socket) -> None:
    """Tell the peer that nothing more comes; ignored if the connection is lost already."""
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
