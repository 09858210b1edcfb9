"""The user's own database with the rows of a shared cache's database under it, for reading.

The shared file is opened for reading alone, so that its keeper's rules hold, and read with SQLite's locks, so that a
writer there is waited for. What it lacks of the class, or cannot give, is told; see `views`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Select, Table, select

from ..exceptions import CacheError, SchemaMismatchError
from ..instrument.orm import ORMCalibration
from .driver import GuardedConnection
from .hints import hint
from .local import LocalDatabase
from .sqlite import BUSY_TIMEOUT, make_read_only, read_only_uri
from .views import SHARED, Readable, views

R = TypeVar("R", bound=ORMCalibration)


class LayeredDatabase(LocalDatabase[R]):
    """What a user's own database and a shared one hold together; a row of his own hides the shared one.

    Reading goes to both, writing to his own.

    Parameters
    ----------
    own : LocalDatabase
    shared : pathlib.Path

    Attributes
    ----------
    own, shared
        As given.
    below : Readable
        What the shared one gives.

    Raises
    ------
    CacheError
        When the shared database cannot be read.
    SchemaMismatchError
        When its rows cannot be read by this class.
    """

    def __init__(self, own: LocalDatabase[R], shared: Path) -> None:
        self.own, self.shared = own, shared
        super().__init__(own.orm_class, own.path, may_be_missing=not own.has_file)
        self.unnoted = own.unnoted

    def _prepare(self) -> None:
        below = self.below = shared_rows(self.orm_class, self.shared)
        make_read_only(self.engine, [attached_as_shared(self.shared), *views(self.own.readable(), below)])
        with self.driver_connection() as connection:
            connection.execute("SELECT 1")

    @property
    def refusal(self) -> CacheError | SchemaMismatchError | None:
        """The error of each write to the user's own database, where it cannot be written."""
        return self.own.refusal

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a connection in a writing transaction of the user's own database."""
        with self.own.begin() as connection:
            yield connection

    def rows(self, statement: Select[Any], parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of a statement as the driver gives them."""
        return super().rows(ordered_last(statement), parameters)

    def fetch_many(self, statement: Select[Any], parameters: Sequence[Mapping[str, Any]], *, rows: bool) -> list[Any]:
        """Records of a statement, or its rows, for each of many parameters."""
        return super().fetch_many(ordered_last(statement), parameters, rows=rows)


def shared_rows(orm_class: type[ORMCalibration], path: Path) -> Readable:
    """Find out what a shared database gives of a class's tables; see `Readable.of`.

    Raises
    ------
    CacheError
        When it cannot be read.
    """
    with reading_shared(path) as connection:
        return Readable.of(connection, orm_class, str(path))


@contextmanager
def reading_shared(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that reads a shared database.

    Raises
    ------
    CacheError
        When it cannot be read.
    """
    try:
        with closing(GuardedConnection(read_only_uri(path), uri=True, timeout=BUSY_TIMEOUT)) as connection:
            yield connection
    except sqlite3.Error as error:
        said = hint(str(error), path, BUSY_TIMEOUT)
        raise CacheError(f"The database {path} cannot be read: {error}.", said, path=path) from error


def attached_as_shared(path: Path) -> str:
    """SQL that lets a connection read a shared database."""
    quoted = read_only_uri(path).replace("'", "''")
    return f"ATTACH DATABASE '{quoted}' AS {SHARED}"


@lru_cache(maxsize=512)
def ordered_last(statement: Select[Any]) -> Select[Any]:
    """Give a statement that brings a table's rows into order when it has found them; another one is left as it is.

    Where a computed value decides on the order, SQLite else reads both tables whole, in place of their indexes.
    """
    order, most = statement._order_by_clauses, statement._limit_clause
    table, *others = statement.get_final_froms()
    is_of_table = isinstance(table, Table) and not others and set(table.c) <= set(statement.selected_columns)
    if not order or not is_of_table or statement._offset_clause is not None:
        return statement
    unordered = statement.order_by(None).limit(-1).offset(0).subquery(cast("Table", table).name)
    ordered = select(unordered).order_by(*order)
    return ordered if most is None else ordered.limit(most)
