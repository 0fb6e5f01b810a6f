"""
C{python -m gameservers.store copy FROM TO}: copy everything to another database.

Both are given as for C{--database}.  The first is brought up to date and otherwise only read; the
second gets its tables here and must have no rows.  No server may be running on either.
"""

from __future__ import annotations

import sys

from sqlalchemy import insert, inspect, select

from gameservers.store.accounts import SCHEMA as SERVER
from gameservers.store.backends import find_backend, require_file
from gameservers.store.errors import BadDatabase
from gameservers.store.exclusive import connected
from gameservers.store.schema import installed
from gameservers.store.settings import StoreSettings
from gameservers.store.store import migrate_database

#: Rows that are read and written at once.
CHUNK = 500

#: How long to wait for a server, in seconds.
TIMEOUT = 60.0


def copy(source: str, target: str) -> dict[str, int]:
    """
    Copy all rows, in one transaction.

    @return: the number of rows of each table.
    """
    old, new = (
        StoreSettings(database=each, database_timeout=TIMEOUT) for each in (source, target)
    )
    require_file(find_backend(old))
    if source == target:
        raise BadDatabase("both are the same database")
    schemas = installed()
    for each in (old, new):
        migrate_database(each, schemas)
    tables = [table for schema in (SERVER, *schemas) for table in schema.metadata.sorted_tables]
    copied = {table.name: 0 for table in tables}
    with connected(old, writes=False) as reading, connected(new, writes=True) as writing:
        for name in inspect(reading).get_table_names():
            owner = name.removesuffix("_version")
            if owner not in (name, SERVER.owner, "schema", *(each.owner for each in schemas)):
                print(f"not copied: {owner}, which is not installed", file=sys.stderr)
        for table in tables:
            if writing.execute(select(table).limit(1)).first() is not None:
                raise BadDatabase(f"the new database has rows in {table.name} already")
            rows = reading.execution_options(yield_per=CHUNK).execute(select(table)).mappings()
            for chunk in rows.partitions(CHUNK):
                writing.execute(insert(table), [dict(row) for row in chunk])
                copied[table.name] += len(chunk)
    return copied


def main(arguments: list[str]) -> int:
    match arguments:
        case ["copy", source, target]:
            try:
                copied = copy(source, target)
            except BadDatabase as problem:
                print(problem, file=sys.stderr)
                return 1
            for table, rows in copied.items():
                print(f"{table}: {rows} rows")
            return 0
        case _:
            print("usage: python -m gameservers.store copy FROM TO", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
