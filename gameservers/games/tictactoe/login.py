"""
Authentication: names, passwords and log-in sessions.

Passwords can be guessed only slowly, and no guesser locks out the owner of a name.  These limits
apply to log-ins that fail with the password of an account; those that succeed do not count:

====================  ==========================================================================
a name at an address  growing delays (L{Attempts})
an address            a number per minute; a third of it is for the names alone that have logged
                      in from there before
a name                a number per minute, two thirds of which are for all those addresses
                      together from which it has not logged in before, and which have to wait
                      beyond them
====================  ==========================================================================

So a player that logs in from where they did before has to wait only for guesses of their own name
from there, or for many guesses from there of several names that are at home there.  The last few
addresses of each account are stored; what is C{trusted} counts like any other address.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gameservers.games.tictactoe import elo, wire, words
from gameservers.games.tictactoe.attempts import AdmissionQueue, Attempts, Limit, PerMinute
from gameservers.games.tictactoe.records import LoginSession, TicTacToeRecords
from gameservers.games.tictactoe.settings import TicTacToeSettings
from gameservers.net.connection import Reason
from gameservers.net.guard import place_of
from gameservers.store import Account, NameTaken, NotFound, StoreError
from gameservers.store.passwords import Busy, Passwords

#: Maximum number of waiting password checks, from all addresses together.
MAX_WAITING = 1_000

#: Threads for passwords beyond those that one address can use at once.
SPARE_THREADS = 1

#: The share of the failures per minute for names that have not logged in from the address.
STRANGERS = 2 / 3


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
        seconds: Callable[[], float],
        place_of: Callable[[str], str] = place_of,
        resembles: Callable[[str], bool] = lambda name: False,
    ) -> None:
        """
        Check log-ins.

        @param seconds: a monotonic clock.
        @param place_of: is C{""} for hosts that may take any number of names.
        @param resembles: whether a name looks like another player's; such a name is not new.
        """
        self._records = records
        self._passwords = passwords
        self._now = now
        self._lifetimes = {
            True: timedelta(seconds=settings.session_lifetime),
            False: timedelta(seconds=settings.temporary_lifetime),
        }
        per_address = settings.login_attempts_per_address
        self._by_both = Attempts(settings.login_attempts, seconds)  # a name at an address
        self._by_address = PerMinute(per_address, seconds)
        self._strangers = PerMinute(per_address * STRANGERS, seconds)  # by address
        self._by_name = PerMinute(settings.login_attempts_per_name * STRANGERS, seconds)
        self._new_names = Attempts(settings.new_names_per_address, seconds)
        self._place_of = place_of
        self._resembles = resembles
        threads = settings.password_threads
        # Of one address no more than may fail at the same moment.
        at_once = min(threads, int(self._strangers.at_once))
        self._hashing = AdmissionQueue(threads + SPARE_THREADS, at_once, MAX_WAITING)

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

    async def reconnect(self, message: wire.Reconnect, address: str) -> Admitted | Denied:
        """Log in with an existing session."""
        now = self._now()
        try:
            session = await self._records.session(message.session_id)
            if session is None or session.last_seen < now - self._lifetimes[session.registered]:
                return NO_SESSION
            await self._records.resume_session(session, now, place_of(address))
        except StoreError:
            return _not_back(words.UNAVAILABLE, Reason.FAILED)
        response = wire.reconnect_response(True, session.id, session.name, session.registered, "")
        return Admitted(session, response, new=False)

    async def _log_in(self, name: str, password: str, address: str) -> Admitted | Denied:
        place = place_of(address)
        _must_not_wait((self._by_both, (name, place)))
        account = await self._records.account(name)
        if account is None and self._resembles(name):
            return _denied(words.NAME_RESERVED.format(name))
        text = words.LOGGED_IN
        try:
            if account is None and await self._register(name, password, address):
                text = words.REGISTERED
            else:
                if account is None:  # it exists by now, or a temporary session has its name
                    account = await self._records.account(name)
                await self._prove(account, name, password, place)
        except WrongPassword as wrong:
            return _denied(str(wrong))
        return await self._open_session(name, place, text.format(name))

    async def _register(self, name: str, password: str, address: str) -> bool:
        """Create an account; returns L{False} if the name is taken."""
        names_from = self._place_of(address)
        if names_from:
            _begin((self._new_names, names_from))
        place = place_of(address)
        await self._hashing.turn(place, name, known=False)
        try:
            record = await self._passwords.make(password)
        finally:
            self._hashing.done(place)
        try:
            await self._records.create_account(Account(name, self._now(), record), elo.START)
        except NameTaken:
            return False
        return True

    async def _prove(self, account: Account | None, name: str, password: str, place: str) -> None:
        """
        Check the password.

        @param account: L{None} if a temporary session has the name.
        @raise WrongPassword: it is not the account's.
        """
        counted: list[tuple[Limit, Hashable]]
        counted = [(self._by_both, (name, place)), (self._by_address, place)]
        known = account is not None and await self._records.is_known(name, place)
        if not known:
            counted += [(self._strangers, place), (self._by_name, name)]
        if account is None:
            _begin(*counted)
            raise WrongPassword(words.NAME_RESERVED.format(name))
        await self._hashing.turn(place, name, known=known)
        try:
            _begin(*counted)
            try:
                checked = await self._passwords.check(account.password, password)
            except Exception:  # it is not known if the password was wrong
                _give_back(*counted)
                raise
            if checked.right:
                _give_back(*counted)
        finally:
            self._hashing.done(place)
        if not checked.right:
            raise WrongPassword(words.WRONG_PASSWORD.format(name))
        self._by_both.clear((name, place))
        if checked.replacement is not None:
            await self._records.change_password(name, checked.replacement)

    async def _open_session(self, name: str, place: str, text: str) -> Admitted | Denied:
        session = LoginSession(secrets.token_hex(16), name, True, self._now())
        try:
            await self._records.open_session(session.id, name, session.last_seen, place)
        except NotFound:  # the account was removed a moment ago
            return _denied(words.NAME_RESERVED.format(name))
        return Admitted(session, wire.login_response(True, session.id, True, text), new=True)

    async def _open_temporary(self, name: str, place: str) -> Admitted | Denied:
        if self._resembles(name):
            return _denied(words.NAME_EXISTS.format(name), registered=False)
        if place:
            _begin((self._new_names, place))
        session = LoginSession(secrets.token_hex(16), name, False, self._now())
        try:
            await self._records.open_temporary_session(session.id, name, session.last_seen)
        except NameTaken:
            self._new_names.give_back(place)
            return _denied(words.NAME_EXISTS.format(name), registered=False)
        text = words.TEMPORARY.format(name)
        return Admitted(session, wire.login_response(True, session.id, False, text), new=True)


def _must_not_wait(*counted: tuple[Limit, Hashable]) -> None:
    """Raise L{TooManyAttempts} if one of these keys must wait."""
    wait = max(limit.wait(key) for limit, key in counted)
    if wait > 0:
        raise TooManyAttempts(words.TOO_MANY_ATTEMPTS.format(math.ceil(wait)))


def _begin(*counted: tuple[Limit, Hashable]) -> None:
    """Count an attempt under all these keys, or raise L{TooManyAttempts} and count nothing."""
    _must_not_wait(*counted)
    for limit, key in counted:
        limit.begin(key)


def _give_back(*counted: tuple[Limit, Hashable]) -> None:
    for limit, key in counted:
        limit.give_back(key)


def _denied(text: str, reason: Reason = Reason.REFUSED, *, registered: bool = True) -> Denied:
    return Denied(wire.login_response(False, None, registered, text), text, reason)


def _not_back(text: str, reason: Reason = Reason.REFUSED) -> Denied:
    return Denied(wire.reconnect_response(False, None, None, False, text), text, reason)


BAD_LOGIN = _denied(words.BAD_LOGIN)
FULL = _denied(words.LOBBY_FULL, Reason.FULL)
NO_SESSION = _not_back(words.NO_SESSION)
