"""
The command line of C{twistd gameserver}, made from the options of the server and the games.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from shutil import get_terminal_size
from typing import Any, ClassVar, NoReturn

import twisted
from twisted.python import usage

from gameservers import __version__
from gameservers.config.tree import Config, Known, Setting, load
from gameservers.games import IGame
from gameservers.store import StoreError, migrate_database, schemas_of

#: Column at which explanations begin in the help; a longer option gets a line of its own.
COLUMN = 32

#: Minimum width of explanations in the help, in characters, however narrow the terminal.
NARROWEST = 30


def refuse(error: Exception) -> NoReturn:
    """End the process with one sentence on stderr and exit status 1."""
    sys.exit(f"gameserver: {str(error).rstrip('.')}.")


def options_for(games: Iterable[IGame]) -> GameserverOptions:
    """Make the options for these games, or raise L{usage.UsageError} if two names clash."""
    games = sorted(games, key=lambda game: game.name)
    known = Known(games)
    names = known.names.items()
    made = type(
        "Options",
        (GameserverOptions,),
        {
            "games": games,
            "known": known,
            "commands": {
                f"{game.name}-{word}": (game, run)
                for game in games
                for word, run in getattr(game, "commands", {}).items()
            },
            "optParameters": [
                [name, setting.option.short, None, ""]
                for name, setting in names
                if setting.type is not bool
            ],
            "optFlags": [
                [f"{no}{name}", None, ""]
                for name, setting in names
                if setting.type is bool
                for no in ("", "no-")
            ],
        },
    )
    options: GameserverOptions = made()
    return options


class GameserverOptions(usage.Options):
    """
    The options that run a command; L{options_for} adds those of the server and the games.

    @ivar commands: the commands of the games (see L{IGame}), by name.
    @ivar config: the effective configuration, once the options are parsed.
    """

    games: ClassVar[Sequence[IGame]] = ()
    known: ClassVar[Known] = Known(())
    commands: ClassVar[Mapping[str, tuple[IGame, Callable[..., None]]]] = {}

    optParameters: ClassVar[Sequence[Any]] = [["config", None, None, ""]]
    optFlags: ClassVar[Sequence[Any]] = [["check-config", None, ""], ["migrate", None, ""]]
    synopsis = "[options]"
    config: Config
    _words: Sequence[str] = ()
    _file: str | None = None

    def opt_version(self) -> NoReturn:
        """Print the versions of gameservers, Twisted and Python and exit."""
        python = platform.python_version()
        print(f"gameservers {__version__} (Twisted {twisted.__version__}, Python {python})")
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the arguments, including words without dashes, and load the configuration.

        @raise usage.UsageError: something is wrong.  Under twistd, which would print all of the
            help, the process ends with that one sentence instead.
        """
        try:
            self._look_for_retired(sys.argv[1:] if options is None else options)
            super().parseOptions(options)
            while self._words and self._words[0] not in self.commands:
                super().parseOptions([self._dashed(self._words[0]), *self._words[1:]])
            if self["config"] is not None:
                self._file = os.path.abspath(self["config"])
            self.config = load(self.games, self._said(), self["config"])
        except usage.UsageError as error:
            if self.parent is None:
                raise
            refuse(error)
        if self["check-config"]:
            print(*self.config.lines(), sep="\n")
            sys.exit(0)
        if self["migrate"] or self._words:  # no server will start, and listen to signals
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if self["migrate"]:
            self._migrate()
        if self._words:
            self._command(*self._words)

    def load_again(self) -> Config:
        """Read the file again, which may have changed, or raise L{usage.UsageError}."""
        return load(self.games, self._said(), self._file)

    def _migrate(self) -> NoReturn:
        """Bring the database up to date and exit; or end with a sentence if that fails."""
        try:
            upgrades = migrate_database(self.config.store, schemas_of(self.games))
        except StoreError as error:
            refuse(error)
        print(f"The tables are up to date: {', '.join(upgrades)}.")
        sys.exit(0)

    def _command(self, word: str, *arguments: str) -> NoReturn:
        """Run a game's command and exit; or end with a sentence if that fails."""
        game, run = self.commands[word]
        try:
            run(self.config.store, self.config.games[game.name], arguments)
        except (StoreError, usage.UsageError) as error:
            refuse(error)
        sys.exit(0)

    def parseArgs(self, *words: str) -> None:
        """Keep a word without dashes, and what follows it, for the next pass."""
        self._words = words

    def _look_for_retired(self, arguments: Sequence[str]) -> None:
        """Raise L{usage.UsageError} for an option that was removed, saying what applies now."""
        for argument in arguments:
            if argument.startswith("--"):
                self.known.find(argument[2:].partition("=")[0])

    def _dashed(self, word: str) -> str:
        """Spell C{port=5002} as C{--port=5002}."""
        name, equals, value = word.partition("=")
        setting = self.known.find(name)
        if setting is None or not equals:
            raise usage.UsageError(
                f"{word!r} is not understood; a word must be an option's, like port=5002."
            )
        if setting.type is bool:
            return f"--{'' if setting.parse(value) else 'no-'}{setting.name}"
        return f"--{setting.name}={value}"

    def _said(self) -> dict[str, str]:
        """The values given on the command line, by the names of the settings."""
        said: dict[str, str] = {}
        for name, setting in self.known.names.items():
            if setting.type is bool:
                texts = [text for no, text in (("", "true"), ("no-", "false")) if self[no + name]]
            else:
                texts = [] if self[name] is None else [self[name]]
            for text in texts:
                if said.setdefault(setting.name, text) != text:
                    raise usage.UsageError(f"--{setting.name} is given twice and differently.")
        return said

    def getUsage(self, width: int | None = None) -> str:
        """The help: commands first, then the options of the server and of each game."""
        width = max(width or get_terminal_size().columns, COLUMN + NARROWEST)
        lines = textwrap.wrap(
            "Every option can also stand in a TOML file (port = 5002), where the command line "
            "goes before it, and be given as a word without dashes (port=5002).",
            width,
        )
        heading = ""
        for part, left, text in self._rows():
            if part != heading:
                lines += ["", f"{part}:"]
                heading = part
            lines += [f"  {left}"] if len(left) > COLUMN - 4 else []
            lines += textwrap.wrap(
                text,
                width,
                initial_indent=("" if lines[-1].endswith(left) else f"  {left}").ljust(COLUMN),
                subsequent_indent=" " * COLUMN,
                break_on_hyphens=False,
            )
        return "\n".join([*lines, ""])

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        """Heading, option and explanation of each option and command."""
        yield "Options", "    --config=", "TOML file with any of the settings below"
        yield "Options", "    --check-config", "Print the effective settings as TOML and exit"
        yield "Options", "    --migrate", "Bring the database up to date and exit"
        yield "Options", "    --version", "Print the versions and exit"
        yield "Options", "    --help", "Print this help and exit"
        for word, (_, run) in self.commands.items():
            yield "Commands", f"    {word}", (run.__doc__ or "").strip().partition("\n")[0]
        for setting in self.known.settings:
            yield setting.part, left(setting), setting.help


def left(setting: Setting) -> str:
    """The left column of the help: how to give a setting."""
    short = f"-{setting.option.short}, " if setting.option.short else "    "
    if setting.type is not bool:
        return f"{short}--{setting.name}="
    return f"{short}--{'no-' if setting.default else ''}{setting.name}"
