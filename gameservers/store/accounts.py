"""
The house's accounts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PasswordRecord:
    """
    What is kept instead of a password; L{gameservers.store.passwords} makes and checks it.

    @ivar scheme: how the hash was made.
    @ivar hash: hexadecimal text.
    @ivar salt: text, used as the scheme says.
    @ivar parameters: the scheme's cost parameters, as text.
    """

    scheme: str
    hash: str = field(repr=False)
    salt: str = field(repr=False)
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """A name that belongs to one person, as long as they come back from time to time."""

    name: str
    password: PasswordRecord
    last_seen: datetime
