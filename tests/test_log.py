"""The forms of the log, and where it goes."""

from __future__ import annotations

import io
import json
import os
import sys
import syslog
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.logger import LogEvent, Logger, LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gameservers.log import LEVELS, Log, LogFile, as_json, is_said_better, target_of


def event(level: LogLevel = LogLevel.info, **fields: Any) -> LogEvent:
    """One event as a logger makes it."""
    events: list[LogEvent] = []
    Logger("here", observer=events.append).emit(level, fields.pop("format", "said"), **fields)
    return events[0] | {"log_time": 0.0}


class FilterTests(SynchronousTestCase):
    def test_a_port_is_announced_once(self) -> None:
        """Twisted's line of a port is left out, and none of ours or of its others."""
        for text, namespace, left_out in (
            ("Door starting on 5002", "log_legacy", True),
            ("(TCP Port 5002 Closed)", "log_legacy", False),
            ("the match is starting on 5002", "here", False),
        ):
            said = {"log_text": text, "log_namespace": namespace}
            self.assertIs(is_said_better(said), left_out, text)


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
        observe = Log({"logfile": str(path), "nodaemon": False}, level, form)
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
        Log({"logfile": str(path)}, "info", "text")(event(format="{name}", name="a\nb"))
        self.assertEqual([line[:1] for line in path.read_text().splitlines()][1:], ["\t"])

    def test_text_is_printable(self) -> None:
        """What is not is escaped, also what some programs take for the end of a line."""
        path = Path(self.mktemp())
        name = "zoë \x1b[2J\r\x85\u2028\u202eabc\ud800"
        Log({"logfile": str(path)}, "info", "text")(event(format="{name}", name=name))
        (line,) = path.read_text(encoding="utf-8").splitlines()
        shown = r"zoë \x1b[2J\r\x85\u2028\u202eabc\ud800"
        self.assertTrue(line.endswith(shown), line)

    def test_syslog(self) -> None:
        lines: list[tuple[int, str]] = []
        with (
            patch.object(syslog, "openlog") as opened,
            patch.object(syslog, "syslog", lambda *line: lines.append(line)),
        ):
            observe = Log({"syslog": True, "prefix": "games"}, "info", "json")
            observe(event(LogLevel.warn, format="careful"))
        opened.assert_called_once_with("games")
        ((severity, line),) = lines
        self.assertEqual(severity, syslog.LOG_WARNING)
        self.assertEqual(json.loads(line)["message"], "careful")

    def test_changed(self) -> None:
        """Level and form can change while the log is in use."""
        path = Path(self.mktemp())
        observe = Log({"logfile": str(path)}, "info", "text")
        observe(event(LogLevel.debug, format="unheard"))
        observe.change(logging="debug")
        observe(event(LogLevel.debug, format="one"))
        observe.change(log_format="json")
        observe(event(LogLevel.debug, format="two"))
        one, two = path.read_text().splitlines()
        self.assertTrue(one.endswith("[here#debug] one"))
        self.assertEqual(json.loads(two)["message"], "two")

    def test_another_logger(self) -> None:
        """If the operator has one, no file is opened."""
        path = Path(self.mktemp())
        observe = Log({"logfile": str(path), "logger": "some.where"}, "info", "text")
        observe(event())
        observe.reopen()
        self.assertFalse(path.exists())


class TargetTests(SynchronousTestCase):
    def test_standard_output(self) -> None:
        for name in (None, "", "-"):
            with patch.object(sys, "stdout", io.StringIO()) as out:
                target = target_of({"logfile": name, "nodaemon": True})
                target.write("one\n", {})
                target.reopen()
                target.write("two\n", {})
            self.assertEqual(out.getvalue(), "one\ntwo\n")

    def test_a_daemon_has_none(self) -> None:
        error = self.assertRaises(SystemExit, target_of, {"logfile": "-"})
        self.assertEqual(error.code, "A daemon cannot log to standard output.")

    def test_a_daemon_logs_to_twistd_log(self) -> None:
        with patch("gameservers.log.LogFile") as opened:
            target_of({})
        opened.assert_called_once_with("twistd.log")

    def test_cannot_be_opened(self) -> None:
        error = self.assertRaises(SystemExit, target_of, {"logfile": "/none/there.log"})
        self.assertEqual(
            error.code,
            "gameserver: cannot open the log /none/there.log: No such file or directory.",
        )


class LogFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.addCleanup(os.umask, os.umask(0))

    def mode(self) -> int:
        return self.path.stat().st_mode & 0o777

    def test_renamed(self) -> None:
        """After a rename it goes on in the renamed file, until it is opened again by its name."""
        log = LogFile(str(self.path))
        log.write("one\n", {})
        renamed = self.path.with_name("renamed")
        self.path.rename(renamed)
        log.write("two\n", {})
        self.assertFalse(self.path.exists())
        log.reopen()
        log.write("three\n", {})
        self.assertEqual(renamed.read_text(), "one\ntwo\n")
        self.assertEqual(self.path.read_text(), "three\n")

    def test_not_renamed(self) -> None:
        """Nothing is lost or overwritten."""
        self.path.write_text("one\n")
        log = LogFile(str(self.path))
        log.write("two\n", {})
        log.reopen()
        log.write("three\n", {})
        self.assertEqual(self.path.read_text(), "one\ntwo\nthree\n")

    def test_cannot_be_reopened(self) -> None:
        """It goes on where it was, and says so."""
        log = LogFile(str(self.path))
        renamed = self.path.with_name("renamed too")
        self.path.rename(renamed)
        self.path.mkdir()
        with capturedLogs() as events:
            log.reopen()
        self.assertEqual([each["path"] for each in events], [str(self.path.absolute())])
        log.write("on\n", {})
        self.assertEqual(renamed.read_text(), "on\n")

    def test_mode(self) -> None:
        """Whatever the umask, and the mode of a file that is there: 0640 at most."""
        LogFile(str(self.path))
        self.assertEqual(self.mode(), 0o640)
        for before, after in ((0o666, 0o640), (0o604, 0o600), (0o600, 0o600)):
            self.path.chmod(before)
            log = LogFile(str(self.path))
            self.assertEqual(self.mode(), after)
            self.path.chmod(before)
            log.reopen()
            self.assertEqual(self.mode(), after)

    def test_odd_text(self) -> None:
        """Half a surrogate pair does not end the log."""
        LogFile(str(self.path)).write("\ud800\n", {})
        self.assertEqual(self.path.read_text(), "\\ud800\n")
