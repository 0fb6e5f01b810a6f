"""
The store: persistent data in an SQL database.

It is independent of the games: each game brings its tables (a L{Schema}) and its queries
(L{Records}).
"""

from gameservers.store.accounts import Account, Accounts, PasswordRecord
from gameservers.store.errors import (
    BadDatabase,
    Conflict,
    NameTaken,
    NotFound,
    Overloaded,
    StoreError,
    Unavailable,
    Uncertain,
)
from gameservers.store.schema import Schema, schemas_of
from gameservers.store.settings import StoreSettings
from gameservers.store.store import Records, Store, change, migrate_database, question

__all__ = [
    "Account",
    "Accounts",
    "BadDatabase",
    "Conflict",
    "NameTaken",
    "NotFound",
    "Overloaded",
    "PasswordRecord",
    "Records",
    "Schema",
    "Store",
    "StoreError",
    "StoreSettings",
    "Unavailable",
    "Uncertain",
    "change",
    "migrate_database",
    "question",
    "schemas_of",
]
