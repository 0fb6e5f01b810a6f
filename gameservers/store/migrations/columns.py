"""
The column types that the steps share; as the steps themselves they do not change any more.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import DateTime, String
from sqlalchemy.dialects import mysql

#: What tables are made of on MariaDB.
OPTIONS: dict[str, Any] = {
    "mariadb_engine": "InnoDB",
    "mariadb_default_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}

#: UTC, to the microsecond.
MOMENT = DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb")


def words(length: int) -> Any:
    """Text that is sorted by code points."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")
