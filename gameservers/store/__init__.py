"""
The store: what outlives a connection and a restart.

Accounts, sessions, matches, friends, ratings, results and worlds, behind one interface
(L{gameservers.store.interface}); SQL behind that.
"""

from gameservers.store.interface import (
    SHA512,
    Account,
    AlreadyPlaying,
    BadDatabase,
    Finished,
    Match,
    NameTaken,
    NotFound,
    Overloaded,
    PasswordRecord,
    Player,
    Ranking,
    Rate,
    Rating,
    Refused,
    Removal,
    Result,
    Session,
    Stale,
    Store,
    StoreError,
    TooManyMatches,
    Unavailable,
    Uncertain,
    World,
)
from gameservers.store.service import SqlStore, migrate_database
from gameservers.store.settings import StoreSettings

__all__ = [
    "SHA512",
    "Account",
    "AlreadyPlaying",
    "BadDatabase",
    "Finished",
    "Match",
    "NameTaken",
    "NotFound",
    "Overloaded",
    "PasswordRecord",
    "Player",
    "Ranking",
    "Rate",
    "Rating",
    "Refused",
    "Removal",
    "Result",
    "Session",
    "SqlStore",
    "Stale",
    "Store",
    "StoreError",
    "StoreSettings",
    "TooManyMatches",
    "Unavailable",
    "Uncertain",
    "World",
    "migrate_database",
]
