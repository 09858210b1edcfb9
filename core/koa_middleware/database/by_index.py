"""What the indexes of a spoilt table say: they hold ids and file names a second time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from ..instrument.orm import ORMCalibration
from .driver import is_damage, only_errors_of_sqlite, text_or_bytes
from .feed import feed_paused, feed_table
from .soundness import is_lost
from .sqlite import BUSY_TIMEOUT, quote
from .verified_files import signatures_table


class Differing(NamedTuple):
    """A value that differs between a column's index and the table."""

    column: str
    in_table: Any
    in_index: Any


def differing(path: Path, orm_class: type[ORMCalibration]) -> list[Differing]:
    """Give where the indexes of ids and file names differ from the table; nothing where one is unreadable.

    Raises
    ------
    sqlite3.Error
        When the file cannot be read for another reason than damage.
    """
    if is_lost(path):
        return []
    try:
        with only_errors_of_sqlite(), closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as connection:
            connection.text_factory = text_or_bytes
            return list(_differing(connection, orm_class.table().name))
    except sqlite3.Error as error:
        if is_damage(error) or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR:  # there is no such table
            return []
        raise


def _differing(connection: sqlite3.Connection, table: str) -> Iterator[Differing]:
    found = connection.execute("SELECT name FROM pragma_index_list(?) WHERE origin IN ('pk', 'u')", (table,)).fetchall()
    for (index,) in found:
        columns = [name for (name,) in connection.execute("SELECT name FROM pragma_index_info(?)", (index,))]
        if columns not in (["id"], ["filename"]):
            continue
        asked = f"SELECT _rowid_, {quote(columns[0])} FROM {quote(table)}"  # noqa: S608 - names, quoted
        in_table = dict(connection.execute(f"{asked} NOT INDEXED").fetchall())
        in_index = dict(connection.execute(f"{asked} INDEXED BY {quote(index)}").fetchall())
        for row, value in in_table.items():
            if in_index.get(row, value) != value:
                yield Differing(columns[0], value, in_index[row])


def correct(connection: sqlite3.Connection, orm_class: type[ORMCalibration], found: Differing) -> bool:
    """Let a record have what the index says, in the caller's transaction, where only that is known elsewhere.

    The history knows ids, what was hashed knows file names.

    Returns
    -------
    bool
        Whether it was done.
    """
    if isinstance(found.in_index, bytes) or not _is_known(connection, orm_class, found.column, found.in_index):
        return False
    if _is_known(connection, orm_class, found.column, found.in_table):
        return False
    table, column = quote(orm_class.table().name), quote(found.column)
    with feed_paused(connection, orm_class):
        setting = f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {column} = ?"  # noqa: S608 - names, quoted
        return connection.execute(setting, (found.in_index, found.in_table)).rowcount == 1


def _is_known(connection: sqlite3.Connection, orm_class: type[ORMCalibration], column: str, value: Any) -> bool:
    where = feed_table(orm_class) if column == "id" else signatures_table(orm_class)
    asked = f"SELECT 1 FROM {quote(where.name)} WHERE {quote(column)} = ? LIMIT 1"  # noqa: S608 - names, quoted
    return connection.execute(asked, (value,)).fetchone() is not None
