"""
The vocabulary of a setting: what a game or a part of the house declares about its options.

A part declares its options as one frozen dataclass whose fields are made by L{option}::

    @dataclass(frozen=True, slots=True)
    class VcmiSettings:
        capacity: int = option(50, "VCMI clients at once", unit="clients", minimum=1)

L{gameservers.config} turns such classes into command-line options and TOML keys of the same
name and hands each part its own instance; a part never reads the configuration itself.  The
name of the option is the field's name with C{-} for C{_}, unless C{name} says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

#: The type of a setting that says where to listen: the number of a port, or a server endpoint as
#: Twisted spells it, such as C{tcp6:5002} or C{unix:/run/games}.
Listening = int | str


@dataclass(frozen=True, slots=True)
class Option:
    """
    What the user is told about one setting and what is checked before anything starts.

    C{minimum} and C{maximum} bound numbers (both inclusive); C{off} is one further number
    that is allowed although it lies outside (most often 0: "turned off").  C{check} takes the
    typed value and raises L{ValueError} with a sentence if it will not do; C{shown} makes of it
    what may be printed.
    """

    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    off: float | None = None
    choices: tuple[str, ...] = ()
    name: str | None = None
    aliases: tuple[str, ...] = ()
    short: str | None = None
    check: Callable[[Any], None] | None = None
    shown: Callable[[Any], Any] | None = None


def utf8(text: str) -> None:
    """Raise L{ValueError} for a text that came as other bytes than UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8") from None


def option(
    default: Any,
    description: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    off: float | None = None,
    choices: Sequence[str] = (),
    name: str | None = None,
    aliases: Sequence[str] = (),
    short: str | None = None,
    check: Callable[[Any], None] | None = None,
    shown: Callable[[Any], Any] | None = None,
) -> Any:
    """A dataclass field that is also an option; the arguments are those of L{Option}."""
    described = Option(
        description,
        unit,
        minimum,
        maximum,
        off,
        tuple(choices),
        name,
        tuple(aliases),
        short,
        check,
        shown,
    )
    return field(default=default, metadata={"option": described})
