"""
The check of passwords: Twisted's credentials checkers, asked about a name and a password.
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
    Admits a client that one of the checkers knows; without a checker, every client.

    Twisted's own checkers disagree about what a name is: C{memory} and C{unix} want text,
    C{file} wants bytes.  So each is asked in both spellings.
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
