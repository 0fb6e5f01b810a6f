"""
Authentication: names, passwords and log-in sessions.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gameservers.games.tictactoe import elo, wire, words
from gameservers.games.tictactoe.attempts import AdmissionQueue, Attempts
from gameservers.games.tictactoe.records import LoginSession, TicTacToeRecords
from gameservers.games.tictactoe.settings import TicTacToeSettings
from gameservers.net.connection import Reason
from gameservers.net.guard import place_of
from gameservers.store import Account, NameTaken, NotFound, StoreError
from gameservers.store.passwords import Busy, Passwords

#: Maximum number of log-ins with a password in progress from one address.  Further ones wait, so
#: that many players behind one address are served, and password guesses stop at the limit.
AT_ONCE = 8

#: Maximum number of waiting password checks, from all addresses together.
MAX_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class Admitted:
    """
    A successful log-in.

    @ivar response: the message to the client.
    @ivar new: whether the session is new, which invalidates older ones of the account.
    """

    session: LoginSession
    response: str
    new: bool


@dataclass(frozen=True, slots=True)
class Denied:
    """
    A refused log-in.

    @ivar response: the message to the client.
    @ivar detail: for the log.
    """

    response: str
    detail: str
    reason: Reason = Reason.REFUSED


class WrongPassword(Exception):
    """The password is not the account's; the text is for the client."""


class TooManyAttempts(Exception):
    """There were too many attempts; the text is for the client."""


class Authenticator:
    """
    Decides about log-ins.

    @ivar now: returns the present moment, aware.
    """

    def __init__(
        self,
        records: TicTacToeRecords,
        passwords: Passwords,
        settings: TicTacToeSettings,
        now: Callable[[], datetime],
        place_of: Callable[[str], str] = place_of,
    ) -> None:
        """Check log-ins; C{place_of} is C{""} for hosts that may take any number of names."""
        self._records = records
        self._passwords = passwords
        self._now = now
        self._lifetimes = {
            True: timedelta(seconds=settings.session_lifetime),
            False: timedelta(seconds=settings.temporary_lifetime),
        }

        def seconds() -> float:
            return now().timestamp()

        self._by_name = Attempts(settings.login_attempts, seconds)
        self._by_address = Attempts(settings.login_attempts_per_address, seconds)
        self._new_names = Attempts(settings.new_names_per_address, seconds)
        self._place_of = place_of
        self._queues: dict[str, AdmissionQueue] = {}  # by address
        self._queued = 0

    async def log_in(self, message: wire.LogIn, address: str) -> Admitted | Denied:
        """Log in with a password, creating the account if needed, or temporarily without one."""
        name = wire.fold_name(message.name)
        if name is None or len(message.password) > wire.MAX_PASSWORD:
            return BAD_LOGIN
        try:
            if message.password == "":
                return await self._open_temporary(name, self._place_of(address))
            return await self._log_in(name, message.password, address)
        except TooManyAttempts as limit:
            return _denied(str(limit), Reason.FLOOD, registered=bool(message.password))
        except (Busy, StoreError):
            return _denied(words.UNAVAILABLE, Reason.FAILED, registered=bool(message.password))

    async def reconnect(self, message: wire.Reconnect) -> Admitted | Denied:
        """Log in with an existing session."""
        now = self._now()
        try:
            session = await self._records.session(message.session_id)
            if session is None or session.last_seen < now - self._lifetimes[session.registered]:
                return NO_SESSION
            await self._records.touch([session.id], now)
        except StoreError:
            return _not_back(words.UNAVAILABLE, Reason.FAILED)
        response = wire.reconnect_response(True, session.id, session.name, session.registered, "")
        return Admitted(session, response, new=False)

    async def _log_in(self, name: str, password: str, address: str) -> Admitted | Denied:
        """Log in after waiting for other log-ins from the same address."""
        if self._queued >= MAX_WAITING:
            raise Busy
        place = place_of(address)  # guesses from a trusted address are limited, too
        queue = self._queues.setdefault(place, AdmissionQueue(AT_ONCE))
        self._queued += 1
        await queue.turn()
        try:
            return await self._attempt(name, password, place, self._place_of(address))
        finally:
            self._queued -= 1
            queue.done()
            if queue.is_empty:
                self._queues.pop(place, None)

    async def _attempt(
        self, name: str, password: str, place: str, names_from: str
    ) -> Admitted | Denied:
        self._begin((self._by_name, name), (self._by_address, place))
        try:
            text = await self._prove(name, password, names_from)
        except WrongPassword as wrong:
            return _denied(str(wrong))
        except Exception:  # it is not known if the password was wrong
            self._by_name.give_back(name)
            self._by_address.give_back(place)
            raise
        self._by_name.clear(name)
        self._by_address.give_back(place)
        return await self._open_session(name, text.format(name))

    async def _prove(self, name: str, password: str, place: str) -> str:
        """
        Check the password, or create the account.

        @return: the text for the client.
        @raise WrongPassword: the password is not the account's.
        """
        account = await self._records.account(name)
        if account is None:
            if place:
                self._begin((self._new_names, place))
            record = await self._passwords.make(password)
            try:
                await self._records.create_account(Account(name, self._now(), record), elo.START)
                return words.REGISTERED
            except NameTaken:
                # By a temporary session, or by another log-in at the same moment.
                account = await self._records.account(name)
                if account is None:
                    raise WrongPassword(words.NAME_RESERVED.format(name)) from None
        checked = await self._passwords.check(account.password, password)
        if not checked.right:
            raise WrongPassword(words.WRONG_PASSWORD.format(name))
        if checked.replacement is not None:
            await self._records.change_password(name, checked.replacement)
        return words.LOGGED_IN

    def _begin(self, *counted: tuple[Attempts, str]) -> None:
        """
        Count an attempt under all these keys; raises L{TooManyAttempts} if one of them must wait.
        """
        wait = max(attempts.wait(key) for attempts, key in counted)
        if wait > 0:
            raise TooManyAttempts(words.TOO_MANY_ATTEMPTS.format(math.ceil(wait)))
        for attempts, key in counted:
            attempts.begin(key)

    async def _open_session(self, name: str, text: str) -> Admitted | Denied:
        session = LoginSession(secrets.token_hex(16), name, True, self._now())
        try:
            await self._records.open_session(session.id, name, session.last_seen)
        except NotFound:  # the account was removed a moment ago
            return _denied(words.NAME_RESERVED.format(name))
        return Admitted(session, wire.login_response(True, session.id, True, text), new=True)

    async def _open_temporary(self, name: str, place: str) -> Admitted | Denied:
        if place:
            self._begin((self._new_names, place))
        session = LoginSession(secrets.token_hex(16), name, False, self._now())
        try:
            await self._records.open_temporary_session(session.id, name, session.last_seen)
        except NameTaken:
            self._new_names.give_back(place)
            return _denied(words.NAME_EXISTS.format(name), registered=False)
        text = words.TEMPORARY.format(name)
        return Admitted(session, wire.login_response(True, session.id, False, text), new=True)


def _denied(text: str, reason: Reason = Reason.REFUSED, *, registered: bool = True) -> Denied:
    return Denied(wire.login_response(False, None, registered, text), text, reason)


def _not_back(text: str, reason: Reason = Reason.REFUSED) -> Denied:
    return Denied(wire.reconnect_response(False, None, None, False, text), text, reason)


BAD_LOGIN = _denied(words.BAD_LOGIN)
FULL = _denied(words.LOBBY_FULL, Reason.FULL)
NO_SESSION = _not_back(words.NO_SESSION)
