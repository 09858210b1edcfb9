"""Checking a database as a whole: what SQLite finds, and whether each row is in form."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from ..database.driver import GuardedConnection
from ..database.local import LocalDatabase
from ..database.row_forms import SpoiltRow, spoilt_rows, without_text
from ..exceptions import CacheError


def examined(database: LocalDatabase[Any]) -> tuple[list[str], list[SpoiltRow]]:
    """Give what is wrong with a database, as sentences, and its rows that are not in form.

    SQLite, which alone opens a database, checks a copy of its own: nobody could write for the time of the check, and
    soon nobody read. Rows are looked at where SQLite finds no fault.
    """
    try:
        with database.driver_connection() as connection, closing(GuardedConnection(":memory:")) as copy:
            connection.backup(copy)
            said = [line for (line,) in copy.execute("PRAGMA integrity_check")]
            if said == ["ok"]:
                rows = spoilt_rows(copy, database.orm_class)
                return [f"In {database.path}, {line}." for line in without_text(copy, database.orm_class)], rows
    except CacheError as error:
        return [error.message], []
    return [f"SQLite finds {database.path} damaged: {line}." for line in said], []
