"""
Passwords: kept as scrypt hashes, made and checked off the reactor's thread.

What is kept beside a hash is all that is needed to check it, so the cost can change at any time:
C{parameters} is C{<log2 N>:<r>:<p>}.  Hashes of one round of SHA-512,
which an older server may have left, are good for one more log-in, which replaces them.

Every log-in costs one scrypt hash of today's cost, whether the name is known, the password right
or the hash an old one, so the time of an answer tells nothing.  Only a right password under
another cost takes a second one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from gameservers.store.accounts import PasswordRecord

SCRYPT = "scrypt"

#: SHA-512, once, over the password's UTF-8 and then the salt.
SHA512 = "sha512"

#: scrypt's r and p: 1 KiB blocks, one lane.
BLOCK = 8
LANES = 1

#: Bytes of a new salt.
SALT = 16

#: The costliest stored parameters we are willing to check, as log2 N, r and p: 128 MiB.
DEAREST = (17, 8, 8)

T = TypeVar("T")


class Busy(Exception):
    """Too many passwords wait to be checked already."""


@dataclass(frozen=True, slots=True)
class Checked:
    """C{replacement} is what to keep from now on, if the record is out of date."""

    right: bool
    replacement: PasswordRecord | None = None


def make_record(password: str, cost: int, salt: str | None = None) -> PasswordRecord:
    """
    What to keep of a new password.

    @param cost: scrypt's N as a power of two.
    """
    salt = secrets.token_hex(SALT) if salt is None else salt
    return PasswordRecord(
        SCRYPT, _scrypt(password, salt, cost, BLOCK, LANES), salt, f"{cost}:{BLOCK}:{LANES}"
    )


def check(record: PasswordRecord | None, password: str, cost: int) -> Checked:
    """Whether this is the password; see the module for what it costs, without one as well."""
    if record is not None and record.scheme == SHA512:
        known = hashlib.sha512(_utf8(password) + record.salt.encode("utf-8")).hexdigest()
        right = hmac.compare_digest(known, record.hash)
        replacement = make_record(password, cost)
        return Checked(right, replacement if right else None)
    parameters = _parameters(record)
    if record is None or parameters is None:
        make_record(password, cost)
        return Checked(False)
    right = hmac.compare_digest(_scrypt(password, record.salt, *parameters), record.hash)
    if right and parameters != (cost, BLOCK, LANES):
        return Checked(True, make_record(password, cost))
    return Checked(right)


def _parameters(record: PasswordRecord | None) -> tuple[int, int, int] | None:
    if record is None or record.scheme != SCRYPT:
        return None
    try:
        cost, block, lanes = map(int, record.parameters.split(":"))
    except ValueError:
        return None
    if all(1 <= mine <= most for mine, most in zip((cost, block, lanes), DEAREST, strict=True)):
        return cost, block, lanes
    return None


def _scrypt(password: str, salt: str, cost: int, block: int, lanes: int) -> str:
    n = 2**cost
    return hashlib.scrypt(
        _utf8(password),
        salt=salt.encode("utf-8"),
        n=n,
        r=block,
        p=lanes,
        maxmem=128 * block * (n + lanes + 2) + 1024 * 1024,
    ).hex()


def _utf8(password: str) -> bytes:
    # JSON can carry half a surrogate pair.
    return password.encode("utf-8", "surrogatepass")


class Passwords(Service):
    """
    Hashes in a few threads of its own, so that they delay nothing but each other.

    @ivar cost: scrypt's N as a power of two, for new hashes.
    """

    def __init__(
        self, reactor: IReactorFromThreads, *, cost: int, threads: int, waiting: int
    ) -> None:
        self.cost = cost
        self._reactor = reactor
        self._pool = ThreadPool(0, threads, "passwords")
        self._limit = threads + waiting
        self._under_way = 0

    def startService(self) -> None:
        Service.startService(self)
        self._pool.start()

    def stopService(self) -> None:
        """Wait for the hashes that are being made, a fraction of a second each."""
        Service.stopService(self)
        if self._pool.started:
            self._pool.stop()

    def make(self, password: str) -> Deferred[PasswordRecord]:
        return self._run(lambda: make_record(password, self.cost))

    def check(self, record: PasswordRecord | None, password: str) -> Deferred[Checked]:
        return self._run(lambda: check(record, password, self.cost))

    def _run(self, work: Callable[[], T]) -> Deferred[T]:
        if self._under_way >= self._limit:
            return fail(Busy())
        self._under_way += 1

        def done(result: T) -> T:
            self._under_way -= 1
            return result

        deferred: Deferred[T] = deferToThreadPool(self._reactor, self._pool, work)
        return deferred.addBoth(done)
