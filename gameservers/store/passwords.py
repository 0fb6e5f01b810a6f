"""
Passwords, stored as scrypt hashes, which are made and checked in threads.

The cost is stored with each hash, so it can change at any time: C{parameters} is C{<log2
N>:<r>:<p>}.  Hashes of one round of SHA-512 from older servers are accepted, and replaced at the
next log-in.

Every log-in takes one scrypt hash of the present cost, whether or not the name exists, the
password is right or the hash is an old one, so the response time reveals nothing.  Only a correct
password with another cost takes a second one.
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

#: scrypt's r and p: blocks of 1 KiB, no parallelism.
BLOCK = 8
LANES = 1

#: Size of a new salt, in bytes.
SALT = 16

#: Maximum stored parameters that are checked, as log2 N, r and p: 128 MiB.
DEAREST = (17, 8, 8)

T = TypeVar("T")


class Busy(Exception):
    """Too many passwords wait for their check already."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check; C{replacement} is the record to store if the old one is outdated."""

    right: bool
    replacement: PasswordRecord | None = None


def make_record(password: str, cost: int, salt: str | None = None) -> PasswordRecord:
    """
    Hash a new password.

    @param cost: scrypt's N as a power of two.
    """
    salt = secrets.token_hex(SALT) if salt is None else salt
    return PasswordRecord(
        SCRYPT, _scrypt(password, salt, cost, BLOCK, LANES), salt, f"{cost}:{BLOCK}:{LANES}"
    )


def check(record: PasswordRecord | None, password: str, cost: int) -> Checked:
    """Check a password; without a record it takes the same time."""
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
    # JSON can contain half of a surrogate pair.
    return password.encode("utf-8", "surrogatepass")


class Passwords(Service):
    """
    Makes and checks hashes in a few threads of its own.

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
        """Wait for the hashes in progress, which take a fraction of a second each."""
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
