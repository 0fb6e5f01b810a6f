"""
A server's connections in memory, on Twisted's real TCP transport.

What ships is what is tested: the transport is L{twisted.internet.tcp.Server}, so a protocol takes
the same paths as on a network, with a socket that is a pair of buffers and a reactor that is a
clock.  A L{Peer} is the client's end; L{Network.turn} lets a reactor turn go by.
"""

from __future__ import annotations

import errno
import socket
from datetime import UTC, datetime
from functools import partial
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorFDSet
from twisted.internet.task import Clock
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from zope.interface import implementer

from gameservers.net.bypass import CHUNK, DatagramReader

#: Bytes of a socket's send buffer.
ROOM = 1 << 20


@implementer(IReactorFDSet)
class Network(Clock):
    """
    A reactor without a network: a clock, and those who wait to read and to write.

    @ivar peers: the clients' ends, in order of connecting.
    @ivar price: seconds that go by whenever somebody asks for the time: so work takes time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.price = 0.0
        self.readers: dict[Any, None] = {}
        self.writers: dict[Any, None] = {}
        self.peers: list[Peer] = []
        self._sockets: dict[int, Any] = {}

    def now(self) -> datetime:
        """The date and time, if the clock's seconds count from 1970."""
        return datetime.fromtimestamp(self.seconds(), UTC)

    def seconds(self) -> float:
        self.rightNow += self.price
        return float(self.rightNow)

    def addReader(self, reader: Any) -> None:
        self.readers[reader] = None

    def addWriter(self, writer: Any) -> None:
        self.writers[writer] = None

    def removeReader(self, reader: Any) -> None:
        self.readers.pop(reader, None)

    def removeWriter(self, writer: Any) -> None:
        self.writers.pop(writer, None)

    def removeAll(self) -> list[Any]:
        return []

    def getReaders(self) -> list[Any]:
        return list(self.readers)

    def getWriters(self) -> list[Any]:
        return list(self.writers)

    def connect(self, factory: IProtocolFactory, host: str = "192.0.2.1") -> Peer:
        """A client connects."""
        peer = Peer(self, host, 40_000 + len(self.peers))
        self.peers.append(peer)
        self._sockets[peer.socket.fileno()] = peer.socket
        protocol = factory.buildProtocol(peer.address)
        assert protocol is not None
        transport: Any = MemoryServer(peer.socket, protocol, (host, peer.port), None, 0, self)
        peer.transport = transport
        protocol.makeConnection(transport)
        return peer

    def turn(self, seconds: float = 0) -> None:
        """Let time go by, and do what a reactor does until there is nothing left to do now."""
        self.advance(seconds)
        for _ in range(1_000):
            if not self._serve():
                return
            self.advance(0)
        raise AssertionError("the reactor never rests")

    def once(self) -> None:
        """One turn of a reactor: what is due is called, then those that are ready have theirs."""
        for call in [each for each in self.getDelayedCalls() if each.getTime() <= self.rightNow]:
            if call.active():
                run = partial(call.func, *call.args, **call.kw)
                call.cancel()
                run()
        self._serve()

    def _serve(self) -> bool:
        """Whether there was anything to read or to write, or is anything to do at once."""
        busy = False
        for ready, method in ((self.readers, "doRead"), (self.writers, "doWrite")):
            for each in tuple(ready):
                if each in ready and self._socket_of(each).is_ready(method):
                    busy = True
                    why = getattr(each, method)()
                    if why is not None:
                        self._lose(each, why, method)
        return busy or any(call.getTime() <= self.seconds() for call in self.getDelayedCalls())

    def _socket_of(self, each: Any) -> Any:
        """What of a byte pipe waits in a transport's place has no socket but its number."""
        return each.socket if hasattr(each, "socket") else self._sockets[each.fileno()]

    def _lose(self, transport: Any, why: Exception, method: str) -> None:
        self.removeReader(transport)
        if isinstance(why, ConnectionDone) and method == "doRead":
            transport.readConnectionLost(Failure(why))
        else:
            self.removeWriter(transport)
            transport.connectionLost(Failure(why))


class MemoryServer(Server):
    """The server's end; nothing of it is replaced but where it is."""

    def getHost(self) -> IAddress:
        return IPv4Address("TCP", "192.0.2.254", 5002)


class MemorySocket:
    """
    A non-blocking socket whose network is a L{Peer}.

    @ivar incoming: what the peer has sent and the server has not read.
    @ivar outgoing: what the server has sent and the peer has not read.
    @ivar room: bytes that C{outgoing} may still take.
    @ivar sends: what each system call has sent.
    @ivar flags: the flags of each of these.
    @ivar options: what was set, by level and option.
    """

    def __init__(self) -> None:
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.room = ROOM
        self.sends: list[bytes] = []
        self.flags: list[int] = []
        self.options: dict[tuple[int, int], Any] = {}
        self.peer_ended = False
        self.half_closed = False
        self.closed = False
        self.reset = False

    def is_ready(self, method: str) -> bool:
        if method == "doRead":
            return bool(self.incoming) or self.peer_ended or self.reset
        return self.room > 0 or self.reset

    def recv(self, size: int) -> bytes:
        if self.reset:
            raise OSError(errno.ECONNRESET, "reset")
        data = bytes(self.incoming[:size])
        if not data and not self.peer_ended:
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing to read")
        del self.incoming[: len(data)]
        return data

    def send(self, data: Any, flags: int = 0) -> int:
        if self.reset or self.half_closed:
            raise OSError(errno.EPIPE, "gone")
        taken = bytes(data[: self.room])
        if not taken:
            raise BlockingIOError(errno.EWOULDBLOCK, "full")
        self.room -= len(taken)
        self.outgoing += taken
        self.sends.append(taken)
        self.flags.append(flags)
        return len(taken)

    def shutdown(self, how: int) -> None:
        self.half_closed = True

    def close(self) -> None:
        self.closed = True

    def setblocking(self, blocking: bool) -> None:
        assert not blocking

    def fileno(self) -> int:
        return -1 if self.closed else id(self)

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self.options[level, option] = value

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        if option == getattr(socket, "TCP_INFO", None):
            return bytes([8 if self.peer_ended or self.reset else 1])
        if option == socket.TCP_MAXSEG:
            return 1448
        return 0


