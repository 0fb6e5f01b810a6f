"""What can be set, what may be said, and who is believed."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from gameservers.config.tree import Config, ServerSettings, load
from gameservers.config.vocabulary import option
from tests.guests import Guest, NoTastes, Seats, Tastes

#: What C{--port} must be.
PORT = "a whole number from 1 to 65535 or an endpoint such as tcp6:5002"

NOTHING: Mapping[str, str] = {}


class Written(SynchronousTestCase):
    """A test case that can write configuration files."""

    def file(self, content: str | bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def refusal(self, command_line: Mapping[str, str], content: str | bytes | None = None) -> str:
        """The sentence that answers this configuration, with FILE for the file's name."""
        path = None if content is None else self.file(content)
        error = self.assertRaises(UsageError, load, [Guest()], command_line, path)
        return str(error).replace(str(path), "FILE")


class PrecedenceTests(Written):
    def test_defaults(self) -> None:
        config = load([Guest()], NOTHING)
        self.assertEqual(config.server, ServerSettings(5002, "", "info", "text"))
        self.assertEqual(config.games, {"vcmi": Tastes()})

    def test_command_line_over_file_over_defaults(self) -> None:
        path = self.file("port = 6000\ncapacity = 20")
        config = load([Guest()], {"capacity": "30"}, path)
        self.assertEqual(config.server.port, 6000)
        self.assertEqual(config.games["vcmi"].capacity, 30)
        self.assertEqual(config.games["vcmi"].healthcheck, 30)
        self.assertEqual(config.origins["port"], path)
        self.assertEqual(config.origins["vcmi-capacity"], "command line")
        self.assertEqual(config.origins["vcmi-healthcheck"], "default")

    def test_a_file_may_use_underscores_and_aliases(self) -> None:
        config = load([Guest()], NOTHING, self.file('log_format = "json"\nchecks = 5'))
        self.assertEqual(config.server.log_format, "json")
        self.assertEqual(config.games["vcmi"].healthcheck, 5)

    def test_an_alias_with_an_underscore(self) -> None:
        """It is spelled in a file as it was declared, and its option both ways."""
        game = Guest(settings=Seats)
        for key in ("max_conns", "vcmi_seats_taken", "vcmi-seats-taken"):
            config = load([game], NOTHING, self.file(f"{key} = 7"))
            self.assertEqual(config.games["vcmi"].seats_taken, 7, key)
        for twice in (
            "max_conns = 7\nvcmi_seats_taken = 7",
            "max_conns = 7\nvcmi-seats-taken = 7",
        ):
            error = self.assertRaises(UsageError, load, [game], NOTHING, self.file(twice))
            self.assertIn("The key vcmi-seats-taken is given twice", str(error))
        error = self.assertRaises(UsageError, load, [game], NOTHING, self.file("max-conns = 7"))
        self.assertIn('Unknown key "max-conns"', str(error))

    def test_each_game_gets_its_own(self) -> None:
        games = [Guest(), Guest("other", settings=NoTastes)]
        config = load(games, {"vcmi-drinks-served": " tea, rum ,"})
        self.assertEqual(config.games["vcmi"].drinks_served, ("tea", "rum"))
        self.assertEqual(config.games["other"], NoTastes())


