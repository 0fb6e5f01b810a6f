"""
How a game or a part of the server declares its options.

A part declares its options as one frozen dataclass whose fields are made by L{option}::

    @dataclass(frozen=True, slots=True)
    class VcmiSettings:
        max_chat: int = option(1_000, "longest chat line", unit="characters", minimum=100)
        retired: ClassVar[Retired] = {"vcmi-max-mods": "always 1000"}

L{gameservers.config.tree} turns such classes into command-line options and TOML keys of the same
name and hands each part its own instance; a part never reads the configuration itself.  The name
of a game's option is C{<game>-<field>} (C{--vcmi-max-chat}), that of the server's own just the
field's, with C{-} for C{_}.  Options that several games share are in L{gameservers.config.common}.

C{retired} names options of earlier versions that were removed, and says what applies instead.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: The type of a setting that says where to listen: the number of a port, or a server endpoint as
#: Twisted spells it, such as C{tcp6:5002} or C{unix:/run/games}.
Listening = int | str

#: Removed options: full name -> what applies instead, to follow "is no longer an option: ".
Retired = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Option:
    """
    The explanation of one setting for the user, and the checks on its value.

    C{minimum} and C{maximum} bound numbers (both inclusive); C{off} is one more number that is
    allowed although it is outside (usually 0), and C{off_means} what it stands for.  C{aliases}
    are other names, in full.
    C{check} takes the typed value and raises L{ValueError} with a sentence if the value is wrong;
    C{shown} converts it to what may be printed.
    """

    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    off: float | None = None
    off_means: str = "off"
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    short: str | None = None
    check: Callable[[Any], None] | None = None
    shown: Callable[[Any], Any] | None = None


def option(default: Any, description: str, **about: Any) -> Any:
    """A dataclass field that is also an option; the arguments are those of L{Option}."""
    return field(default=default, metadata={"option": Option(description, **about)})


def utf8(text: str) -> None:
    """Raise L{ValueError} for a text that was not given as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8") from None


def networks(texts: tuple[str, ...]) -> None:
    """Raise L{ValueError} unless all of these are networks."""
    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise ValueError(f"must be networks such as 192.0.2.0/24, not {text!r}") from None
