"""The remote as a client reads it: one PostgreSQL table, its changes since a bookmark, and its errors.

A client creates and changes nothing here. It relies on no state of a session, so a pooler in transaction mode
may stand between: whatever belongs together is one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Engine, Table

from ...exceptions import SchemaMismatchError
from ..bookmark import Bookmark
from ..protocol import Batch, Row
from .errors import INIT_HINT, host_of, remote_errors
from .schema import SYNC_COLUMN, quote, withdrawn_name
from .values import TEXT_TYPES, batch_of, is_required, selection

#: Rows in one fetch, and in one local transaction.
BATCH = 10_000


@dataclass(frozen=True)
class RemoteState:
    """What one statement tells about the remote.

    Attributes
    ----------
    archive : str
        Names the server, its timeline, the database and the table; transactions' numbers mean something within it.
    bookmark : Bookmark
        Everything that the statement sees.
    standby : bool
    columns : mapping
        The table's columns and their types.
    news : bool
        Whether anything was written since the bookmark that was asked about.
    """

    archive: str
    bookmark: Bookmark
    standby: bool
    columns: Mapping[str, str]
    news: bool


class RemoteTable:
    """An instrument's table on a PostgreSQL server, over one connection.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Of the remote database.
    table : sqlalchemy.Table
        The table of an instrument's class.
    """

    def __init__(self, engine: Engine, table: Table, connection: Any) -> None:
        self.table = table
        self._engine = engine
        self._connection = connection
        self._cursor = connection.cursor()
        self._name = quote(table.name)
        self._withdrawn = quote(withdrawn_name(table))

    def state(self, since: Bookmark | None, *, begin: bool = False) -> RemoteState:
        """Ask, in one round trip, for the remote's state, and whether there is news.

        Its cost does not depend on the number of rows: each maximum is one probe of an index.

        Parameters
        ----------
        since : Bookmark or None
        begin : bool
            Begin the transaction that the following reads belong to.
        """
        newest = "(SELECT max({0}) FROM {1}{2})".format
        both = (self._name, self._withdrawn)
        reopened = " OR ".join(newest(SYNC_COLUMN, name, f" WHERE {SYNC_COLUMN} <= x") + " = x" for name in both)
        sql = f"""SELECT
            (SELECT system_identifier FROM pg_control_system())::text,
            CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
                 ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,
            (SELECT oid FROM pg_database WHERE datname = current_database())::bigint,
            %s::regclass::oid::bigint,
            pg_current_snapshot()::text,
            pg_is_in_recovery(),
            (SELECT json_object_agg(attname, format_type(atttypid, atttypmod))::text FROM pg_attribute
                WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped),
            greatest({newest(SYNC_COLUMN, self._name, "")}, {newest(SYNC_COLUMN, self._withdrawn, "")}),
            EXISTS (SELECT 1 FROM unnest(%s::bigint[]) AS x WHERE {reopened})"""
        # The lock comes before the snapshot: a rewritten or truncated table looks empty to an older snapshot.
        lock = f"LOCK TABLE {self._name}, {self._withdrawn} IN ACCESS SHARE MODE"
        start = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {lock}; " if begin else ""
        open_xids = list(since.open_xids) if since else []
        self._cursor.execute(start + sql, (self._name, self._name, open_xids))
        system, timeline, database, oid, snapshot, standby, columns, newest_xid, is_reopened = self._cursor.fetchone()
        return RemoteState(
            archive=f"{system}/{timeline}/{database}/{oid}",
            bookmark=Bookmark.from_snapshot(snapshot, standby=standby),
            standby=standby,
            columns=json.loads(columns),
            news=since is None or is_reopened or (newest_xid is not None and newest_xid >= since.next_xid),
        )

    def end(self) -> None:
        """End the transaction that `state` began."""
        self._cursor.execute("ROLLBACK")

    def withdrawn(self, since: Bookmark) -> Generator[list[str]]:
        """Ids of rows that were deleted since a bookmark and are not there now."""
        gone = f"NOT EXISTS (SELECT 1 FROM {self._name} AS r WHERE r.id::text = w.id)"
        selected = f"SELECT w.id FROM {self._withdrawn} AS w WHERE {gone} AND w."
        for rows in self._stream(*_since(selected, since)):
            yield [row[0] for row in rows]

    def changed(self, since: Bookmark, columns: Mapping[str, str]) -> Generator[Batch]:
        """Rows that were written since a bookmark."""
        return self._rows(*_since(f"SELECT {self._selection(columns)} FROM {self._name} WHERE ", since))

    def sweep(self, after: str, columns: Mapping[str, str]) -> Generator[Batch]:
        """All rows whose id comes after a given one, in the order of their ids' code points."""
        key = 'id COLLATE "C"' if columns["id"].startswith(TEXT_TYPES) else "id"
        where = f"WHERE {key} > %s" if after else ""
        sql = f"SELECT {self._selection(columns)} FROM {self._name} {where} ORDER BY {key}"
        return self._rows(sql, (after,) if after else ())

    def rows_of(self, ids: Sequence[str]) -> list[Batch]:
        """Rows of some ids."""
        columns = self.state(None, begin=True).columns
        where = f"SELECT {self._selection(columns)} FROM {self._name} WHERE id = ANY(%s::{columns['id']}[])"
        batches = list(self._rows(where, (list(ids),)))
        self.end()
        return batches

    def unknown_columns(self, columns: Mapping[str, str]) -> list[str]:
        """Give the remote's columns that the instrument's class does not know."""
        return sorted(set(columns) - set(self.table.c.keys()) - {SYNC_COLUMN})

    def require_columns(self, columns: Mapping[str, str]) -> None:
        """Check that the remote has all columns that the instrument's class cannot do without.

        Raises
        ------
        SchemaMismatchError
        """
        needed = (*(c.name for c in self.table.c if is_required(c)), "last_updated", SYNC_COLUMN)
        missing = tuple(dict.fromkeys(name for name in needed if name not in columns))
        if missing:
            raise SchemaMismatchError(
                f"The table {self.table.name} of the remote database at {host_of(self._engine)} lacks the "
                f"column{'s' if len(missing) > 1 else ''} {', '.join(missing)}, which the class needs.",
                INIT_HINT,
                database=host_of(self._engine),
                table=self.table.name,
                missing=missing,
            )

    def _selection(self, columns: Mapping[str, str]) -> str:
        return selection(self.table, columns)

    def _rows(self, sql: str, parameters: Sequence[Any]) -> Generator[Batch]:
        for rows in self._stream(sql, parameters):
            yield batch_of(rows, self.table.c.keys())

    def _stream(self, sql: str, parameters: Sequence[Any]) -> Generator[list[Row]]:
        fetch = f"FETCH {BATCH} FROM koa_rows"
        # Server and network work on the next batch while the caller stores this one.
        with ThreadPoolExecutor(max_workers=1) as ahead:
            coming = ahead.submit(self._fetch, f"DECLARE koa_rows NO SCROLL CURSOR FOR {sql}; {fetch}", parameters)
            while rows := coming.result():
                if len(rows) == BATCH:
                    coming = ahead.submit(self._fetch, fetch, ())
                yield rows
                if len(rows) < BATCH:
                    break
        self._cursor.execute("CLOSE koa_rows")

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        self._cursor.execute(sql, parameters)
        return cast("list[Row]", self._cursor.fetchall())


@contextmanager
def open_remote(engine: Engine, table: Table) -> Iterator[RemoteTable]:
    """Open a connection for reading, and translate what goes wrong on it.

    Raises
    ------
    RemoteUnavailableError
        When the server does not answer, refuses, or breaks off.
    SchemaMismatchError
        When the table, or what the protocol needs beside it, is not there.
    RemoteError
        When a right is missing.
    """
    with remote_errors(engine, table):
        # Straight from the driver: an engine's first connection would cost several more round trips.
        arguments, options = engine.dialect.create_connect_args(engine.url)
        connection = cast(Any, engine.dialect.connect(*arguments, **options))
        try:
            connection.autocommit = True  # transactions begin and end by statements of ours
            yield RemoteTable(engine, table, connection)
        finally:
            connection.close()


def _since(select: str, bookmark: Bookmark) -> tuple[str, tuple[Any, ...]]:
    """Two probes of the index in place of one condition that a planner might answer with a scan."""
    sql = f"{select}{SYNC_COLUMN} >= %s"
    if not bookmark.open_xids:
        return sql, (bookmark.next_xid,)
    return f"{sql} UNION ALL {select}{SYNC_COLUMN} = ANY(%s)", (bookmark.next_xid, list(bookmark.open_xids))
