"""Whether the file of a local database is one, and is whole."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ..exceptions import CacheError
from ..instrument.orm import ORMCalibration
from .hints import hint
from .sqlite import BUSY_TIMEOUT, quote
from .versions import VERSIONS

_SPOILT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Condition(NamedTuple):
    """What is found of a database's file.

    Attributes
    ----------
    fault : str
        What is wrong with it; empty where SQLite finds nothing.
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
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as connection:
            said = connection.execute("PRAGMA integrity_check(3)").fetchall()
            if said != [("ok",)]:
                return Condition(
                    "it is damaged: " + "; ".join(line for (text,) in said for line in text.split("\n")), 0
                )
            tables = tables_of(connection)
            if others := strangers(tables, orm_class):
                return Condition(f"it is another program's, with the tables {', '.join(others)}", 0)
            return Condition("", _count(connection, orm_class, tables))
    except sqlite3.Error as error:
        if not is_spoilt(error):
            said_so = f"The database {path} cannot be read: {error}."
            raise CacheError(said_so, hint(str(error), path, BUSY_TIMEOUT), path=path) from error
        return Condition(f"it is damaged: {error}", 0)


def is_lost(path: Path) -> bool:
    """Whether there is no file, or one without a byte."""
    return not os.path.lexists(path) or not path.stat().st_size


def is_spoilt(error: sqlite3.Error) -> bool:
    """Whether SQLite says of a file that it is damaged, or none of its own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SPOILT


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


def _count(connection: sqlite3.Connection, orm_class: type[ORMCalibration], tables: list[str]) -> int:
    name = orm_class.table().name
    if name not in tables:
        return 0
    return int(connection.execute(f"SELECT count(*) FROM {quote(name)}").fetchone()[0])  # noqa: S608
