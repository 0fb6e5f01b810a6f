"""
The owners of tables in the database: the server, the games, other plugins.
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
    The tables of one owner, and their migrations.

    @ivar owner: C{server}, or the name of a game, with which the names of its tables begin.
    @ivar metadata: the tables as they are now.
    @ivar revisions: directory of the Alembic revisions; one sequence, no branches.
    @ivar check: called before each upgrade; it raises L{gameservers.store.BadDatabase} if the
        owner cannot use this database.
    """

    owner: str
    metadata: MetaData
    revisions: Path
    check: Callable[[Connection], None] | None = None


def schemas_of(plugins: Iterable[object]) -> list[Schema]:
    """The schemas of those plugins that have one."""
    schemas = (getattr(plugin, "schema", None) for plugin in plugins)
    return [schema for schema in schemas if isinstance(schema, Schema)]


def installed() -> list[Schema]:
    """The schemas of all installed games."""
    return schemas_of(getPlugins(IPlugin))
