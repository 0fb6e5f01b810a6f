"""Transports of tests whose reader can be slow."""

from __future__ import annotations

from twisted.internet.tcp import Server
from twisted.internet.testing import StringTransport


class SlowTransport(StringTransport):
    """
    A transport that remembers each write and asks for a pause beyond C{room} bytes.

    L{drain} is the reader who catches up.
    """

    def __init__(self, room: int = 0) -> None:
        super().__init__()
        self.room = room
        self.writes: list[bytes] = []
        self.full = False

    def write(self, data: bytes) -> None:
        super().write(data)
        self.writes.append(data)
        self.room -= len(data)
        if self.room < 0 and self.producer is not None and not self.full:
            self.full = True
            self.producer.pauseProducing()

    def drain(self, room: int) -> None:
        self.room = room
        if self.full:
            self.full = False
            if self.producer is not None:
                self.producer.resumeProducing()


class SocketlessServer(Server):
    """
    A plain TCP transport with C{room} bytes of socket buffer and no socket.

    @ivar writes: what each system call sent.
    @ivar written: whether the reactor is asked to tell when there is room again.
    """

    def __init__(self, room: int) -> None:
        # Not Server.__init__, which wants a socket and a reactor.
        self.room = room
        self.writes: list[bytes] = []
        self.events: list[str] = []
        self.written = False
        self.connected = 1
        self._tempDataBuffer = []
        self._tempDataLen = 0
        self.reactor = None

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.events.append("no delay")

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.events.append("keep alive")

    def startReading(self) -> None:
        self.events.append("read")

    def writeSomeData(self, data: bytes) -> int | Exception:
        fits = bytes(data[: min(self.room, self.SEND_LIMIT)])
        self.room -= len(fits)
        if fits:
            self.writes.append(fits)
        return len(fits)

    def startWriting(self) -> None:
        self.written = True

    def stopWriting(self) -> None:
        self.written = False

    def stopReading(self) -> None:
        self.events.append("stop reading")

    def abortConnection(self) -> None:
        self.events.append("abort")

    def _closeWriteConnection(self) -> None:
        self.events.append("half-close")

    def drain(self, room: int) -> None:
        """The reader has read: do what the reactor would do until the buffer is full again."""
        self.room = room
        while self.written and self.room:
            self.doWrite()
        if self.written and not (self.dataBuffer or self._tempDataLen):
            self.doWrite()
