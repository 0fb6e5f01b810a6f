"""
C{python -m gameservers.store copy FROM TO}: move to another database.

Both are given as for C{--database}.  The one is brought up to date and otherwise only read; the
other gets its tables here and must have no rows.  No server may be running on either.
"""

from __future__ import annotations

import sys

from sqlalchemy import insert, inspect, select
from sqlalchemy.exc import DBAPIError

from gameservers.store.accounts import SCHEMA as HOUSE
from gameservers.store.backends import find_backend, require_file
from gameservers.store.errors import BadDatabase
from gameservers.store.migrations import PATIENCE
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

    @return: how many rows each table has.
    """
    require_file(find_backend(StoreSettings(database=source)))
    games = installed()
    schemas = [HOUSE, *games]
    for database in (source, target):
        migrate_database(StoreSettings(database=database), games)
    old, new = (
        find_backend(StoreSettings(database=database)).engine(
            timeout=TIMEOUT, patience=PATIENCE, writes=database == target
        )
        for database in (source, target)
    )
    copied: dict[str, int] = {}
    with old.begin() as reading, new.begin() as writing:
        unknown = set(inspect(reading).get_table_names()) - {"schema_version"}
        unknown -= {f"{schema.owner}_version" for schema in schemas}
        for name in sorted(unknown):
            if name.endswith("_version"):
                owner = name.removesuffix("_version")
                print(f"not copied: {owner}, which is not installed", file=sys.stderr)
        for table in (each for schema in schemas for each in schema.metadata.sorted_tables):
            if writing.execute(select(table).limit(1)).first() is not None:
                raise BadDatabase(f"the new database has rows in {table.name} already")
            copied[table.name] = 0
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
            except (BadDatabase, DBAPIError) as problem:
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
