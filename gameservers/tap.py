"""
What C{twistd gameserver} runs: options to configuration to the tree of services.
"""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import IService, IServiceCollection, MultiService, Service
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import ILogObserver, Logger
from twisted.plugin import getPlugins
from twisted.python.components import Componentized
from twisted.python.usage import UsageError

from gameservers import __version__
from gameservers.config.command_line import GameserverOptions, options_for, refuse
from gameservers.config.vocabulary import Listening
from gameservers.games import IGame, Surroundings, Wires
from gameservers.lobby import Lobby
from gameservers.log import observer
from gameservers.net.datagrams import MAX_DATAGRAM, DatagramDoor
from gameservers.net.door import Behind, Door
from gameservers.net.guard import DoorSettings, Guard
from gameservers.net.tls import BadCertificate, Certificates, reload_on_hangup
from gameservers.ports import CannotStart, Listener, endpoint, everywhere
from gameservers.store import BadDatabase, SqlStore
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

    lobby = Lobby(reactor)
    lobby.setServiceParent(server)
    store = SqlStore(config.store, reactor)
    server.stand_on(store)
    guard = Guard(reactor, config.door, lobby.counters)

    games: list[tuple[IGame, Wires]] = []
    for game in options.games:
        settings = config.games[game.name]
        surroundings = Surroundings(
            lobby, reactor, settings, store, guard.logged_in, guard.place_of
        )
        wires = game.build(surroundings)
        games.append((game, wires))
        if wires.service is not None:
            wires.service.setServiceParent(server)

    interface = house.interface or everywhere()
    certificates = certificates_of(config.door)
    if certificates is not None:
        Renewal(certificates, reactor).setServiceParent(server)

    def listen(
        what: str, where: Listening, behind: Behind, datagrams: DatagramProtocol | None
    ) -> None:
        if behind.games:
            behind = replace(behind, tls=certificates, tls_only=config.door.tls_only)
            start = endpoint(reactor, where, interface).listen
            Listener(what, start, Door(guard, behind)).setServiceParent(server)
        if datagrams is not None and isinstance(where, int):
            start = partial(
                reactor.listenUDP, where, interface=interface, maxPacketSize=MAX_DATAGRAM
            )
            Listener(what, start, datagrams).setServiceParent(server)

    listen("front door", house.port, everything(games), all_datagrams(games, lobby.counters))
    for game, wires in games:
        if wires.port:
            alone = Behind([] if wires.stream is None else [(anything, wires.stream)])
            listen(game.name, wires.port, alone, wires.datagram and wires.datagram())
    return server


def everything(games: Sequence[tuple[IGame, Wires]]) -> Behind:
    """What is spoken at the front door; L{UsageError} if two games want the same of HTTP."""
    streams: list[tuple[Recogniser, IProtocolFactory]] = []
    http: dict[str, IProtocolFactory] = {}
    for game, wires in games:
        if wires.stream is not None:
            streams.append((game.recognises_stream, wires.stream))
            for kind in wires.http:
                if http.setdefault(kind, wires.stream) is not wires.stream:
                    raise UsageError(f"{game.title} is not the only game with HTTP, {kind}.")
    return Behind(streams, http)


def all_datagrams(
    games: Sequence[tuple[IGame, Wires]], counters: Counter[str]
) -> DatagramDoor | None:
    """What is spoken in datagrams at the front door."""
    speakers = [
        (game.recognises_datagram, wires.datagram())
        for game, wires in games
        if wires.datagram is not None
    ]
    return DatagramDoor(speakers, counters) if speakers else None


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
