"""The forms of the log, and where it goes."""

from __future__ import annotations

import json
import signal
import sys
import syslog
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.logger import LogEvent, Logger, LogLevel, PredicateResult
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gameservers.log import LEVELS, as_json, log_file, observer, unless_said_better


def event(level: LogLevel = LogLevel.info, **fields: Any) -> LogEvent:
    """One event as a logger makes it."""
    events: list[LogEvent] = []
    Logger("here", observer=events.append).emit(level, fields.pop("format", "said"), **fields)
    return events[0] | {"log_time": 0.0}


class FilterTests(SynchronousTestCase):
    def test_a_port_is_announced_once(self) -> None:
        """Twisted's line of a port is left out, and none of ours or of its others."""
        for text, namespace, kept in (
            ("Door starting on 5002", "log_legacy", PredicateResult.no),
            ("(TCP Port 5002 Closed)", "log_legacy", PredicateResult.maybe),
            ("the match is starting on 5002", "here", PredicateResult.maybe),
        ):
            said = {"log_text": text, "log_namespace": namespace}
            self.assertIs(unless_said_better(said), kept, text)


class JsonTests(SynchronousTestCase):
    def test_an_event_is_one_line(self) -> None:
        line = as_json(event(format="{player}\njoined", player="bob\n", at=b"\xff", room=None))
        self.assertEqual(line.count("\n"), 1)
        record = json.loads(line)
        self.assertRegex(record.pop("time"), r"^(1970-01-01|1969-12-31)T\d\d:\d\d:\d\d[+-]\d{4}$")
        self.assertEqual(
            record,
            {
                "level": "info",
                "namespace": "here",
                "message": "bob\n\njoined",
                "player": "bob\n",
                "at": "b'\\xff'",
                "room": None,
            },
        )

    def test_fields_do_not_hide_what_every_line_has(self) -> None:
        record = json.loads(as_json(event(namespace="mine", message="mine", format="theirs")))
        self.assertEqual((record["namespace"], record["message"]), ("here", "theirs"))

    def test_failure(self) -> None:
        try:
            raise ValueError("bad luck")
        except ValueError:
            failure = Failure()
        record = json.loads(as_json(event(LogLevel.critical, log_failure=failure)))
        self.assertEqual(record["level"], "critical")
        self.assertIn("ValueError: bad luck", record["traceback"])

    def test_old_style_event(self) -> None:
        """What Twisted's older parts log has no fields worth a line."""
        old = event(format="{log_text}", log_text="Port Closed", isError=0, system="-")
        record = json.loads(as_json(old | {"log_namespace": "log_legacy"}))
        self.assertEqual(set(record), {"time", "level", "namespace", "message"})
        self.assertEqual(record["message"], "Port Closed")


class ObserverTests(SynchronousTestCase):
    def logged(self, level: str, form: str = "text") -> list[str]:
        """The lines that a file gets when an event of every level happens."""
        path = Path(self.mktemp())
        observe = observer({"logfile": str(path), "nodaemon": False}, level, form)
        for each in LogLevel.iterconstants():
            observe(event(each, format=f"this is {each.name}"))
        return path.read_text().splitlines()

    def test_levels(self) -> None:
        names = ["debug", "info", "warning", "error", "critical"]
        for position, name in enumerate(names):
            kept = [line.rpartition(" ")[2] for line in self.logged(name)]
            self.assertEqual(kept, [LEVELS.get(name, name) for name in names[position:]])

    def test_text(self) -> None:
        (line,) = self.logged("critical")
        self.assertRegex(
            line, r"^19[67]\d-\d\d-\d\dT[0-9:+-]+ \[here#critical\] this is critical$"
        )

    def test_json(self) -> None:
        (line,) = self.logged("critical", "json")
        self.assertEqual(json.loads(line)["message"], "this is critical")

    def test_text_cannot_forge_a_line(self) -> None:
        path = Path(self.mktemp())
        observer({"logfile": str(path)}, "info", "text")(event(format="{name}", name="a\nb"))
        self.assertEqual([line[:1] for line in path.read_text().splitlines()][1:], ["\t"])

    def test_syslog(self) -> None:
        lines: list[tuple[int, str]] = []
        with (
            patch.object(syslog, "openlog") as opened,
            patch.object(syslog, "syslog", lambda *line: lines.append(line)),
        ):
            observe = observer({"syslog": True, "prefix": "games"}, "info", "json")
            observe(event(LogLevel.warn, format="careful"))
        opened.assert_called_once_with("games")
        ((severity, line),) = lines
        self.assertEqual(severity, syslog.LOG_WARNING)
        self.assertEqual(json.loads(line)["message"], "careful")


class LogFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))

    def test_standard_output(self) -> None:
        for name in (None, "", "-"):
            self.assertIs(log_file(name, nodaemon=True), sys.stdout)

    def test_a_daemon_has_none(self) -> None:
        error = self.assertRaises(SystemExit, log_file, "-", nodaemon=False)
        self.assertEqual(error.code, "A daemon cannot log to standard output.")

    def test_a_daemon_logs_to_twistd_log(self) -> None:
        self.assertEqual(Path(log_file(None, nodaemon=False).path).name, "twistd.log")

    def test_sigusr1_rotates(self) -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        path = Path(self.mktemp())
        opened = log_file(str(path), nodaemon=True)
        opened.write("before\n")
        handler: Any = signal.getsignal(signal.SIGUSR1)
        with patch("twisted.internet.reactor.callFromThread", lambda call: call()):
            handler(signal.SIGUSR1, None)
        opened.write("after\n")
        opened.flush()
        self.assertEqual(path.with_name(path.name + ".1").read_text(), "before\n")
        self.assertEqual(path.read_text(), "after\n")
