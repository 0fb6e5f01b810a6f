"""
The server's log: which messages are kept, in what form, and where they go.

L{observer} makes the C{ILogObserver} component that twistd asks an application for, so that
twistd's own C{--logfile}, C{--nodaemon}, C{--syslog} and C{--prefix} keep their meaning, and a
C{--logger} given by the operator takes precedence.

In the form C{text} an event is one line: time (ISO 8601, with the offset from UTC), namespace
and level, message; further lines of a traceback begin with a tab.  In the form C{json} it is
one JSON object on one line::

    {"time": "2026-01-31T12:00:00+0000", "level": "info", "namespace": "gameservers.tap",
     "message": "...", <the structured fields of the event>, "traceback": <of a failure>}
"""

from __future__ import annotations

import json
import signal
import sys
import syslog
from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    formatEvent,
    formatEventAsClassicLogText,
    formatTime,
)
from twisted.python.logfile import LogFile
from twisted.python.reflect import safe_str
from zope.interface import implementer, provider

#: Levels whose usual name differs from Twisted's.
LEVELS = {"warning": "warn"}

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


def level_of(event: LogEvent) -> Any:
    """The level of an event."""
    return event.get("log_level") or LogLevel.info


@implementer(ILogObserver)
class SyslogObserver:
    """Sends each line to syslog, with the severity of its event."""

    def __init__(self, prefix: str, form: Callable[[LogEvent], str | None]) -> None:
        self._form = form
        syslog.openlog(prefix)

    def __call__(self, event: LogEvent) -> None:
        for line in (self._form(event) or "").splitlines():
            syslog.syslog(SEVERITIES[level_of(event)], line)


def log_file(name: str | None, nodaemon: bool) -> Any:
    """Open what twistd's C{--logfile} names: standard output, or a file that rotates."""
    if nodaemon and name in (None, "", "-"):
        return sys.stdout
    if name == "-":
        sys.exit("A daemon cannot log to standard output.")
    opened: Any = LogFile.fromFullPath(name or "twistd.log")

    def rotate(number: int, frame: object) -> None:
        from twisted.internet import reactor

        reactor.callFromThread(opened.rotate)  # type: ignore[attr-defined]

    if hasattr(signal, "SIGUSR1") and not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, rotate)
    return opened


def observer(twistd: Mapping[str, Any], level: str, form: str) -> ILogObserver:
    """
    Make the observer that keeps events of a level and above.

    @param twistd: twistd's own options.
    @param level: as in C{--logging}.
    @param form: as in C{--log-format}.
    """
    formatted = as_json if form == "json" else formatEventAsClassicLogText
    target: ILogObserver
    if twistd.get("syslog"):
        target = SyslogObserver(twistd.get("prefix", ""), formatted)
    else:
        nodaemon = bool(twistd.get("nodaemon"))
        target = FileLogObserver(log_file(twistd.get("logfile"), nodaemon), formatted)
    least = LogLevel.levelWithName(LEVELS.get(level, level))
    return FilteringLogObserver(target, [LogLevelFilterPredicate(least), unless_said_better])


@provider(ILogFilterPredicate)
def unless_said_better(event: LogEvent) -> Any:
    """
    Filter out Twisted's own message for a port, which has neither its address nor its transport.
    """
    if event.get("log_namespace") == "log_legacy" and " starting on " in event.get("log_text", ""):
        return PredicateResult.no
    return PredicateResult.maybe
