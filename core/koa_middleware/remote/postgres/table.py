"""A PostgreSQL archive as a client reads it: one table, and its changes since a bookmark.

A client creates and changes nothing here. It relies on no state of a session, so a pooler in transaction mode
may stand between: whatever belongs together is one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, cast

from sqlalchemy import Engine, Table

from ...exceptions import KoaMiddlewareError, SchemaMismatchError
from ..protocol import Batch, Row, State
from .engine import SETTINGS, prepare
from .errors import host_of, init_hint, remote_errors
from .schema import SYNC_COLUMN, quote, withdrawn_name
from .snapshot import Snapshot, columns_digest
from .values import batch_of, is_required, order_of_ids, selection

#: Rows in one fetch, and in one local transaction.
BATCH = 10_000


class _Answer(NamedTuple):
    """What one statement tells about the archive."""

    snapshot: Snapshot
    standby: bool
    columns: Mapping[str, str]  #: the table's columns and their types
    newest_xid: int | None
    is_reopened: bool  #: whether a transaction that was open for the client has written


class PostgresSource:
    """An instrument's table on a PostgreSQL server, over one connection.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    table : sqlalchemy.Table
        The table of an instrument's class.
    connection
        The driver's, without transactions of its own.
    """

    def __init__(self, engine: Engine, table: Table, connection: Any) -> None:
        self.engine = engine
        self.table = table
        self.cursor = connection.cursor()
        self.name = quote(table.name)
        self.withdrawn = quote(withdrawn_name(table))

    def state(self, since: str | None) -> State:
        """Tell how the archive stands to a bookmark.

        Its cost does not depend on the number of rows: each maximum is one probe of an index.
        """
        return self._state(*self._ask(since))

    @contextmanager
    def reading(self, since: str | None) -> Iterator[PostgresReading]:
        """Give one consistent view: a transaction that the server keeps from writing."""
        known, there = self._ask(since, begin=True)
        try:
            self._require_columns(there.columns)
            yield PostgresReading(self, there, self._state(known, there))
        except BaseException:
            with suppress(KoaMiddlewareError):  # the first one says what happened
                self._end()
            raise
        self._end()

    def _end(self) -> None:
        with remote_errors(self.engine, self.table):
            self.cursor.execute("ROLLBACK")

    def _ask(self, since: str | None, *, begin: bool = False) -> tuple[Snapshot | None, _Answer]:
        known = Snapshot.read(since)
        newest = "(SELECT max({0}) FROM {1}{2})".format
        both = (self.name, self.withdrawn)
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
            greatest({newest(SYNC_COLUMN, self.name, "")}, {newest(SYNC_COLUMN, self.withdrawn, "")}),
            EXISTS (SELECT 1 FROM unnest(%s::bigint[]) AS x WHERE {reopened})"""
        # The lock comes before the snapshot: a rewritten or truncated table looks empty to an older snapshot.
        lock = f"LOCK TABLE {self.name}, {self.withdrawn} IN ACCESS SHARE MODE"
        start = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {SETTINGS}; {lock}; " if begin else ""
        with remote_errors(self.engine, self.table):
            self.cursor.execute(start + sql, (self.name, self.name, list(known.open_xids) if known else []))
            *history, snapshot, standby, columns, newest_xid, is_reopened = self.cursor.fetchone()
        types = json.loads(columns)
        now = Snapshot.of("/".join(map(str, history)), columns_digest(self.table, types), snapshot, standby=standby)
        return known, _Answer(now, standby, types, newest_xid, is_reopened)

    def _state(self, known: Snapshot | None, there: _Answer) -> State:
        """Compare; a primary's numbers never go back, a standby may lag behind a bookmark of its primary."""
        same = known is not None and known.is_of(there.snapshot)
        behind = known is not None and same and there.snapshot.next_xid < known.next_xid
        is_newer = known is None or (there.newest_xid is not None and there.newest_xid >= known.next_xid)
        return State(
            bookmark=there.snapshot.bookmark,
            continues=same and (there.standby or not behind),
            behind=behind,
            news=is_newer or there.is_reopened,
            unknown_columns=tuple(sorted(set(there.columns) - set(self.table.c.keys()) - {SYNC_COLUMN})),
            missing_columns=tuple(c.key for c in self.table.c if c.key not in {*there.columns, "origin"}),
        )

    def _require_columns(self, columns: Mapping[str, str]) -> None:
        needed = (*(c.name for c in self.table.c if is_required(c)), "last_updated", SYNC_COLUMN)
        missing = tuple(dict.fromkeys(name for name in needed if name not in columns))
        if missing:
            host = host_of(self.engine)
            raise SchemaMismatchError(
                f"The table {self.table.name} of the remote database at {host} lacks the "
                f"column{'s' if len(missing) > 1 else ''} {', '.join(missing)}, which the plugin needs.",
                init_hint(self.table),
                database=host,
                table=self.table.name,
                missing=missing,
            )


