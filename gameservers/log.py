"""
The server's log: which messages are kept, in what form, and where they go.

L{Log} is the C{ILogObserver} component that twistd asks an application for, so that twistd's own
C{--logfile}, C{--nodaemon}, C{--syslog} and C{--prefix} keep their meaning.

In the form C{text} an event is one line: time (ISO 8601, with the offset from UTC), namespace
and level, message; further lines of a traceback begin with a tab.  In the form C{json} it is
one JSON object on one line::

    {"time": "2026-01-31T12:00:00+0000", "level": "info", "namespace": "gameservers.tap",
     "message": "...", <the structured fields of the event>, "traceback": <of a failure>}
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import syslog
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol, TextIO

from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    formatEvent,
    formatEventAsClassicLogText,
    formatTime,
)
from twisted.python.reflect import safe_str
from zope.interface import implementer

#: Levels whose usual name differs from Twisted's.
LEVELS = {"warning": "warn"}

#: What a log file may allow: reading and writing to its owner, reading to its group.
MODE = 0o640

#: A character that may not be printable.
_UNUSUAL = re.compile(r"[^\n\t\x20-\x7e]")

#: The syslog severity of each level.
SEVERITIES = {
    LogLevel.debug: syslog.LOG_DEBUG,
    LogLevel.info: syslog.LOG_INFO,
    LogLevel.warn: syslog.LOG_WARNING,
    LogLevel.error: syslog.LOG_ERR,
    LogLevel.critical: syslog.LOG_CRIT,
}


def as_json(event: LogEvent) -> str:
    """Format an event as one line of JSON."""
    record = {
        "time": formatTime(event.get("log_time")),
        "level": level_of(event).name,
        "namespace": event.get("log_namespace", ""),
        "message": formatEvent(event),
    }
    if record["namespace"] != "log_legacy":  # its fields only repeat the message
        for key, value in event.items():
            if not key.startswith("log_"):
                record.setdefault(key, value)
    if "log_failure" in event:
        record["traceback"] = event["log_failure"].getTraceback()
    return json.dumps(record, default=safe_str, skipkeys=True) + "\n"


def as_text(event: LogEvent) -> str | None:
    """
    Format an event as a line of text, and lines for a traceback.

    What a client has chosen, such as a name, cannot begin a line, move the terminal's cursor or
    turn the text around: line ends are followed by a tab, and what cannot be printed is escaped.
    """
    text = formatEventAsClassicLogText(event)
    return None if text is None else _UNUSUAL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def level_of(event: LogEvent) -> Any:
    """The level of an event."""
    return event.get("log_level") or LogLevel.info


class Target(Protocol):
    """Where formatted events go."""

    def write(self, text: str, event: LogEvent) -> None:
        """Keep an event."""

    def reopen(self) -> None:
        """Open anew what has a name that something else may have now."""


class Syslog:
    """Sends each line to syslog, with the severity of its event."""

    def __init__(self, prefix: str) -> None:
        syslog.openlog(prefix)

    def write(self, text: str, event: LogEvent) -> None:
        for line in text.splitlines():
            syslog.syslog(SEVERITIES[level_of(event)], line)

    def reopen(self) -> None:
        """It has no name."""


class StandardOutput:
    """Writes to what is standard output at the start."""

    def __init__(self) -> None:
        self._stream = sys.stdout

    def write(self, text: str, event: LogEvent) -> None:
        self._stream.write(text)
        self._stream.flush()

    def reopen(self) -> None:
        """It has no name."""


class LogFile:
    """
    Appends to a file, which another program may rename.

    Others than its owner and group cannot read it (see L{MODE}), also if it was there before.

    @ivar path: its absolute path.
    """

    _log = Logger()

    def __init__(self, name: str) -> None:
        """Open the file; raises L{OSError}."""
        self.path = os.path.abspath(name)
        self._file = self._open()

    def _open(self) -> TextIO:
        opened = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, MODE)
        status = os.fstat(opened)
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISREG(status.st_mode) and mode & ~MODE:
            with suppress(OSError):  # it is another user's
                os.fchmod(opened, mode & MODE)
        return open(opened, "a", encoding="utf-8", errors="backslashreplace")

    def write(self, text: str, event: LogEvent) -> None:
        self._file.write(text)
        self._file.flush()

    def reopen(self) -> None:
        before = self._file
        try:
            self._file = self._open()
        except OSError as problem:
            self._log.error("{path} stays open: {problem}", path=self.path, problem=problem)
        else:
            before.close()


def target_of(twistd: Mapping[str, Any]) -> Target:
    """What twistd's options name: syslog, standard output or a file."""
    if twistd.get("syslog"):
        return Syslog(twistd.get("prefix", ""))
    name = twistd.get("logfile")
    nodaemon = twistd.get("nodaemon")
    if nodaemon and name in (None, "", "-"):
        return StandardOutput()
    if name == "-":
        sys.exit("A daemon cannot log to standard output.")
    try:
        return LogFile(name or "twistd.log")
    except OSError as problem:
        sys.exit(f"gameserver: cannot open the log {name}: {problem.strerror}.")


@implementer(ILogObserver)
class Log:
    """Keeps the events of a level and above, in a form."""

    _least: Any
    _format: Callable[[LogEvent], str | None]

    def __init__(self, twistd: Mapping[str, Any], level: str, form: str) -> None:
        """
        Open the log that twistd's options name.

        If they have a C{--logger}, twistd never uses this one, and no file is opened.

        @param level: as in C{--logging}.
        @param form: as in C{--log-format}.
        """
        self._target = None if twistd.get("logger") else target_of(twistd)
        self.change(logging=level, log_format=form)

    def __call__(self, event: LogEvent) -> None:
        if self._target is None or level_of(event) < self._least or is_said_better(event):
            return
        text = self._format(event)
        if text:
            self._target.write(text, event)

    def change(self, *, logging: str | None = None, log_format: str | None = None) -> None:
        """Keep events of another level, or in another form, from now on."""
        if logging is not None:
            self._least = LogLevel.levelWithName(LEVELS.get(logging, logging))
        if log_format is not None:
            self._format = as_json if log_format == "json" else as_text

    def reopen(self) -> None:
        """Open the file again by its name, after another program has renamed it."""
        if self._target is not None:
            self._target.reopen()


def is_said_better(event: LogEvent) -> bool:
    """
    Whether an event is Twisted's own for a port, which has neither its address nor its transport.
    """
    text = event.get("log_text", "")
    return event.get("log_namespace") == "log_legacy" and " starting on " in text
