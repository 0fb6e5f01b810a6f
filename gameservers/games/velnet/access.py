"""
Password checks, by Twisted's credentials checkers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import makeChecker
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger


class Access:
    """
    Admits a client if one of the checkers accepts it; without a checker, every client.

    Twisted's own checkers differ in the type of a name: C{memory} and C{unix} expect text, C{file}
    expects bytes.  So each is asked with both.
    """

    _log = Logger()

    def __init__(self, specifications: Iterable[str]) -> None:
        self._checkers = [makeChecker(each) for each in specifications]

    async def admits(self, name: str, password: bytes) -> bool:
        """Whether the password is right for this name."""
        spellings: list[tuple[Any, Any]] = [
            (name, password.decode("utf-8", "surrogateescape")),
            (name.encode(), password),
        ]
        for checker in self._checkers:
            for spelling in spellings:
                if await self._knows(checker, UsernamePassword(*spelling)):
                    return True
        return not self._checkers

    async def _knows(self, checker: ICredentialsChecker, credentials: UsernamePassword) -> bool:
        try:
            await maybeDeferred(checker.requestAvatarId, credentials)
        except (UnauthorizedLogin, TypeError):
            return False
        except Exception:
            self._log.failure("A credentials checker failed")
            return False
        return True
