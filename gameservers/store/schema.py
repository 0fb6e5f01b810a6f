"""
Who has tables in the database, and which.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import MetaData
from twisted.plugin import IPlugin, getPlugins


@dataclass(frozen=True, slots=True)
class Schema:
    """
    The tables of one owner.

    @ivar owner: the house, or the name of a game.
    @ivar metadata: the tables as they are now.
    """

    owner: str
    metadata: MetaData


def installed() -> list[Schema]:
    """The tables of all installed games."""
    schemas = (getattr(plugin, "schema", None) for plugin in getPlugins(IPlugin))
    return [schema for schema in schemas if isinstance(schema, Schema)]