class PostgresReading:
    """One consistent view of an archive, in a transaction.

    Parameters
    ----------
    source : PostgresSource
    there : _Answer
        What the transaction's first statement told.
    state : State
    """

    def __init__(self, source: PostgresSource, there: _Answer, state: State) -> None:
        self.state = state
        self._source = source
        self._there = there
        self._table = source.table

    def withdrawn(self, since: str) -> Generator[list[str]]:
        """Ids of rows that were deleted since a bookmark and are not there now."""
        gone = f"NOT EXISTS (SELECT 1 FROM {self._source.name} AS r WHERE r.id::text = w.id)"
        for rows in self._since(f"SELECT w.id FROM {self._source.withdrawn} AS w WHERE {gone} AND w.", since):
            yield [row[0] for row in rows]

    def changed(self, since: str) -> Generator[Batch]:
        """Rows that were written since a bookmark."""
        return self._rows(self._since(f"SELECT {self._selection()} FROM {self._source.name} WHERE ", since))

    def sweep(self, after: str) -> Generator[Batch]:
        """All rows whose id comes after a given one, in the order of their ids' code points."""
        encoding = self._source.cursor.connection.get_parameter_status("server_encoding")
        key, last = order_of_ids(self._there.columns["id"], encoding)
        where = f"WHERE {key} > {last}" if after else ""
        sql = f"SELECT {self._selection()} FROM {self._source.name} {where} ORDER BY {key}"
        return self._rows(self._stream(sql, (after,) if after else ()))

    def rows_of(self, ids: Sequence[str]) -> Generator[Batch]:
        """Rows of some ids."""
        where = f"WHERE id = ANY(%s::{self._there.columns['id']}[])"
        return self._rows(self._stream(f"SELECT {self._selection()} FROM {self._source.name} {where}", (list(ids),)))

    def _selection(self) -> str:
        return selection(self._table, self._there.columns)

    def _rows(self, found: Generator[list[Row]]) -> Generator[Batch]:
        for rows in found:
            yield batch_of(rows, self._table.c.keys())

    def _since(self, select: str, since: str) -> Generator[list[Row]]:
        """Two probes of the index in place of one condition that a planner might answer with a scan."""
        known = Snapshot.read(since)
        if known == self._there.snapshot and not self._there.standby:  # a standby's does not tell states apart
            return
        sql = f"{select}{SYNC_COLUMN} >= %s"
        parameters: tuple[Any, ...] = (known.next_xid if known else 0,)
        if known and known.open_xids:
            sql, parameters = f"{sql} UNION ALL {select}{SYNC_COLUMN} = ANY(%s)", (*parameters, list(known.open_xids))
        yield from self._stream(sql, parameters)

    def _stream(self, sql: str, parameters: Sequence[Any]) -> Generator[list[Row]]:
        fetch = f"FETCH {BATCH} FROM koa_rows"
        # Server and network work on the next batch while the caller stores this one.
        with remote_errors(self._source.engine, self._table), ThreadPoolExecutor(max_workers=1) as ahead:
            coming = ahead.submit(self._fetch, f"DECLARE koa_rows NO SCROLL CURSOR FOR {sql}; {fetch}", parameters)
            while rows := coming.result():
                if len(rows) == BATCH:
                    coming = ahead.submit(self._fetch, fetch, ())
                yield rows
                if len(rows) < BATCH:
                    break
            self._source.cursor.execute("CLOSE koa_rows")

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        self._source.cursor.execute(sql, parameters)
        return cast("list[Row]", self._source.cursor.fetchall())


@contextmanager
def connected(engine: Engine, table: Table) -> Iterator[PostgresSource]:
    """Open a connection for reading.

    Raises
    ------
    RemoteUnavailableError
        When the server does not answer or refuses.
    """
    with remote_errors(engine, table):
        # Straight from the driver: an engine's first connection would cost several more round trips.
        arguments, options = engine.dialect.create_connect_args(engine.url)
        connection = cast(Any, engine.dialect.connect(*arguments, **options))
    try:
        prepare(connection, host_of(engine))
        connection.autocommit = True  # transactions begin and end by statements of ours
        yield PostgresSource(engine, table, connection)
    finally:
        connection.close()
