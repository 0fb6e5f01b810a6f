"""
Migrations: each owner has its own sequence of Alembic revisions and its own version table,
C{<owner>_version}.

A released revision never changes; it spells its tables out instead of importing the present ones.
On SQLite and PostgreSQL all revisions of an owner run in one transaction, together with the
version.  MariaDB commits at each change of a table, so a revision must be repeatable after an
interruption at any point: it creates and drops tables and indexes with L{create_tables} or
C{alembic.op}, with C{if_not_exists} and C{if_exists}, and changes rows after that, which is one
transaction with the new version.

One process at a time migrates: it has the lock (see L{gameservers.store.exclusive}).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from alembic import op
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, column, insert, literal, select, table
from sqlalchemy.schema import CreateIndex, CreateTable
from twisted.logger import Logger

from gameservers.store.errors import BadDatabase
from gameservers.store.schema import Schema

#: C{alembic.op} is a global shared by all threads.
_one_at_a_time = threading.Lock()

_log = Logger()


def migrate(engine: Engine, schemas: Iterable[Schema]) -> list[str]:
    """
    Bring the tables of all these owners up to date, in this order.

    @return: the owners and their revisions, and which ones they had before.
    """
    with _one_at_a_time, engine.connect() as connection:
        return [_upgrade(connection, schema) for schema in schemas]


def _upgrade(connection: Connection, schema: Schema) -> str:
    with connection.begin():  # on SQLite no other process can write from here on
        if schema.check is not None:
            schema.check(connection)
        scripts = ScriptDirectory(schema.revisions, version_locations=[schema.revisions])
        context = MigrationContext.configure(
            connection, opts={"version_table": f"{schema.owner}_version"}
        )
        found = context.get_current_revision()
        todo = [*reversed([*scripts.walk_revisions()])]
        known = [script.revision for script in todo]
        if found is None:
            context.stamp(scripts, "base")  # creates the version table
        elif found not in known:
            raise BadDatabase(
                f"the tables of {schema.owner} are of revision {found}, and this program "
                f"knows {known[-1]}: a newer one has used the database"
            )
        else:
            todo = todo[known.index(found) + 1 :]
        with Operations.context(context):
            for script in todo:
                script.module.upgrade()
                context.stamp(scripts, script.revision)
                _log.info(
                    "migrated the tables of {owner} to revision {revision}: {what}",
                    owner=schema.owner,
                    revision=script.revision,
                    what=script.doc,
                )
        now = scripts.get_current_head()
        came = "" if found == now else f" (was {found or 'new'})"
        return f"{schema.owner} {now}{came}"


def create_tables(metadata: MetaData) -> None:
    """Create tables and indexes, except those that exist already; for revisions."""
    for each in metadata.sorted_tables:
        op.execute(CreateTable(each, if_not_exists=True))
        for index in sorted(each.indexes, key=lambda index: str(index.name)):
            op.execute(CreateIndex(index, if_not_exists=True))


def copy_rows(source: str, target: str, columns: Mapping[str, str], **constants: str) -> None:
    """
    Copy all rows of one table to another; for revisions.

    @param columns: names in the source to names in the target.
    @param constants: further columns of the target, with the same value in every row.
    """
    names = [*columns.values(), *constants]
    rows: Any = select(*map(column, columns), *map(literal, constants.values()))
    new = table(target, *map(column, names))
    op.execute(insert(new).from_select(names, rows.select_from(table(source))))
