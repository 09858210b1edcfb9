"""What a class derives, in rows that lack it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Boolean

from ..exceptions import HeaderError
from ..instrument.door import derive_into
from ..instrument.orm import DERIVED, ORMCalibration
from .feed import feed_paused
from .sqlite import quote

_BATCH = 2000


def derive_missing(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> Iterator[str]:
    """Let a class derive columns that no keyword fills where they are null; says for how many rows it failed.

    The rows are read in batches, in the caller's transaction.
    """
    derived: tuple[str, ...] = orm_class.table().info[DERIVED]
    if not derived:
        return
    failed, why, after = 0, "", ""
    with feed_paused(connection, orm_class):
        while rows := _lacking(connection, orm_class, derived, after):
            after = rows[-1]["id"]
            filled = []
            for values in rows:
                try:
                    if derive_into(orm_class, values, f"the row {values['filename']}"):
                        filled.append([*(values[name] for name in derived), values["id"]])
                except HeaderError as error:
                    failed, why = failed + 1, why or error.message
            new = ", ".join(f"{quote(name)} = ?" for name in derived)
            connection.executemany(f"UPDATE {quote(orm_class.table().name)} SET {new} WHERE id = ?", filled)  # noqa: S608
    if failed:
        yield f"{', '.join(derived)} could not be derived for {failed} of the rows: {why}"


def _lacking(
    connection: sqlite3.Connection, orm_class: type[ORMCalibration], derived: tuple[str, ...], after: str
) -> list[dict[str, Any]]:
    """Give the values of rows that lack something derived, by column, those with the next greater ids."""
    table = orm_class.table()
    names = ", ".join(map(quote, table.c.keys()))
    lacks = " OR ".join(f"{quote(name)} IS NULL" for name in derived)
    rows = connection.execute(
        f"SELECT {names} FROM {quote(table.name)} WHERE id > ? AND ({lacks}) ORDER BY id LIMIT {_BATCH}",  # noqa: S608
        (after,),
    ).fetchall()
    truths = [column.name for column in table.c if isinstance(column.type, Boolean)]
    found = [dict(zip(table.c.keys(), row, strict=True)) for row in rows]
    for values in found:
        values |= {name: bool(values[name]) for name in truths if values[name] is not None}
    return found
