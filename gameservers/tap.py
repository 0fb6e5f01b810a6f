"""
What C{twistd gameserver} runs: options to configuration to the tree of services.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import IService, IServiceCollection, MultiService, Service
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import ILogObserver, Logger
from twisted.plugin import getPlugins
from twisted.python.components import Componentized
from twisted.python.usage import UsageError
from wsproto.frame_protocol import Opcode

from gameservers import __version__
from gameservers.config.command_line import GameserverOptions, options_for, refuse
from gameservers.config.vocabulary import Listening
from gameservers.games import Carriage, Dependencies, IGame, Surroundings, Wires
from gameservers.lobby import Lobby
from gameservers.log import observer
from gameservers.metrics import Metrics
from gameservers.net.datagrams import MAX_DATAGRAM, DatagramPort
from gameservers.net.door import Door, Routes, WireFactory
from gameservers.net.guard import DoorSettings, Guard
from gameservers.net.tls import BadCertificate, Certificates, reload_on_hangup
from gameservers.ports import CannotStart, Listener, endpoint, everywhere
from gameservers.store import BadDatabase, Store
from gameservers.web.site import WebSite
from gameservers.wire import Recogniser, anything


def Options() -> GameserverOptions:
    """The options of the house and of every game that is installed."""
    try:
        return options_for(getPlugins(IGame))
    except UsageError as error:
        refuse(error)


def makeService(options: GameserverOptions, reactor: Any = None) -> IService:
    """
    Put the server together, or end the process with a sentence.

    @param reactor: the one to listen on; L{None} for the process's own.
    """
    if reactor is None:
        from twisted.internet import reactor
    try:
        return put_together(options, reactor)
    except (BadCertificate, BadDatabase, UsageError) as error:
        refuse(error)


def put_together(options: GameserverOptions, reactor: Any) -> Server:
    config = options.config
    house = config.house
    server = Server(reactor)
    if options.parent is not None:
        server.observer = observer(options.parent, house.logging, house.log_format)

    metrics = Metrics()
    lobby = Lobby(reactor, metrics)
    lobby.setServiceParent(server)
    store = Store(config.store, reactor)
    server.stand_on(store)
    guard = Guard(reactor, config.door, metrics)

    games: list[tuple[Any, Any]] = []
    game: Any
    for game in options.games:
        settings = config.games[game.name]
        service: Any
        if isinstance(getattr(game, "wires", None), tuple):
            service = game.build(
                Dependencies(game.name, lobby, reactor, settings, metrics, store, guard.place_of)
            )
        else:
            service = game.build(
                Surroundings(
                    lobby, reactor, settings, store, guard.logged_in, guard.place_of, metrics
                )
            )
        games.append((game, service))
        child = service.service if isinstance(service, Wires) else service
        if child is not None:
            child.setServiceParent(server)

    interface = house.interface or everywhere()
    certificates = certificates_of(config.door)
    if certificates is not None:
        Renewal(certificates, reactor).setServiceParent(server)
    site = WebSite(
        [(game.name, pages) for game, each in games if (pages := getattr(each, "pages", None))],
        reactor,
    )

    def listen(
        what: str, where: Listening, routes: Routes, datagrams: list[tuple[Recogniser, Any]]
    ) -> None:
        if routes.factories:
            routes = replace(routes, tls=certificates, tls_only=config.door.tls_only)
            start = endpoint(reactor, where, interface).listen
            Listener(what, start, Door(guard, routes)).setServiceParent(server)
        if datagrams and isinstance(where, int):
            start = partial(
                reactor.listenUDP, where, interface=interface, maxPacketSize=MAX_DATAGRAM
            )
            port = DatagramPort(datagrams, metrics)
            Listener(what, start, port).setServiceParent(server)

    listen("front door", house.port, *routes_of(games, site))
    for game, service in games:
        where = service.port if isinstance(service, Wires) else service.settings.port
        if where:
            listen(game.name, where, *routes_of([(game, service)], site, alone=True))
    return server


def routes_of(
    games: Sequence[tuple[Any, Any]], site: WebSite, *, alone: bool = False
) -> tuple[Routes, list[tuple[Recogniser, Any]]]:
    """Where the connections and datagrams of a port go."""
    streams: list[tuple[Recogniser, Any]] = []
    datagrams: list[tuple[Recogniser, Any]] = []
    sockets: dict[int, IProtocolFactory] = {}
    legacy: dict[int, IProtocolFactory] = {}
    pages: Any = None
    for game, service in games:
        if isinstance(service, Wires):
            if service.stream is not None:
                streams.append((anything if alone else game.recognises_stream, service.stream))
                for kind in () if alone else service.http:
                    if kind == "page":
                        pages = service.stream
                    elif legacy.setdefault(1 + (kind == "binary"), service.stream) is not (
                        service.stream
                    ):
                        raise UsageError(f"{game.title} is not the only game with HTTP, {kind}.")
            if service.datagram is not None:
                recogniser = anything if alone else game.recognises_datagram
                datagrams.append((recogniser, service.datagram()))
            continue
        for wire in game.wires:
            recognise = wire.alone if alone else wire.recognise
            make = partial(wire.make, service)
            match wire.carriage:
                case Carriage.STREAM:
                    streams.append((recognise, WireFactory(make)))
                case Carriage.DATAGRAM:
                    datagrams.append((recognise, make()))
                case Carriage.TEXT:
                    sockets[Opcode.TEXT] = WireFactory(make)
                case Carriage.BINARY:
                    sockets[Opcode.BINARY] = WireFactory(make)
        if service.pages is not None:
            pages = site
    return Routes(streams, sockets, pages, legacy), datagrams


def certificates_of(settings: DoorSettings) -> Certificates | None:
    """What TLS is spoken with, if it is; L{BadCertificate} if it cannot be."""
    if settings.tls_cert and settings.tls_key:
        return Certificates(Path(settings.tls_cert), Path(settings.tls_key))
    if settings.tls_cert or settings.tls_key or settings.tls_only:
        raise BadCertificate("TLS needs both --tls-cert and --tls-key.")
    return None


class Server(MultiService):
    """
    The root of the tree.

    @ivar observer: what the application below twistd is to log with.
    """

    _log = Logger()
    observer: ILogObserver | None = None

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self._ground: list[Service] = []

    def stand_on(self, service: Service) -> None:
        """Start this service before all others, and stop it when all others have stopped."""
        self._ground.append(service)

    def setServiceParent(self, parent: IServiceCollection) -> None:
        if self.observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self.observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Begin to listen, or raise L{CannotStart}."""
        try:
            super().privilegedStartService()
        except CannotStart as error:
            self._log.critical("{why}", why=error.why)
            if sys.__stderr__ is not None:
                print(f"gameserver: {error.why}", file=sys.__stderr__)
            raise

    def startService(self) -> None:
        for service in self._ground:
            service.startService()
        super().startService()
        self._reactor.callWhenRunning(self._ready)

    async def stopService(self) -> None:
        await super().stopService()
        for service in reversed(self._ground):
            await maybeDeferred(service.stopService)

    def _ready(self) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        self._log.info("gameservers {version} is ready", version=__version__)

    def _stop(self, number: int, frame: object) -> None:
        """
        Let SIGTERM end the server with exit status 0; a second one ends it at once.

        twistd's own way is to stop the services and then to die of the signal, which a
        supervisor may take for a crash.
        """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._reactor.callFromThread(self._reactor.stop)


class Renewal(Service):
    """Reads the certificate again on SIGHUP while the server runs."""

    _restore: Callable[[], None] | None = None

    def __init__(self, certificates: Certificates, reactor: Any) -> None:
        self._certificates = certificates
        self._reactor = reactor

    def startService(self) -> None:
        super().startService()
        self._restore = reload_on_hangup(self._certificates, self._reactor)

    def stopService(self) -> None:
        super().stopService()
        if self._restore is not None:
            self._restore()
