"""
Past Twisted: everything that goes round a transport to its socket stands here.

Each way round was bought with a measurement (Linux 6, one core of a shared machine, so only the
ratios mean something; the command is beside each).  All of them need a socket of the kernel's;
any other transport, such as TLS, gets what Twisted offers.

================================  =================================================================
L{send_some}                      an outbox sends at once instead of in the reactor's next turn:
                                  1.3 times the chat lines per CPU-second
                                  (C{python -m benchmarks.net_outbox})
L{send_apart}                     C{MSG_EOR} keeps blocks of 32 bytes whole in segments that had to
                                  wait: without it the original Tile-Game client hung in 11 of 12
                                  joins at 800 kbit/s, with it in none
L{datagram_sender}                C{sendto} without three checks of the address: twice the
                                  datagrams per CPU-second (C{python -m benchmarks.velnet})
L{KernelPipe}                     C{splice} moves bytes between two sockets inside the kernel: 7
                                  times the bytes per CPU-second of a proxy that reads them
                                  (C{python -m benchmarks.net_pipe})
L{has_ended}, L{segment_size}     what Twisted has no question for
================================  =================================================================
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, TypeGuard

from twisted.internet.interfaces import ITCPTransport, ITransport
from twisted.internet.tcp import Connection
from twisted.internet.udp import Port

from gameservers.net.address import Address

#: What surely fits into one TCP segment of a usual path, in bytes.
SAFE_SEGMENT = 1400

#: The most that is taken for one segment, in bytes, where segments are huge (loopback).
LARGEST_SEGMENT = 16 * 1024

#: The most that TCP options (timestamps, selective acknowledgement) take of a segment, in bytes.
TCP_OPTIONS = 40

#: The state of a TCP connection in which both sides may still speak, as Linux numbers them.
ESTABLISHED = 1

#: The flag with which Linux does not fill up a segment that has to wait, be it new or to be sent
#: again, with what is written later.  Other systems know none for TCP.
APART = socket.MSG_EOR if sys.platform == "linux" else 0

#: The most that a kernel pipe moves at once, and so the most inside it, in bytes.
CHUNK = 1024 * 1024

#: A kernel pipe that moves so many bytes at once deserves room for L{CHUNK} bytes.  The kernel
#: limits how much of that a user may have, and most games never need it.
BUSY = 16 * 1024

_SPLICE = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


def is_plain(transport: ITransport) -> TypeGuard[Connection]:
    """Whether a transport is a socket alone, no TLS between, so that it can be half-closed."""
    return isinstance(transport, Connection) and not transport.TLS


def is_idle(transport: ITransport) -> TypeGuard[Connection]:
    """Whether a transport is a socket alone, and all that was written to it has left."""
    return is_plain(transport) and not transport.dataBuffer and not transport._tempDataBuffer


def has_ended(transport: ITransport) -> bool:
    """
    Whether the peer has ended the connection, or it is lost, as far as the kernel tells.

    It is for connections that are not read: nobody watches their sockets.
    """
    if sys.platform != "linux" or not isinstance(transport, Connection):
        return False
    try:
        state = transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except OSError:  # not TCP
        return False
    return state[0] != ESTABLISHED


def segment_size(transport: ITransport) -> int:
    """How many bytes, sent at once, surely travel in one segment of this connection."""
    if is_plain(transport):
        with contextlib.suppress(OSError):  # not TCP
            size = transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
            return min(max(size - TCP_OPTIONS, 1), LARGEST_SEGMENT)
    return SAFE_SEGMENT


def make_prompt(transport: ITransport) -> None:
    """Let small messages leave at once, and find out when a silent peer has vanished."""
    if ITCPTransport.providedBy(transport):
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)


def send_some(transport: Connection, data: bytes | memoryview) -> int:
    """
    Send what the network takes now, to a plain transport with nothing of its own to send.

    @return: how many bytes it took.  0 also if the connection is lost, which the transport finds
        out when it writes the rest.
    """
    sent = transport.writeSomeData(data)  # type: ignore[arg-type]  # any buffer will do
    return sent if isinstance(sent, int) else 0


def send_apart(transport: Connection, data: bytes | memoryview) -> int:
    """
    Send as L{send_some} does, but so that the system joins nothing later to it.

    @return: how many bytes the network took; 0 also if the connection is lost.
    """
    try:
        return transport.socket.send(data, APART)
    except OSError:
        return 0


def datagram_sender(transport: Any) -> Callable[[bytes, Address], object]:
    """What sends datagrams through this port.  It raises L{OSError} when the network cannot."""
    if isinstance(transport, Port):
        send: Callable[[bytes, Address], object] = transport.socket.sendto
        return send
    write: Callable[[bytes, Address], object] = transport.write
    return write


class KernelPipe:
    """
    A pipe of the kernel's between two sockets, filled only when it is empty.

    @ivar inside: bytes in the pipe.
    """

    def __init__(self, first: bytes) -> None:
        """
        @param first: bytes for the sink that go before all others.
        @raise OSError: there are no file descriptors left.
        """
        self.first = memoryview(first)
        self.inside = 0
        self._out, self._in = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._is_wide = False

    def close(self) -> None:
        """Give the file descriptors back; what is inside is lost."""
        os.close(self._out)
        os.close(self._in)

    def fill(self, source: socket.socket) -> int:
        """
        Take what the source has.

        @return: how many bytes that was; 0 at its end.
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
        Give the sink all that there is.

        @raise BlockingIOError: it takes no more now.
        @raise OSError: it is lost.
        """
        while self.first:
            self.first = self.first[sink.send(self.first) :]
        while self.inside:
            self.inside -= os.splice(self._out, sink.fileno(), self.inside, flags=_SPLICE)

    def _widen(self) -> None:
        """Let the pipe hold L{CHUNK} bytes, if this user may have so much."""
        import fcntl  # where there is no splice there may be no fcntl

        self._is_wide = True
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, CHUNK)


def throw_away(source: socket.socket) -> int:
    """
    Read what a source has, for nobody.

    @return: how many bytes that was; 0 at its end.
    @raise OSError: as L{KernelPipe.fill}.
    """
    return len(source.recv(BUSY))


def half_close(sink: socket.socket) -> None:
    """Tell the peer that nothing more comes; one that is gone already needs not be told."""
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
