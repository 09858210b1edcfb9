"""Rows by their file names; names that some disk takes for one are one.

SQLite itself folds the letters of ASCII alone. Rows whose names have others, which are few, stand in an index of their
own, and are compared by `folded`, which our connections know as ``koa_folded``.
"""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import BindParameter, ColumnElement, Table, bindparam, text

from ..disk.names import folded
from .sqlite import quote

#: Clause of rows whose file names have letters beyond ASCII.
HAS_OTHERS = "length(filename) <> length(CAST(filename AS BLOB))"


@lru_cache(maxsize=64)
def name_indexes(table: str) -> dict[str, str]:
    """Give the statements that make the indexes of a table's file names, by the indexes' names."""
    ascii_, others = f"ix_{table}_filename_any_case", f"ix_{table}_filename_not_ascii"
    make = "CREATE INDEX IF NOT EXISTS {} ON " + quote(table)
    return {
        ascii_: f"{make.format(quote(ascii_))} (filename COLLATE NOCASE)",
        others: f"{make.format(quote(others))} (filename) WHERE {HAS_OTHERS}",
    }


@lru_cache(maxsize=64)
def stored_names(table: str, keys: str) -> str:
    """Give the SQL that selects a table's file names whose folded forms are among those that another SQL gives."""
    select = f"SELECT filename FROM {quote(table)} WHERE"  # noqa: S608 - the class's own name
    return (
        f"{select} filename COLLATE NOCASE IN ({keys}) "
        f"UNION ALL {select} {HAS_OTHERS} AND koa_folded(filename) IN ({keys})"
    )


def has_name(table: Table, filename: str) -> ColumnElement[bool]:
    """Clause of rows that have a file name, written in any way."""
    key: BindParameter[str] = bindparam("folded", folded(filename), unique=True)
    names = stored_names(table.name, ":folded")
    return table.c.filename.in_(text(names).bindparams(key).columns(table.c.filename))
