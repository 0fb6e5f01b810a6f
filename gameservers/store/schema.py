"""
Who has tables in the database: the house, a game, a plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, MetaData
from twisted.plugin import IPlugin, getPlugins


@dataclass(frozen=True, slots=True)
class Schema:
    """
    The tables of one owner, and how a database gets them.

    @ivar owner: the house, or the name of a game.  The tables' names begin with it.
    @ivar metadata: the tables as they are now.
    @ivar revisions: directory of the Alembic revisions that lead there; one sequence, no branches.
    @ivar check: called before each upgrade; it raises L{gameservers.store.BadDatabase} if the
        owner cannot use this database.
    """

    owner: str
    metadata: MetaData
    revisions: Path
    check: Callable[[Connection], None] | None = None


def schemas_of(plugins: Iterable[object]) -> list[Schema]:
    """The schemas of those that have one."""
    schemas = (getattr(plugin, "schema", None) for plugin in plugins)
    return [schema for schema in schemas if isinstance(schema, Schema)]


def installed() -> list[Schema]:
    """The schemas of all installed games."""
    return schemas_of(getPlugins(IPlugin))
