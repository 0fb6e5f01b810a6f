"""
One typed configuration tree: the command line over a TOML file over the defaults.

Each part of the server declares its own settings (see L{gameservers.config.vocabulary}):
L{ServerSettings} those of the server as a whole, and every game its own in its settings class.
All options are in one flat name space, so that C{--vcmi-max-chat=99}, C{vcmi-max-chat = 99} in the
TOML file and the plain word C{vcmi-max-chat=99} are the same thing; a name that is claimed twice
is an error.  Only L{gameservers.tap} reads a configuration; each part is handed its own instance.

A field is annotated C{int}, C{float}, C{bool}, C{str} or C{tuple[str, ...]}: a whole number,
a number, a flag, a text or a list (comma separated on the command line, an array in TOML); or
L{Listening}: a whole number or an endpoint.

Every mistake raises a L{UsageError} of one sentence, which names the option, the value and what is
allowed.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from twisted.python.usage import UsageError

from gameservers.config.vocabulary import Listening, Option, option
from gameservers.games import IGame
from gameservers.net.guard import DoorSettings
from gameservers.store import StoreSettings
from gameservers.web.channel import SiteSettings

#: Options that run a command; they are not settings and cannot be in a file.
COMMANDS = frozenset({"config", "check-config", "migrate", "version", "help"})


def an_address(interface: str) -> None:
    """Raise L{ValueError} unless this is an IP address or empty."""
    try:
        ipaddress.ip_address(interface or "::")
    except ValueError:
        raise ValueError(f"must be an IPv4 or IPv6 address, not {toml(interface)}") from None


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of the server as a whole."""

    port: Listening = option(
        5002,
        "TCP and UDP port for every game, or a TCP server endpoint as Twisted spells it",
        minimum=1,
        maximum=65535,
        short="p",
    )
    interface: str = option(
        "", "IP address to listen on; empty for all IPv4 and IPv6 addresses", check=an_address
    )
    logging: str = option(
        "info",
        "Least severe messages that are logged",
        choices=("debug", "info", "warning", "error", "critical"),
    )
    log_format: str = option(
        "text", "Form of the log; json is one object per line", choices=("text", "json")
    )


