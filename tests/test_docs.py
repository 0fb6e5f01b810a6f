"""What the documentation says of options is what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

import gameservers
from gameservers.config import common
from gameservers.config.tree import COMMANDS, Known, Setting, toml
from gameservers.games import IGame

ROOT = Path(gameservers.__file__).parent.parent

#: Options in the documentation that are other programs', or a command's.
OTHERS = {"logfile", "umask", "nodaemon", "pidfile", "syslog", "peer", "single-transaction"}
OTHERS |= {"dice-port", "dice-max-players", "before", "zone"}


def shown(setting: Setting | None) -> str:
    """A default as the tables have it: 0 that stands for off is C{off}."""
    if setting is None:
        return ""
    off = setting.default == setting.option.off
    return setting.option.off_means if off else toml(setting.default).removesuffix(".0")


def limits(known: Known) -> Iterator[str]:
    """The lines of the table of the limits that games have in common, one column for a game."""
    games = [part for part in known.parts if part.prefix]
    rows = [["option", "unit", *(part.prefix.strip("-") for part in games)]]
    for field in (name for name, made in vars(common).items() if isinstance(made, partial)):
        own = [{each.field: each for each in part.settings()}.get(field) for part in games]
        units = dict.fromkeys(each.option.unit for each in own if each)
        name = f"``-{field.replace('_', '-')}``"
        rows.append([name, " or ".join(units), *map(shown, own)])
    yield from table_of(rows)


def own_limits(known: Known) -> Iterator[str]:
    """The lines of the table of the limits that only one game has."""
    shared = {name for name, made in vars(common).items() if isinstance(made, partial)}
    rows = [["option", "default", "unit"]]
    for part in (part for part in known.parts if part.prefix):
        for each in part.settings():
            if each.option.unit and each.field not in shared:
                rows.append([f"``--{each.name}``", shown(each), each.option.unit])
    yield from table_of(rows)


def table_of(rows: list[list[str]]) -> Iterator[str]:
    """The lines of a table, of which the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    yield from (rule, lines[0], rule, *lines[1:], rule)


class DocumentedTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not (ROOT / "docs").exists():
            self.skipTest("the documentation is not installed")
        games = sorted(getPlugins(IGame), key=lambda game: game.name)
        self.known = Known(
            game for game in games if type(game).__module__.startswith("gameservers.")
        )
        self.operations = (ROOT / "docs" / "operations.rst").read_text(encoding="utf-8")

    def test_names(self) -> None:
        """Every option that is named is one, under its own name and not an alias."""
        names = {setting.name for setting in self.known.settings} | COMMANDS | OTHERS
        for path in (ROOT / "README.rst", *(ROOT / "docs").rglob("*.rst")):
            text = path.read_text(encoding="utf-8")
            for name in re.findall(r"(?<![\w-])--([a-z][a-z_-]*[a-z])", text):
                self.assertIn(name.removeprefix("no-"), names, path)

    def test_limits_of_the_server(self) -> None:
        rows = re.findall(r"^``--([a-z-]+)`` +(\d+ [a-z/]+) ", self.operations, re.MULTILINE)
        table = dict(rows)
        parts = ("The door", "The web site")
        limits = [each for each in self.known.settings if each.part in parts and each.option.unit]
        declared = {each.name: f"{shown(each)} {each.option.unit}" for each in limits}
        self.assertEqual(table, declared)

    def test_limits_of_games(self) -> None:
        """If this fails, the table that it prints belongs there."""
        table = "\n".join(limits(self.known))
        self.assertIn(f"\n\n{table}\n\n", self.operations, f"\n{table}")

    def test_limits_of_one_game(self) -> None:
        """If this fails, the table that it prints belongs there."""
        table = "\n".join(own_limits(self.known))
        self.assertIn(f"\n\n{table}\n\n", self.operations, f"\n{table}")

    def test_ports(self) -> None:
        table = dict(re.findall(r"^--([a-z]+-port) +(\S+) ", self.operations, re.MULTILINE))
        ports = [each for each in self.known.settings if each.name.endswith("-port")]
        self.assertEqual(table, {each.name: shown(each) for each in ports})

    def test_readme(self) -> None:
        """Its table of options has the defaults."""
        text = (ROOT / "README.rst").read_text(encoding="utf-8")
        table = text.partition("most\ncommon:")[2].partition("The command line goes")[0]
        found = re.findall(r"``--([a-z-]+)=([a-z0-9]*)``", table)
        self.assertGreater(len(found), 10)
        for name, value in found:
            default = self.known.names[name].default
            self.assertEqual(value, str(default), name)
