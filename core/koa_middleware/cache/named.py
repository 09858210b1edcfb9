"""Which file names the databases of a cache know: instruments share the folder of files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, column, select, table

from ..database.driver import only_errors_of_sqlite
from ..database.feed import feed_table
from ..database.sqlite import quote as quote_name
from ..exceptions import CacheError
from ..instrument.orm import ORMCalibration
from .placing import Holdings

#: How the name of a spoilt database ends that was set aside.
SPOILT = ".spoilt"

_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, -13) = '_calibrations'"


def named_elsewhere(connection: Connection, holdings: Holdings[Any]) -> set[str]:
    """File names in all other instruments' tables of calibrations in a cache's databases.

    Raises
    ------
    CacheError
        When another database cannot be read.
    """
    own = holdings.orm_class.table().name
    names = set(_tables_beside(connection, own))
    for path in databases_beside(holdings.database.path):
        names.update(names_in(path, but=own))
    return names


def databases_beside(own: Path) -> list[Path]:
    """Give the files in a database's folder that may be those of other instruments; its own copies are none."""
    return [path for path in _files_beside(own) if not path.name.startswith(f"{own.name}.")]


def _files_beside(own: Path) -> list[Path]:
    return [
        path
        for path in sorted(own.parent.iterdir())
        if path.is_file()
        and not path.name.startswith(".")
        and not path.name.endswith(("-journal", "-wal", "-shm", SPOILT))
        and not (own.exists() and path.samefile(own))
    ]


def copies_beside(own: Path, orm_class: type[ORMCalibration]) -> dict[Path, str]:
    """Give the other files in a database's folder that hold the instrument's table, each with its last change (UTC).

    These are the copies that upgrades left, and those that somebody made. The newest comes first. What cannot be read
    is none.
    """
    found = {path: _last_change(path, orm_class) for path in _files_beside(own)}
    newest = sorted(((at, path) for path, at in found.items() if at is not None), reverse=True)
    return {path: at for at, path in newest}


def _last_change(path: Path, orm_class: type[ORMCalibration]) -> str | None:
    """Give the time of the last change in the instrument's table, empty where it says none; None without the table."""
    name, feed = quote_name(orm_class.table().name), quote_name(feed_table(orm_class).name)
    times = []
    with suppress(sqlite3.Error), only_errors_of_sqlite(), closing(_reading(path)) as connection:
        for asked in (f"SELECT max(last_updated) FROM {name}", f"SELECT max(at) FROM {feed}"):  # noqa: S608
            times.append(str(connection.execute(asked).fetchone()[0] or ""))
    return max(times, default=None)


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=60.0)


def _tables_beside(connection: Connection, own: str) -> Iterator[str]:
    """Give the file names in the other tables of calibrations of the database itself."""
    for (name,) in connection.exec_driver_sql(_TABLES).all():
        if name != own:
            yield from connection.execute(select(column("filename")).select_from(table(name))).scalars()


def names_in(database: Path, but: str = "") -> Iterator[str]:
    """Give the file names in the tables of calibrations of a file, all `but` one; none where it is no SQLite database.

    SQLite alone opens it: to close a file by hand drops all locks that this process holds on it
    (sqlite.org/howtocorrupt.html, 2.2), also those of a store of that database.
    """
    try:
        with only_errors_of_sqlite(), closing(_reading(database)) as connection:
            for (name,) in [row for row in connection.execute(_TABLES).fetchall() if row[0] != but]:
                yield from (filename for (filename,) in connection.execute(f"SELECT filename FROM {quote_name(name)}"))  # noqa: S608
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            return
        raise CacheError(
            f"The database {database} cannot be read, so its files in this cache are not known: {error}.",
            "Move it away if nobody uses it; nothing was removed.",
            path=database,
        ) from error
