"""
What C{twistd gameserver} runs: options to configuration to the tree of services.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IProtocolFactory
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from wsproto.frame_protocol import Opcode

from gameservers.config.command_line import GameserverOptions, options_for, refuse
from gameservers.config.vocabulary import Listening
from gameservers.games import Carriage, Dependencies, IGame, Surroundings, Wires
from gameservers.lobby import Lobby
from gameservers.log import observer
from gameservers.metrics import Metrics
from gameservers.net.datagrams import MAX_DATAGRAM, DatagramPort
from gameservers.net.door import Door, Routes, WireFactory
from gameservers.net.guard import Guard
from gameservers.net.ports import Listener, endpoint, everywhere
from gameservers.net.tls import BadCertificate, Renewal, certificates_of
from gameservers.process import Server
from gameservers.store import BadDatabase, Store, schemas_of
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
    store = Store(config.store, reactor, schemas_of(options.games))
    server = Server(reactor, store)
    if options.parent is not None:
        server.observer = observer(options.parent, house.logging, house.log_format)

    metrics = Metrics()
    lobby = Lobby(reactor, metrics)
    lobby.setServiceParent(server)
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
    certificates = certificates_of(config.door.tls_cert, config.door.tls_key, config.door.tls_only)
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