@dataclass(frozen=True, slots=True)
class Setting:
    """One option as the user sees it: a field of a part's settings class."""

    part: str  # title of the part, for people
    field: str
    name: str
    type: Any
    default: Any
    option: Option

    @property
    def allowed(self) -> str:
        """What values are allowed, to follow the words "must be"."""
        about = self.option
        if about.choices:
            return f"one of {', '.join(about.choices)}"
        if self.type not in (int, float, Listening):
            return {bool: "true or false", str: "a text"}.get(self.type, "a list of texts")
        words = ["a number" if self.type is float else "a whole number"]
        words += [f"of {about.unit}"] if about.unit else []
        words += [self.range] if self.range else []
        words += ["or an endpoint such as tcp6:5002"] if self.type == Listening else []
        return " ".join(words) + (
            "" if about.off is None else f", or {about.off} for {about.off_means}"
        )

    @property
    def range(self) -> str:
        """The numbers that are allowed; empty if all are."""
        match self.option:
            case Option(minimum=None, maximum=None):
                return ""
            case Option(minimum=low, maximum=None):
                return f"from {low}"
            case Option(minimum=None, maximum=high):
                return f"up to {high}"
            case Option(minimum=low, maximum=high):
                return f"from {low} to {high}"

    @property
    def help(self) -> str:
        """The explanation: purpose, allowed values and default."""
        about = self.option
        notes = [" ".join(filter(None, (about.unit, self.range))), ", ".join(about.choices)]
        notes += [] if about.off is None else [f"{about.off}: {about.off_means}"]
        notes += [f"also --{alias}" for alias in about.aliases]
        if self.default not in ("", ()):
            default = self.default
            if isinstance(default, tuple):
                default = ",".join(default)
            plain = default if isinstance(default, str) else toml(default)
            notes += [f"default: {plain.removesuffix('.0')}"]
        bracket = "; ".join(filter(None, notes))
        text = about.description[:1].upper() + about.description[1:]
        return f"{text} [{bracket}]" if bracket else text

    def parse(self, text: str) -> Any:
        """Parse a value of the command line, or raise L{UsageError}."""
        value: Any = text
        if self.type in (int, Listening) and re.fullmatch(r"[+-]?[0-9]{1,20}", text):
            value = int(text)
        elif self.type is float and re.fullmatch(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", text, re.I):
            value = number(text)
        elif self.type is bool:
            value = {"true": True, "false": False}.get(text.lower(), text)
        elif self.type == tuple[str, ...]:
            value = [part.strip() for part in text.split(",") if part.strip()]
        return self.accept(value, f"--{self.name}")

    def accept(self, value: Any, where: str) -> Any:
        """Check a value and return it in the field's own type, or raise L{UsageError}."""
        if not self._fits(value):
            raise UsageError(f"{where} must be {self.allowed}, not {toml(value)}.")
        if self.type is float:
            value = float(value)
        elif self.type == tuple[str, ...]:
            value = tuple(value)
        if self.option.check is not None:
            try:
                self.option.check(value)
            except ValueError as error:
                raise UsageError(f"{where} {str(error).rstrip('.')}.") from None
        return value

    def _fits(self, value: Any) -> bool:
        about = self.option
        if self.type == Listening and isinstance(value, str):
            return re.match("[a-z0-9]+:.", value) is not None
        if self.type in (int, float, Listening):
            if isinstance(value, bool) or not isinstance(value, int | self.type):
                return False
            if value == about.off:
                return True
            low = -math.inf if about.minimum is None else about.minimum
            high = math.inf if about.maximum is None else about.maximum
            return math.isfinite(value) and low <= value <= high
        if self.type == tuple[str, ...]:
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        return isinstance(value, self.type) and (not about.choices or value in about.choices)


def number(text: str) -> float | str:
    """Convert a text to a number, if it is one."""
    try:
        return float(text)
    except ValueError:
        return text


def toml(value: object) -> str:
    """Format a value as TOML, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "a table"
    return str(value)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the server, or a game, that declares options."""

    title: str  # for people
    declared: type[Any]
    prefix: str = ""  # of its options' names

    def settings(self) -> Iterator[Setting]:
        """The settings of this part."""
        hints = get_type_hints(self.declared)
        for field in fields(self.declared):
            name = (self.prefix + field.name).replace("_", "-")
            about = field.metadata["option"]
            yield Setting(self.title, field.name, name, hints[field.name], field.default, about)

    def instance(self, values: Mapping[str, tuple[Setting, Any]]) -> Any:
        """Make the settings object from the values, which are given by option name."""
        return self.declared(**{each.field: values[each.name][1] for each in self.settings()})


class Known:
    """
    Every option of the server and of these games.

    @ivar parts: what declares them; the server's own parts first.
    @ivar settings: each option.
    @ivar names: each option by all of its long names.
    @ivar retired: the removed options, with what applies now.
    @raise UsageError: two games have the same name, or two options the same name, alias or
        letter.
    """

    def __init__(self, games: Iterable[IGame]) -> None:
        self.parts = [
            Part("The server", ServerSettings),
            Part("The door", DoorSettings),
            Part("The database", StoreSettings),
            Part("The web site", SiteSettings),
        ]
        titles: dict[str, str] = {}
        for game in games:
            if game.name in titles:
                raise UsageError(
                    f"Two games are named {game.name}: {titles[game.name]} and {game.title}."
                )
            titles[game.name] = game.title
            self.parts.append(Part(game.title, game.settings, f"{game.name}-"))
        self.settings = [each for part in self.parts for each in part.settings()]
        self.names: dict[str, Setting] = {}
        self.retired: dict[str, str] = {}
        for part in self.parts:
            self.retired |= getattr(part.declared, "retired", {})
        owners = dict.fromkeys(COMMANDS, "The server")
        for setting in self.settings:
            names = [setting.name, *setting.option.aliases]
            self.names |= dict.fromkeys(names, setting)
            names += [f"no-{name}" for name in names] if setting.type is bool else []
            names += [setting.option.short] if setting.option.short else []
            for name in names:
                if name in owners:
                    raise UsageError(
                        f"The option {name} is claimed twice: by {owners[name]} and by "
                        f"{setting.part}."
                    )
                owners[name] = setting.part

    def find(self, name: str, where: str = "") -> Setting | None:
        """
        Find a setting by name or alias; C{_} may stand for C{-}.

        @raise UsageError: the option was removed.
        """
        dashed = name.replace("_", "-")
        for gone in (dashed, dashed.removeprefix("no-")):
            if gone in self.retired:
                raise UsageError(f"{gone}{where} is no longer an option: {self.retired[gone]}.")
        return self.names.get(name) or self.names.get(dashed)


@dataclass(frozen=True, slots=True)
class Config:
    """
    The effective settings.

    @ivar games: the instance of each game's settings class, by the game's name.
    @ivar values: each setting and its value, by the option's name.
    @ivar origins: where each value comes from, by the option's name.
    """

    server: ServerSettings
    door: DoorSettings
    store: StoreSettings
    site: SiteSettings
    games: Mapping[str, Any]
    values: Mapping[str, tuple[Setting, Any]]
    origins: Mapping[str, str]

    def lines(self) -> Iterator[str]:
        """Print the configuration as TOML; except for secrets it is a valid configuration file."""
        part = ""
        for name, (setting, value) in self.values.items():
            if setting.part != part:
                yield from ([""] if part else [])
                yield f"# {setting.part}"
                part = setting.part
            if setting.option.shown is not None:
                value = setting.option.shown(value)
            yield f"{name} = {toml(value)}  # {self.origins[name]}"


def load(
    games: Sequence[IGame], command_line: Mapping[str, str], toml_path: str | None = None
) -> Config:
    """
    Put the configuration together, or raise L{UsageError}.

    @param command_line: the texts given there, by the names of the options or their aliases.
    """
    known = Known(games)
    values = {setting.name: (setting, setting.default) for setting in known.settings}
    origins = dict.fromkeys(values, "default")
    if toml_path is not None:
        for name, value in read_file(toml_path, known).items():
            where = f"{name} in {shown(toml_path)}"
            values[name] = (known.names[name], known.names[name].accept(value, where))
            origins[name] = shown(toml_path)
    for name, text in command_line.items():
        setting = known.names[name]
        values[setting.name] = (setting, setting.parse(text))
        origins[setting.name] = "command line"
    server, door, store, site, *played = (part.instance(values) for part in known.parts)
    settings = {game.name: each for game, each in zip(games, played, strict=True)}
    return Config(server, door, store, site, settings, values, origins)


def read_file(path: str, known: Known) -> dict[str, Any]:
    """Read a TOML file, by the names of the options, or raise L{UsageError}."""
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read {shown(path)}: {error.strerror}.") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise UsageError(f"Cannot read {shown(path)}: {str(error).rstrip('.')}.") from None
    keys: dict[str, Any] = {}
    unknown: list[str] = []
    for key, value in content.items():
        setting = known.find(key, f" in {shown(path)}")
        if setting is None:
            unknown.append(toml(key))
        elif setting.name in keys:
            raise UsageError(f"The key {setting.name} is given twice in {shown(path)}.")
        else:
            keys[setting.name] = value
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise UsageError(f"Unknown key{plural} {', '.join(unknown)} in {shown(path)}.")
    return keys


def shown(path: str) -> str:
    """Format a path as one line of text."""
    return path if path.isprintable() else ascii(path)
