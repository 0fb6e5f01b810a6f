"""
The store's options.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from gameservers.config.vocabulary import Retired, option


def without_password(database: str) -> str:
    """A database's URL without its password."""
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", database)


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """
    The settings of the database: location, time limits and queues.

    C{database} is C{sqlite} (a file in the current user's data directory), C{memory} (gone when
    the process ends), or a URL: C{sqlite:////var/lib/games.sqlite3},
    C{postgresql://user@host/name}, C{mariadb://user@host/name}.
    """

    retired: ClassVar[Retired] = {
        "database-world": "a world may always have 1 MiB",
        "database-original-zone": "gameserver tictactoe-import has --zone",
    }

    database: str = option(
        "sqlite",
        "Database: sqlite (a file in the user's data directory), memory or a URL",
        shown=without_password,
    )
    database_timeout: float = option(
        10.0,
        "Time limit for a call to the database, after which it fails",
        unit="seconds",
        minimum=0.1,
    )
    database_queue: int = option(
        10_000, "Calls that may wait for the database; more are refused", unit="calls", minimum=1
    )
    database_batch: int = option(
        256, "Calls that go into one transaction at most", unit="calls", minimum=1
    )
    database_backoff: float = option(
        5.0,
        "Longest pause between two attempts to reach the database",
        unit="seconds",
        minimum=0.05,
    )
