"""
What C{twistd gameserver} runs: from options to configuration to the service tree.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from twisted.application.service import IService
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from gameservers.config.command_line import GameserverOptions, options_for, refuse
from gameservers.config.vocabulary import Listening
from gameservers.games import Dependencies, GameService, IGame
from gameservers.lobby import Lobby
from gameservers.log import Log
from gameservers.metrics import Metrics
from gameservers.net.arrivals import Arrivals
from gameservers.net.backlog import Backlog
from gameservers.net.bypass import follow_monotonic_clock
from gameservers.net.datagrams import DatagramPort
from gameservers.net.door import Door, routes
from gameservers.net.fair_queue import FairQueue
from gameservers.net.guard import Guard
from gameservers.net.ports import Listener, endpoint, everywhere, listen_udp
from gameservers.net.tls import BadCertificate, certificates_of
from gameservers.net.turn import Turn
from gameservers.process import Server
from gameservers.reload import Reload
from gameservers.store import BadDatabase, Store, schemas_of
from gameservers.web.site import WebSite


def Options() -> GameserverOptions:
    """The options of the server and of every installed game."""
    try:
        return options_for(getPlugins(IGame))
    except UsageError as error:
        refuse(error)


def makeService(options: GameserverOptions, reactor: Any = None) -> IService:
    """
    Put the server together, or end the process with a sentence.

    @param reactor: the reactor to listen on; L{None} for the global one.
    """
    if reactor is None:
        from twisted.internet import reactor

        follow_monotonic_clock(reactor)
    try:
        return put_together(options, reactor)
    except (BadCertificate, BadDatabase, UsageError) as error:
        refuse(error)


def put_together(options: GameserverOptions, reactor: Any) -> Server:
    config = options.config
    store = Store(config.store, reactor, schemas_of(options.games))
    server = Server(reactor, store)
    log = None
    if options.parent is not None:
        log = Log(options.parent, config.server.logging, config.server.log_format)
        server.observer, server.reopen_log = log, log.reopen

    metrics = Metrics()
    lobby = Lobby(reactor, metrics)
    lobby.setServiceParent(server)
    guard = Guard(reactor, config.door, metrics)
    guard.log.setServiceParent(server)
    backlog = Backlog(reactor, config.door.max_unread_total, config.door.unread_timeout)
    turn = Turn(reactor, backlog)
    arrivals = Arrivals(turn, guard)
    queue = FairQueue(reactor, config.door, guard.place_of)

    depend = partial(Dependencies, place_of=guard.place_of, turn=turn, log=guard.log)
    games: list[tuple[GameService, IGame]] = []
    for game in options.games:
        settings = config.games[game.name]
        service = game.build(depend(game.name, lobby, reactor, settings, metrics, store))
        service.setServiceParent(server)
        games.append((service, game))

    interface = config.server.interface or everywhere()
    certificates = certificates_of(config.door.tls_cert, config.door.tls_key, config.door.tls_only)
    server.reload = Reload(config, options.load_again, guard, certificates, log)
    pages = [(service.game, service.pages) for service, _ in games if service.pages is not None]
    site = WebSite(pages, reactor, config.site, turn) if pages else None

    def listen(what: str, where: Listening, spoken: list[Any], *, alone: bool = False) -> None:
        has_pages = any(service.pages is not None for service, _ in spoken)
        to, datagrams = routes(spoken, site if has_pages else None, alone=alone)
        if to.factories:
            to = replace(to, tls=certificates, tls_only=config.door.tls_only)
            start = endpoint(reactor, where, interface).listen
            Listener(what, start, Door(guard, to), arrivals).setServiceParent(server)
        if datagrams and isinstance(where, int):
            port = DatagramPort(datagrams, queue, metrics)
            udp = partial(listen_udp, reactor, where, interface)
            Listener(what, udp, port).setServiceParent(server)

    listen("front door", config.server.port, [(service, game.wires) for service, game in games])
    for service, game in games:
        if getattr(service.settings, "port", 0):
            listen(game.name, service.settings.port, [(service, game.wires)], alone=True)
    return server
