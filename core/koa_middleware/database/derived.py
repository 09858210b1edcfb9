"""What a class derives, in rows and former versions that lack it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Boolean, Table

from ..exceptions import HeaderError
from ..instrument.door import derive_into
from ..instrument.orm import DERIVED, ORMCalibration
from .feed import feed_paused
from .history import history_table
from .sqlite import quote

_BATCH = 2000


def derive_missing(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> Iterator[str]:
    """Let a class derive columns that no keyword fills where they are null; says for how many rows it failed.

    The rows are read in batches, in the caller's transaction.
    """
    derived: tuple[str, ...] = orm_class.table().info[DERIVED]
    if not derived:
        return
    failed, why = 0, ""
    with feed_paused(connection, orm_class):
        for table in (orm_class.table(), history_table(orm_class)):
            key, new = next(iter(table.primary_key)).name, ", ".join(f"{quote(name)} = ?" for name in derived)
            after: Any = None
            while rows := _lacking(connection, orm_class, table, key, after):
                after, filled = rows[-1][0], []
                for number, values in rows:
                    try:
                        if derive_into(orm_class, values, f"the row {values['filename']}"):
                            filled.append([*(values[name] for name in derived), number])
                    except HeaderError as error:
                        failed, why = failed + 1, why or error.message
                connection.executemany(f"UPDATE {quote(table.name)} SET {new} WHERE {key} = ?", filled)  # noqa: S608
    if failed:
        yield f"{', '.join(derived)} could not be derived for {failed} of the rows: {why}"


def _lacking(
    connection: sqlite3.Connection, orm_class: type[ORMCalibration], table: Table, key: str, after: Any
) -> list[tuple[Any, dict[str, Any]]]:
    """Give the next keys of rows that lack something derived, and their values by column."""
    columns = orm_class.table().c
    names = ", ".join(map(quote, columns.keys()))
    lacks = " OR ".join(f"{quote(name)} IS NULL" for name in orm_class.table().info[DERIVED])
    rows = connection.execute(
        f"SELECT {key}, {names} FROM {quote(table.name)}"  # noqa: S608
        f" WHERE ({key} > ?1 OR ?1 IS NULL) AND ({lacks}) ORDER BY {key} LIMIT {_BATCH}",
        (after,),
    ).fetchall()
    truths = [column.name for column in columns if isinstance(column.type, Boolean)]
    found = [(row[0], dict(zip(columns.keys(), row[1:], strict=True))) for row in rows]
    for _, values in found:
        values |= {name: bool(values[name]) for name in truths if values[name] is not None}
    return found
