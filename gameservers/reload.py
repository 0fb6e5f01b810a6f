"""
SIGHUP: the configuration and the certificate are read again while the server runs.

Options that are in use by name at the moment they matter (L{LIVE}) change at once; for any other
the log says that it needs a restart.  A configuration with an error changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.logger import Logger
from twisted.python.usage import UsageError

from gameservers.config.tree import Config, Setting, toml
from gameservers.log import Log
from gameservers.net.guard import Guard
from gameservers.net.tls import Certificates

#: Options of the log, and of the door, that change while the server runs.
LOG = frozenset({"logging", "log-format"})
DOOR = frozenset(
    {
        "max-connections",
        "max-pending-logins",
        "max-per-address",
        "first-byte-timeout",
        "login-timeout",
        "keepalive",
    }
)

#: Options of the certificate, which change while the server runs if it has one before and after.
TLS = ("tls-cert", "tls-key")

#: All that change while the server runs.
LIVE = LOG | DOOR | {*TLS}


class Reload:
    """Reads the configuration again and applies what can be applied."""

    _log = Logger()

    def __init__(
        self,
        config: Config,
        read: Callable[[], Config],
        guard: Guard,
        certificates: Certificates | None,
        log: Log | None,
    ) -> None:
        """
        Apply changes to these parts of the server.

        @param config: the configuration with which the server has started.
        @param read: reads it again, or raises L{UsageError}.
        """
        self._values = {name: value for name, (_, value) in config.values.items()}
        self._read = read
        self._guard = guard
        self._certificates = certificates
        self._observer = log

    def __call__(self) -> None:
        """Read everything again; the log says what has changed, and what needs a restart."""
        try:
            values = self._read().values
        except UsageError as error:
            self._log.error("The configuration stays as it was: {error}", error=error)
            values = {}
        changed = {
            name: (setting, value)
            for name, (setting, value) in values.items()
            if value != self._values[name]
        }
        if values and not changed:
            self._log.info("The configuration has not changed")
        live = LOG | DOOR | self._renew({name: value for name, (_, value) in changed.items()})
        for name, (setting, value) in changed.items():
            if name not in live:
                self._say("{option} = {new} needs a restart; it stays {old}", setting, value)
                continue
            if name in DOOR:
                self._guard.settings = replace(self._guard.settings, **{setting.field: value})
            elif name in LOG and self._observer is not None:
                self._observer.change(**{setting.field: value})
            self._say("{option} is {new} now; it was {old}", setting, value)
            self._values[name] = value

    def _renew(self, changed: dict[str, Any]) -> Set[str]:
        """
        Read the certificate again, also if its name is the same.

        @return: the options of it that have taken effect.
        """
        certificate, key = (changed.get(each, self._values[each]) for each in TLS)
        if self._certificates is None or not (certificate and key):
            return frozenset()
        renewed = self._certificates.reload(Path(certificate), Path(key))
        return frozenset(TLS) if renewed else frozenset()

    def _say(self, words: str, setting: Setting, value: Any) -> None:
        shown = setting.option.shown or (lambda value: value)
        old, new = (toml(shown(each)) for each in (self._values[setting.name], value))
        self._log.info(words, option=setting.name, new=new, old=old)
