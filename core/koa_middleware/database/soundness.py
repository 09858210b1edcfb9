"""Whether the file of a local database is one, and is whole."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ..exceptions import CacheError
from ..instrument.orm import ORMCalibration
from .driver import is_damage, only_errors_of_sqlite
from .hints import hint
from .row_forms import spoilt_rows, without_text
from .sqlite import BUSY_TIMEOUT, quote
from .upgrade import Standing
from .versions import VERSIONS

#: Rows that are told of a database in which many are spoilt.
_TOLD = 3


class Condition(NamedTuple):
    """What was found in a database's file.

    Attributes
    ----------
    fault : str
        What is wrong with it; empty where neither SQLite finds anything nor a row is spoilt.
    rows : int
        Number of the instrument's records; 0 where they can't be counted.
    """

    fault: str
    rows: int


def condition_of(path: Path, orm_class: type[ORMCalibration]) -> Condition:
    """Look whether a file is a whole database, and ours, and how many records it has.

    A file that is missing or has no bytes is whole, and has none.

    Raises
    ------
    CacheError
        When it cannot be read for another reason, such as a lock or a permission.
    """
    if is_lost(path):
        return Condition("", 0)
    try:
        with only_errors_of_sqlite(), closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as connection:
            said = connection.execute("PRAGMA integrity_check(3)").fetchall()
            if said != [("ok",)]:
                return Condition(
                    "it is damaged: " + "; ".join(line for (text,) in said for line in text.split("\n")), 0
                )
            tables = tables_of(connection)
            if others := strangers(tables, orm_class):
                return Condition(f"it is another program's, with the tables {', '.join(others)}", 0)
            return Condition(_fault_of_rows(connection, orm_class, tables), _count(connection, orm_class, tables))
    except sqlite3.Error as error:
        if not is_damage(error):
            said_so = f"The database {path} cannot be read: {error}."
            raise CacheError(said_so, hint(str(error), path, BUSY_TIMEOUT), path=path) from error
        return Condition(f"it is damaged: {error}", 0)


def is_lost(path: Path) -> bool:
    """Whether there is no file, or one without a byte."""
    return not os.path.lexists(path) or not path.stat().st_size


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """Give the names of all tables but SQLite's own."""
    asked = "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'"
    return [name for (name,) in connection.execute(asked)]


def strangers(tables: list[str], orm_class: type[ORMCalibration]) -> list[str]:
    """Give the tables of a database in which there is none of a store; empty where there is one, or no table at all.

    The older koa_middleware's table has the instrument's bare name.
    """
    ours = (VERSIONS.name, orm_class.instrument_name)
    is_ours = any(name in ours or name.endswith("_calibrations") or "_calibrations_" in name for name in tables)
    return [] if is_ours else sorted(tables)


def _fault_of_rows(connection: sqlite3.Connection, orm_class: type[ORMCalibration], tables: list[str]) -> str:
    """Say which rows are not in form; of a database that is still to be upgraded only which cannot be read."""
    if orm_class.table().name not in tables:
        return ""
    found = spoilt_rows(connection, orm_class)
    if not Standing.of(connection, orm_class).is_up_to_date:
        found = [row for row in found if not row.tells_file]
    told = [*(f"{row.name}: {row.said}" for row in found[:_TOLD]), *without_text(connection, orm_class)]
    more = f"; {len(found) - _TOLD} more rows are spoilt" if len(found) > _TOLD else ""
    return f"rows are spoilt: {'; '.join(told)}{more}" if told else ""


def _count(connection: sqlite3.Connection, orm_class: type[ORMCalibration], tables: list[str]) -> int:
    name = orm_class.table().name
    if name not in tables:
        return 0
    return int(connection.execute(f"SELECT count(*) FROM {quote(name)}").fetchone()[0])  # noqa: S608
