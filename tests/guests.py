"""A made-up game, for the tests of the house."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

from twisted.internet.protocol import Protocol
from twisted.plugin import IPlugin
from zope.interface import implementer

from gameservers.config.vocabulary import Listening, Retired, option
from gameservers.games import Carriage, Dependencies, GameService, IGame, Wire
from gameservers.net.datagrams import Datagrams


def even(number: int) -> None:
    if number % 2:
        raise ValueError(f"must be even, not {number}")


@dataclass(frozen=True, slots=True)
class Tastes:
    """Settings of every type and with every kind of bound."""

    retired: ClassVar[Retired] = {"vcmi-beds": "all sleep on the floor"}

    capacity: int = option(
        50, "Guests at once", unit="guests", minimum=1, maximum=1000, aliases=("capacity",)
    )
    healthcheck: float = option(
        30.0,
        "Time between two checks",
        unit="seconds",
        minimum=1,
        off=0,
        aliases=("healthcheck", "checks"),
    )
    console: bool = option(False, "Let guests use the console")
    music: bool = option(True, "Play music")
    motto: str = option("", "What is written over the door")
    drinks_served: tuple[str, ...] = option((), "What is served")
    depth: int = option(0, "How deep the cellar is", unit="m", maximum=10, check=even, short="d")


@dataclass(frozen=True, slots=True)
class Seats:
    """A setting with an alias that is spelled with an underscore."""

    seats_taken: int = option(1, "Seats that are taken", aliases=("max_conns",))


@dataclass(frozen=True, slots=True)
class NoTastes:
    """A game that needs to be told nothing."""


class Table(GameService):
    """The service of a made-up game."""


@implementer(IPlugin, IGame)
@dataclass(eq=False)
class Guest:
    """A game that remembers what it was built from."""

    name: str = "vcmi"
    title: str = "A guest"
    settings: type[Any] = Tastes
    wires: tuple[Wire, ...] = (Wire("lines", Carriage.STREAM, lambda service: Protocol()),)
    port: Listening = 0
    built: list[Dependencies] = field(default_factory=list)
    commands: dict[str, Callable[..., None]] = field(default_factory=dict)

    def build(self, dependencies: Dependencies) -> GameService:
        self.built.append(dependencies)
        service = Table(dependencies)
        service.settings = SimpleNamespace(port=self.port)
        return service


class Voice(Datagrams):
    """A made-up wire format in datagrams."""

    def __init__(self, service: GameService) -> None:
        super().__init__(service.game, service.clock, service.metrics)


#: The wire formats of a game that speaks TCP and UDP.
EVERYTHING = (
    Wire("lines", Carriage.STREAM, lambda service: Protocol()),
    Wire("datagrams", Carriage.DATAGRAM, Voice),
)