class RefusalTests(Written):
    def test_command_line(self) -> None:
        """Each sentence names the option, what is allowed and what was said."""
        for name, said, sentence in (
            (
                "port",
                "0",
                f"--port must be {PORT}, not 0.",
            ),
            (
                "port",
                "65536",
                f"--port must be {PORT}, not 65536.",
            ),
            (
                "port",
                "5_002",
                f'--port must be {PORT}, not "5_002".',
            ),
            (
                "port",
                "",
                f'--port must be {PORT}, not "".',
            ),
            (
                "port",
                "9" * 30,
                f'--port must be {PORT}, not "{"9" * 30}".',
            ),
            (
                "interface",
                "example.org",
                '--interface must be an IPv4 or IPv6 address, not "example.org".',
            ),
            (
                "logging",
                "loud",
                '--logging must be one of debug, info, warning, error, critical, not "loud".',
            ),
            (
                "capacity",
                "2.5",
                '--vcmi-capacity must be a whole number of guests from 1 to 1000, not "2.5".',
            ),
            (
                "healthcheck",
                "0.5",
                "--vcmi-healthcheck must be a number of seconds from 1, or 0 for off, not 0.5.",
            ),
            (
                "checks",
                "nan",
                '--vcmi-healthcheck must be a number of seconds from 1, or 0 for off, not "nan".',
            ),
            (
                "healthcheck",
                "1e999",
                "--vcmi-healthcheck must be a number of seconds from 1, or 0 for off, not inf.",
            ),
            ("vcmi-console", "maybe", '--vcmi-console must be true or false, not "maybe".'),
            ("vcmi-depth", "11", "--vcmi-depth must be a whole number of m up to 10, not 11."),
            ("vcmi-depth", "3", "--vcmi-depth must be even, not 3."),
            (
                "capacity",
                "\n",
                r"--vcmi-capacity must be a whole number of guests from 1 to 1000, "
                r'not "\n".',
            ),
        ):
            self.assertEqual(self.refusal({name: said}), sentence)

    def test_file(self) -> None:
        for content, sentence in (
            (
                "port = 0",
                f"port in FILE must be {PORT}, not 0.",
            ),
            (
                'port = "1"',
                f'port in FILE must be {PORT}, not "1".',
            ),
            (
                "port = true",
                f"port in FILE must be {PORT}, not true.",
            ),
            (
                "port = 1.0",
                f"port in FILE must be {PORT}, not 1.0.",
            ),
            (
                "[port]",
                f"port in FILE must be {PORT}, not a table.",
            ),
            ("vcmi-console = 1", "vcmi-console in FILE must be true or false, not 1."),
            ("vcmi-motto = 1", "vcmi-motto in FILE must be a text, not 1."),
            (
                "vcmi-drinks-served = ['tea', 1]",
                'vcmi-drinks-served in FILE must be a list of texts, not ["tea", 1].',
            ),
            (
                "checks = nan",
                "vcmi-healthcheck in FILE must be a number of seconds from 1, or 0 for off, "
                "not nan.",
            ),
            ("prt = 1", 'Unknown key "prt" in FILE.'),
            ('prt = 1\nport = 0\n"a b" = 2', 'Unknown keys "prt", "a b" in FILE.'),
            ("healthcheck = 1\nchecks = 1", "The key vcmi-healthcheck is given twice in FILE."),
            ("port = 1\nport = 2", "Cannot read FILE: Cannot overwrite a value"),
            ("port", "Cannot read FILE: Expected '='"),
            (b"\xff", "Cannot read FILE: 'utf-8' codec"),
        ):
            self.assertTrue(self.refusal(NOTHING, content).startswith(sentence), content)

    def test_no_such_file(self) -> None:
        error = self.assertRaises(UsageError, load, [], NOTHING, "no/such/file")
        self.assertEqual(str(error), "Cannot read no/such/file: No such file or directory.")

    def test_nothing_else_is_read_after_an_error(self) -> None:
        """A file that will not do is refused even if the command line says better."""
        self.assertIn("port in FILE", self.refusal({"port": "1"}, "port = 0"))


class ClashTests(SynchronousTestCase):
    def clash(self, *games: Guest) -> str:
        return str(self.assertRaises(UsageError, load, games, NOTHING))

    def test_two_games_of_one_name(self) -> None:
        sentence = self.clash(Guest(title="One"), Guest(title="Two"))
        self.assertEqual(sentence, "Two games are named vcmi: One and Two.")

    def test_one_option_of_two_games(self) -> None:
        sentence = self.clash(Guest("a", "One"), Guest("b", "Two"))
        self.assertEqual(sentence, "The option capacity is claimed twice: by One and by Two.")

    def test_every_spelling_counts(self) -> None:
        @dataclass(frozen=True)
        class Alias:
            mine: int = option(1, "", aliases=("port",))

        @dataclass(frozen=True)
        class Letter:
            mine: int = option(1, "", short="p")

        @dataclass(frozen=True)
        class Command:
            mine: str = option("", "", aliases=("config",))

        @dataclass(frozen=True)
        class No:
            check: bool = option(False, "")
            other: int = option(1, "", aliases=("no-vcmi-check",))

        for declared, name in ((Alias, "port"), (Letter, "p"), (Command, "config")):
            sentence = self.clash(Guest(title="One", settings=declared))
            self.assertEqual(
                sentence, f"The option {name} is claimed twice: by The server and by One."
            )
        sentence = self.clash(Guest(title="One", settings=No))
        self.assertEqual(sentence, "The option no-vcmi-check is claimed twice: by One and by One.")


TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "port": st.integers(1, 65535),
        "interface": st.ip_addresses().map(str),
        "log-format": st.sampled_from(("text", "json")),
        "vcmi-capacity": st.integers(1, 1000),
        "vcmi-healthcheck": st.just(0) | st.floats(1, allow_infinity=False),
        "vcmi-console": st.booleans(),
        "vcmi-music": st.booleans(),
        "vcmi-motto": TEXTS,
        "vcmi-depth": st.integers(-500, 5).map(lambda n: 2 * n),
    },
)


class PrintedTests(Written):
    def again(self, config: Config) -> Config:
        """Read back what a configuration prints."""
        return load([Guest()], NOTHING, self.file("\n".join(config.lines())))

    def test_reads_well(self) -> None:
        config = load([Guest()], {"port": "6000", "vcmi-music": "FALSE"})
        lines = list(config.lines())
        self.assertEqual(
            lines[: lines.index("")],
            [
                "# The server",
                "port = 6000  # command line",
                'interface = ""  # default',
                'logging = "info"  # default',
                'log-format = "text"  # default',
            ],
        )
        self.assertEqual(
            lines[lines.index("# A guest") - 1 :],
            [
                "",
                "# A guest",
                "vcmi-capacity = 50  # default",
                "vcmi-healthcheck = 30.0  # default",
                "vcmi-console = false  # default",
                "vcmi-music = false  # command line",
                'vcmi-motto = ""  # default',
                "vcmi-drinks-served = []  # default",
                "vcmi-depth = 0  # default",
            ],
        )

    def test_no_secrets(self) -> None:
        """The password in a database's URL is not printed."""
        config = load([Guest()], {"database": "postgresql://me:secret@host/games"})
        text = "\n".join(config.lines())
        self.assertIn('database = "postgresql://me:***@host/games"  # command line', text)
        self.assertNotIn("secret", text)

    @settings(deadline=None)
    @given(VALUES)
    def test_is_a_configuration_again(self, values: dict[str, object]) -> None:
        """What is printed says the same again, whatever it is."""
        said = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in values.items()
        }
        config = load([Guest()], said)
        again = self.again(config)
        self.assertEqual((again.server, again.games), (config.server, config.games))

    @settings(deadline=None)
    @given(st.lists(TEXTS))
    def test_lists(self, drinks: list[str]) -> None:
        path = self.file(f"vcmi-drinks-served = {drinks_toml(drinks)}")
        config = load([Guest()], NOTHING, path)
        self.assertEqual(config.games["vcmi"].drinks_served, tuple(drinks))
        self.assertEqual(self.again(config).games, config.games)

    @settings(deadline=None)
    @given(
        st.sampled_from(("port", "vcmi-healthcheck", "vcmi-console", "logging", "vcmi-depth")),
        st.text(),
    )
    def test_junk(self, name: str, text: str) -> None:
        """Any text is a value or a sentence on one line."""
        try:
            config = load([Guest()], {name: text})
        except UsageError as error:
            self.assertTrue(str(error).startswith(f"--{name} must be "))
            self.assertEqual(len(str(error).split("\n")), 1)
        else:
            self.assertTrue(math.isfinite(config.games["vcmi"].healthcheck))
            tomllib.loads("\n".join(config.lines()))


def drinks_toml(drinks: list[str]) -> str:
    """A TOML array of strings in which every character is escaped."""
    return (
        "["
        + ",".join('"' + "".join(f"\\U{ord(c):08x}" for c in drink) + '"' for drink in drinks)
        + "]"
    )
