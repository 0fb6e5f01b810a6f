"""
The errors of calls to the store.

L{Conflict} means that the state of the data forbids the call; L{Overloaded} and L{Unavailable}
mean that the database cannot be used now; L{ValueError} is raised for a value that no column can
hold.
"""

from __future__ import annotations


class StoreError(Exception):
    """A call to the store has failed."""


class Conflict(StoreError):
    """The state of the data forbids the call; nothing was changed."""


class NameTaken(Conflict):
    """The name is in use."""


class NotFound(Conflict):
    """There is no such row."""


class Overloaded(StoreError):
    """Too many calls wait already, and this one was rejected.  Nothing was changed."""


class Unavailable(StoreError):
    """The database did not answer in time or the store is stopped.  Nothing was changed."""


class Uncertain(Unavailable):
    """As L{Unavailable}, but the change was in progress: only a query can show if it was made."""


class BadDatabase(StoreError):
    """The database cannot be used as it is; the text is a sentence for the operator."""
