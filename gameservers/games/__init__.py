"""
The door through which a game comes in.

A game is a plugin: an object that provides L{IGame} and stands in a module of
C{twisted.plugins}.  The built-in games use the same door as anybody's package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.plugin import IPlugin
from zope.interface import Attribute

from gameservers.config.vocabulary import Listening
from gameservers.lobby import Lobby
from gameservers.net.guard import place_of
from gameservers.store import Store
from gameservers.wire import Recogniser, Verdict, never

__all__ = ["IGame", "Surroundings", "Verdict", "Wires", "never"]


def nobody_asks(transport: Any) -> None:
    """Where there is no door, it means nothing that somebody has logged in."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What a game is built from.

    C{clock} is the reactor or, in tests, a L{twisted.internet.task.Clock}; C{settings} is
    an instance of the game's own settings class; C{store} keeps what outlives a restart.

    C{logged_in} is told the transport of a client as soon as it is known who that is: a
    connection that stays a stranger is cut off (see L{gameservers.net.guard}).

    C{place_of} tells what a host counts as, for a limit of the game's own per address: an IPv4
    address, an IPv6 /64, or C{""} for one that is trusted and has no such limit.
    """

    lobby: Lobby
    clock: IReactorTime
    settings: Any
    store: Store | None = None
    logged_in: Callable[[Any], None] = nobody_asks
    place_of: Callable[[str], str] = place_of


@dataclass(frozen=True, slots=True)
class Wires:
    """
    A game, built and ready to listen.

    C{stream} is what listens on TCP (L{None}: not spoken), on the game's own port and, for what
    the game recognises, at the front door.  There HTTP is nobody's to recognise: C{http} tells
    what of it is the game's, C{"page"} for requests as of a browser, C{"text"} and C{"binary"}
    for WebSockets whose first message is of that kind.

    C{datagram} makes what listens on UDP, anew for each port.

    C{port} is where the game listens besides the front door (0: nowhere).  C{service} is
    started and stopped with the server; its C{stopService} may return a Deferred while players
    are told.
    """

    stream: IProtocolFactory | None = None
    datagram: Callable[[], DatagramProtocol] | None = None
    port: Listening = 0
    service: IService | None = None
    http: tuple[str, ...] = ()


class IGame(IPlugin):
    """One game: what it is called, what it can be told, how to recognise it, how to build it."""

    name: str = Attribute("Short name, C{[a-z0-9]+}: in logs, room keys and options.")
    title: str = Attribute("One line for people.")
    settings: type[Any] = Attribute(
        "Frozen dataclass of L{gameservers.config.vocabulary.option} fields."
    )
    recognises_stream: Recogniser = Attribute("First TCP bytes -> L{Verdict}.")
    recognises_datagram: Recogniser = Attribute("A UDP datagram -> L{Verdict}.")

    def build(surroundings: Surroundings) -> Wires:
        """Make the factories; nothing listens and no clock runs before the service starts."""
