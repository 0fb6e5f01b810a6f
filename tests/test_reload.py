"""What changes while the server runs, and what needs a restart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

import gameservers
from gameservers.config.command_line import options_for
from gameservers.config.tree import Known
from gameservers.log import Log
from gameservers.metrics import Metrics
from gameservers.net.guard import Guard
from gameservers.net.tls import certificates_of
from gameservers.reload import DOOR, LIVE, Reload
from tests.guests import Guest
from tests.net.test_tls import Client, write_pair


class ReloadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.file = self.folder / "config.toml"

    def start(self, before: str, *arguments: str) -> None:
        self.file.write_text(before)
        options = options_for([Guest()])
        options.parseOptions([f"--config={self.file}", *arguments])
        config = options.config
        self.guard = Guard(Clock(), config.door, Metrics())
        self.log_file = self.folder / "log"
        self.log = Log({"logfile": str(self.log_file)}, config.server.logging, "text")
        self.certificates: Any = certificates_of(config.door.tls_cert, config.door.tls_key, False)
        self.reload = Reload(config, options.load_again, self.guard, self.certificates, self.log)

    def change(self, after: str) -> list[str]:
        """What is logged when the file has become this."""
        self.file.write_text(after)
        with capturedLogs() as events:
            self.reload()
        return [each["log_format"].format(**each) for each in events]

    def test_nothing(self) -> None:
        self.start("max-connections = 7")
        said = ["The configuration has not changed"]
        self.assertEqual(self.change("max-connections = 7\n# a comment"), said)

    def test_limits_of_the_door(self) -> None:
        """Each applies to the next connection."""
        self.start("")
        for name in DOOR:
            field = name.replace("-", "_")
            before = getattr(self.guard.settings, field)
            said = self.change(f"{name} = 3")
            self.assertIn(f"{name} is 3 now; it was {before}", said)
            self.assertEqual(getattr(self.guard.settings, field), 3)

    def test_log(self) -> None:
        self.start("logging = 'error'")
        said = self.change("logging = 'debug'\nlog-format = 'json'")
        self.assertEqual(
            said,
            ['logging is "debug" now; it was "error"', 'log-format is "json" now; it was "text"'],
        )
        self.log({"log_level": LogLevel.debug, "log_namespace": "here", "log_format": "said"})
        self.assertIn('"message": "said"', self.log_file.read_text())

    def test_restart(self) -> None:
        """Anything else is said each time, until there was one."""
        self.start("")
        for _ in range(2):
            said = self.change("port = 6000\nvcmi-depth = 4")
            self.assertEqual(
                said,
                [
                    "port = 6000 needs a restart; it stays 5002",
                    "vcmi-depth = 4 needs a restart; it stays 0",
                ],
            )

    def test_secrets(self) -> None:
        """A password is not logged."""
        self.start("database = 'mariadb://u:secret1@h/n'")
        (said,) = self.change("database = 'mariadb://u:secret2@h/n'")
        self.assertTrue(said.startswith("database = "), said)
        self.assertNotIn("secret", said)

    def test_command_line(self) -> None:
        """It still goes before the file."""
        self.start("max-connections = 7", "--max-connections=8")
        self.assertEqual(self.change("max-connections = 9"), ["The configuration has not changed"])

    def test_errors(self) -> None:
        """A file with any error changes nothing at all."""
        self.start("max-connections = 7")
        for after in ("max-connections = 8\nport = 0", "max-connections = 8\nnonsense", "x = 1"):
            (said,) = self.change(after)
            self.assertTrue(said.startswith("The configuration stays as it was: "), said)
            self.assertEqual(self.guard.settings.max_connections, 7)
        self.file.unlink()
        with capturedLogs() as events:
            self.reload()
        self.assertIn("No such file", str(events[0]["error"]))

    def test_certificate(self) -> None:
        """It is read again, under its old name or a new one, also if the rest has an error."""
        cert, key = write_pair(self.folder, "one")
        self.start(f"tls-cert = '{cert}'\ntls-key = '{key}'")
        write_pair(self.folder, "two")
        self.change("nonsense = 1")
        self.assertEqual(Client(self.certificates).name, "two")
        other = self.folder / "other"
        other.mkdir()
        new_cert, new_key = write_pair(other, "three")
        said = self.change(f"tls-cert = '{new_cert}'\ntls-key = '{new_key}'")
        self.assertIn(f'tls-cert is "{new_cert}" now; it was "{cert}"', said)
        self.assertEqual(Client(self.certificates).name, "three")

    def test_wrong_certificate(self) -> None:
        """Both names stay."""
        cert, key = write_pair(self.folder, "one")
        self.start(f"tls-cert = '{cert}'\ntls-key = '{key}'")
        said = self.change(f"tls-cert = '{cert}'\ntls-key = '/none'")
        self.assertTrue(said[0].startswith("The certificate stays as it was: /none "), said)
        self.assertEqual(Client(self.certificates).name, "one")
        said = self.change(f"tls-cert = '{cert}'\ntls-key = '{key}'")
        self.assertEqual(
            said, ["The configuration has not changed", f"Read the certificate {cert} again"]
        )

    def test_tls_on_and_off(self) -> None:
        """That needs a restart."""
        cert, key = write_pair(self.folder, "one")
        text = f"tls-cert = '{cert}'\ntls-key = '{key}'"
        self.start("")
        said = self.change(text)
        self.assertEqual(len(said), 2)
        self.assertTrue(all("needs a restart" in each for each in said), said)
        self.start(text)
        self.assertTrue(all("needs a restart" in each for each in self.change("")))

    def test_documented(self) -> None:
        """The documentation has the same list."""
        docs = Path(gameservers.__file__).parent.parent / "docs" / "operations.rst"
        if not docs.exists():
            self.skipTest("the documentation is not installed")
        self.assertLess(LIVE, Known([]).names.keys())
        text = docs.read_text(encoding="utf-8").partition("change while the server runs:")[2]
        listed = re.findall(r"``--([a-z-]+)``", text.partition(".  ")[0])
        self.assertEqual(set(listed), LIVE)
