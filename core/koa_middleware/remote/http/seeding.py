"""A private copy of an archive begins with what the store already has of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select

from ...database.driver import GuardedConnection
from ...database.feed import feed_paused, feed_table
from ...database.history import history_table
from ...database.judgements import judgements_table
from ...database.local import LocalDatabase
from ...database.sqlite import quote
from ...exceptions import CacheError
from ...instrument.orm import ORMCalibration
from ..bookmark import StateTable


def seed(local: LocalDatabase[Any], path: Path) -> None:
    """Copy a store's database, and leave in the copy what is of the archive alone.

    Nothing is copied of one that never followed an archive, or that this version cannot write.

    Raises
    ------
    CacheError
        When it cannot be read, or the copy not be written.
    """
    orm_class: type[ORMCalibration] = local.orm_class
    if local.refusal is not None:
        return
    with local.driver_connection() as source:
        if not StateTable(source, orm_class.table().name).exists():
            return
        try:
            with closing(GuardedConnection(str(path), isolation_level=None)) as copy:
                copy.execute("PRAGMA synchronous = OFF")  # which nobody needs after a power cut
                source.backup(copy)
                _take_out_local(copy, orm_class)
        except sqlite3.Error as error:
            said = f"The copy {path} of the archive's rows, in which source='remote' looks, cannot be made: {error}."
            raise CacheError(said, "Let TMPDIR name a folder with more room.", path=path) from error


def _take_out_local(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> None:
    """Remove LOCAL records and their past; what is kept apart because of them finds its place with the next sync."""
    table, feed = quote(orm_class.table().name), quote(feed_table(orm_class).name)
    connection.execute("BEGIN IMMEDIATE")
    with feed_paused(connection, orm_class):
        connection.execute(f"DELETE FROM {table} WHERE origin = 'LOCAL'")
    connection.execute(f"DELETE FROM {feed} WHERE archive_n IS NULL AND op <> 'begun'")
    connection.execute(f"DELETE FROM {quote(history_table(orm_class).name)} WHERE koa_archive_n IS NULL")
    connection.execute(f"UPDATE {quote(f'{orm_class.table().name}_sync')} SET settled = NULL, synced_at = NULL")
    connection.execute("COMMIT")


class Judgements:
    """The judgements of a store's own, for a copy in which they hold too.

    Parameters
    ----------
    local : LocalDatabase
        The store's.
    """

    def __init__(self, local: LocalDatabase[Any]) -> None:
        orm_class: type[ORMCalibration] = local.orm_class
        self._local = local
        self._log = judgements_table(orm_class)
        self._known: list[tuple[Any, ...]] | None = None

    def renew(self, copy: LocalDatabase[Any]) -> None:
        """Write them into the copy, where they have changed.

        Raises
        ------
        CacheError
        """
        found = self._local.rows(select(self._log).order_by(self._log.c.n), {})
        if found == self._known:
            return
        with copy.begin() as connection:
            connection.execute(delete(self._log))
            if found:
                connection.execute(
                    insert(self._log), [dict(zip(self._log.c.keys(), row, strict=True)) for row in found]
                )
        self._known = found
