"""
The whole server in memory: the real games, put together by C{makeService}, on a memory reactor.

It is started with a database in memory and with all games on the front door and on the ports
that their clients know.  Time goes by in L{House.turn}.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Request, TextMessage

from gameservers import process
from gameservers.config.command_line import options_for
from gameservers.games import IGame
from gameservers.net import ports
from gameservers.tap import makeService
from tests.transports import MemoryPort, Network, Peer

FRONT_DOOR = 5002


class MemoryReactor(Network):
    """
    A memory reactor that a server can listen on.

    @ivar factories: by the number of the TCP port.
    @ivar ports: by the number of the UDP port.
    """

    def __init__(self) -> None:
        super().__init__()
        self.factories: dict[int, IProtocolFactory] = {}
        self.ports: dict[int, MemoryPort] = {}

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> ListeningPort:
        factory.doStart()
        self.factories[port] = factory
        return ListeningPort(port, factory)

    def make_port(self, port: int, *arguments: Any) -> MemoryPort:
        self.ports[port] = MemoryPort(port, *arguments)
        return self.ports[port]

    def callWhenRunning(self, call: Any, *arguments: Any) -> None:
        """It never runs, so nothing takes the process's signals."""

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        self.callLater(0, call, *arguments)


class ListeningPort:
    """A TCP port that is listened to."""

    def __init__(self, port: int, factory: Any) -> None:
        self._port = port
        self._factory = factory

    def getHost(self) -> Any:
        return Peer(Network(), "192.0.2.254", self._port).address

    def stopListening(self) -> None:
        self._factory.doStop()


class House:
    """A server that runs."""

    def __init__(self, test: SynchronousTestCase, *arguments: str) -> None:
        """Start it with these options, and a database in memory."""
        self.test = test
        self.reactor = MemoryReactor()
        options = options_for(getPlugins(IGame))
        options.parseOptions(["--database=memory", *arguments])
        test.patch(ports, "DatagramReader", self.reactor.make_port)
        test.patch(process, "set_apart", lambda: None)
        self.service: Any = makeService(options, self.reactor)
        self.service.privilegedStartService()
        self.service.startService()
        self.turn()
        test.addCleanup(self.stop)

    def turn(self, seconds: float = 0) -> None:
        """Let time go by."""
        self.reactor.turn(seconds)

    def connect(self, host: str = "192.0.2.1", port: int = FRONT_DOOR) -> Peer:
        """A client connects, to the front door or to a game's own port."""
        return self.reactor.connect(self.reactor.factories[port], host)

    def open_socket(self, host: str = "192.0.2.1", port: int = FRONT_DOOR) -> Socket:
        """A client connects and asks for a WebSocket."""
        return Socket(self.connect(host, port))

    def datagram(self, data: bytes, address: tuple[str, int], port: int = FRONT_DOOR) -> None:
        """A datagram comes from this address."""
        self.reactor.ports[port].socket.incoming.append((data, address))
        self.turn()

    def datagrams(self, address: tuple[str, int], port: int = FRONT_DOOR) -> list[bytes]:
        """What was sent to this address since the last time."""
        sent = self.reactor.ports[port].socket.sent
        found = [data for data, to in sent if to == address]
        sent[:] = [(data, to) for data, to in sent if to != address]
        return found

    def game(self, name: str) -> Any:
        """The service of a game."""
        return self.service.getServiceNamed(name)

    def begin_stop(self) -> Deferred[None]:
        """The server is told to stop."""
        service: IService = self.service
        return maybeDeferred(service.stopService)

    def stop(self) -> None:
        """The server stops, whatever its clients do."""
        if self.service.running:
            stopped = self.begin_stop()
            self.turn(60)
            self.test.assertTrue(stopped.called)


class Socket:
    """The client's end of a WebSocket."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.closed_with: int | None = None
        self._ws = WSConnection(ConnectionType.CLIENT)
        peer.send(self._ws.send(Request(host="here", target="/")))
        self.received()

    def framed(self, message: str | bytes) -> bytes:
        """A message, as this client sends it."""
        kind = TextMessage if isinstance(message, str) else BytesMessage
        return self._ws.send(kind(message))

    def received(self) -> list[str | bytes]:
        """The messages that have come; pings and the end are answered."""
        self._ws.receive_data(self.peer.received())
        messages: list[str | bytes] = []
        for event in self._ws.events():
            match event:
                case Message():
                    messages.append(event.data)
                case Ping():
                    self.peer.send(self._ws.send(event.response()))
                case CloseConnection(code=code):
                    self.closed_with = code
                    self.peer.send(self._ws.send(event.response()))
        return messages
