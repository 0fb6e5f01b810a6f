"""
How a call to the store can fail.

A L{Conflict} was understood, and the state of the data forbids it; L{Overloaded} and
L{Unavailable} mean that the database cannot be asked now; L{ValueError} is raised for a value
that no column can hold.
"""

from __future__ import annotations


class StoreError(Exception):
    """A call to the store has failed."""


class Conflict(StoreError):
    """The state of the data forbids it; nothing was changed."""


class NameTaken(Conflict):
    """The name is in use."""


class NotFound(Conflict):
    """There is no such row."""


class Overloaded(StoreError):
    """Too many calls wait already; this one was not taken.  Nothing was changed."""


class Unavailable(StoreError):
    """The database did not answer in time or the store is stopped.  Nothing was changed."""


class Uncertain(Unavailable):
    """As L{Unavailable}, but the change was under way: only asking again shows if it was made."""


class BadDatabase(StoreError):
    """The database cannot be used as it is; the text is a sentence for the operator."""