class MemoryKernelPipe:
    """
    What L{gameservers.net.bypass.KernelPipe} is, between sockets in memory: to be put in its
    place where a test couples connections.
    """

    def __init__(self, first: bytes) -> None:
        self.first = memoryview(first)
        self._inside = memoryview(b"")

    @property
    def inside(self) -> int:
        return len(self._inside)

    def close(self) -> None:
        """There is nothing to give back."""

    def fill(self, source: MemorySocket) -> int:
        self._inside = memoryview(source.recv(CHUNK))
        return self.inside

    def drain(self, sink: MemorySocket) -> None:
        while self.first:
            self.first = self.first[sink.send(self.first) :]
        while self._inside:
            self._inside = self._inside[sink.send(self._inside) :]


class Peer:
    """
    The client's end.

    @ivar transport: the server's.
    """

    transport: Any

    def __init__(self, network: Network, host: str, port: int) -> None:
        self.network = network
        self.host = host
        self.port = port
        self.socket: Any = MemorySocket()

    @property
    def address(self) -> IAddress:
        return (IPv6Address if ":" in self.host else IPv4Address)("TCP", self.host, self.port)

    @property
    def protocol(self) -> Any:
        """The server's protocol that has the connection now."""
        return self.transport.protocol

    def send(self, data: bytes, size: int = 1 << 30) -> None:
        """Say something, in pieces of this size, a turn for each."""
        for start in range(0, len(data), size):
            self.socket.incoming += data[start : start + size]
            self.network.turn()

    def received(self) -> bytes:
        """What has come since the last time, with which the server may send as much again."""
        self.network.turn()
        data = bytes(self.socket.outgoing)
        self.socket.outgoing.clear()
        self.socket.room += len(data)
        return data

    def stall(self, room: int = 0) -> None:
        """Read nothing more; the network takes so many bytes until it is full."""
        self.socket.room = room

    def read_on(self) -> None:
        """Read again, whatever comes."""
        self.socket.room = ROOM
        self.network.turn()

    def end(self) -> None:
        """Send no more, as a client does that closes."""
        self.socket.peer_ended = True
        self.network.turn()

    def break_off(self) -> None:
        """Be gone, without an end."""
        self.socket.reset = True
        self.network.turn()

    @property
    def ended(self) -> bool:
        """Whether the server has ended the connection or its side of it."""
        return self.socket.closed or self.socket.half_closed

    @property
    def closed(self) -> bool:
        """Whether the server has nothing to do with the connection any more."""
        closed: bool = self.socket.closed
        return closed

    @property
    def aborted(self) -> bool:
        """Whether the server has reset the connection."""
        return self.closed and (socket.SOL_SOCKET, socket.SO_LINGER) in self.socket.options

    @property
    def reading(self) -> bool:
        """Whether the server reads what comes."""
        return self.transport in self.network.readers


class DatagramSocket:
    """
    A UDP socket in memory.

    @ivar incoming: datagrams that wait to be read, each with the address it comes from.
    @ivar sent: datagrams that were sent, each with the address it went to.
    @ivar full: whether the network takes none now.
    @ivar error: why none can be sent, if that is so.
    """

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.incoming: list[tuple[bytes, tuple[str, int]]] = []
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.full = False
        self.closed = False
        self._name = ("", 0)

    def is_ready(self, method: str) -> bool:
        return bool(self.incoming)

    def bind(self, name: tuple[str, int]) -> None:
        self._name = name

    def getsockname(self) -> tuple[str, int]:
        return self._name

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        if not self.incoming:
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing to read")
        datagram, address = self.incoming.pop(0)
        return datagram[:size], address

    def sendto(self, datagram: bytes, address: tuple[str, int]) -> int:
        if self.full:
            raise BlockingIOError(errno.EAGAIN, "full")
        if self.error is not None:
            raise self.error
        self.sent.append((datagram, address))
        return len(datagram)

    def close(self) -> None:
        self.closed = True

    def fileno(self) -> int:
        return -1 if self.closed else id(self)


class MemoryPort(DatagramReader):
    """A UDP port; nothing of it is replaced but its socket."""

    socket: Any

    def __init__(
        self, port: int, protocol: Any, interface: str, size: int, network: Network
    ) -> None:
        # An IPv4 address: the socket is not asked what it is.
        super().__init__(port, protocol, "", size, network)

    def createInternetSocket(self) -> Any:
        return DatagramSocket()
