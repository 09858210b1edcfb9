"""A PostgreSQL archive as a client reads it: one table, and the feed of its changes.

A client creates and changes nothing here. It relies on no state of a session, so a pooler in transaction mode
may stand between: whatever belongs together is one transaction.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, cast

from sqlalchemy import Connection, Engine, Table, text

from ...exceptions import KoaMiddlewareError, RemoteError
from ..protocol import Batch, Entry, Mark, Page, Row, State
from .engine import SETTINGS, prepare
from .errors import host_of, lacks_columns, remote_errors
from .identifiers import FEED_TRIGGERS, feed_name, quote
from .notes import Note, read_notes
from .position import Position
from .standing import Standing, question
from .values import batch_of, is_required, order_of_ids, selection

#: Rows in one fetch, and in one local transaction.
BATCH = 10_000
#: Newest entries that a copy keeps when it reads all rows; by them it knows a standby of another history.
_KEPT_ENTRIES = 1000

_ENTRY = """n, id, op, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), quality, who, why, token::text"""


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
        self.name = quote(table.name)
        self.feed = quote(feed_name(table))
        self.encoding: str = connection.get_parameter_status("server_encoding")
        self._cursor = connection.cursor()
        self._has_feed = bool(self.fetch("SELECT to_regclass(%s) IS NOT NULL", (self.feed,))[0][0])

    def state(self, since: str | None, seen: str | None) -> State:
        """Tell how the archive stands to a client."""
        return self._ask(since, seen).state(since, seen)

    @contextmanager
    def reading(self, since: str | None, seen: str | None) -> Iterator[PostgresReading]:
        """Give one consistent view: a transaction that the server keeps from writing."""
        # The lock comes before the snapshot: a rewritten or truncated table looks empty to an older snapshot.
        locked = f"{self.name}, {self.feed}" if self._has_feed else self.name
        lock = f"LOCK TABLE {locked} IN ACCESS SHARE MODE"
        begin = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {SETTINGS}; {lock}; "
        try:
            there = self._ask(since, seen, begin)
            self._require_columns(there.names)
            yield PostgresReading(self, there, there.state(since, seen))
        except BaseException:
            with suppress(KoaMiddlewareError):  # the first one says what happened
                self.execute("ROLLBACK")
            raise
        self.execute("ROLLBACK")

    def execute(self, sql: str, parameters: Any = None) -> None:
        """Run a statement."""
        with remote_errors(self.engine, self.table):
            self._cursor.execute(sql, parameters)

    def fetch(self, sql: str, parameters: Any = None) -> list[Row]:
        """Rows of a statement."""
        with remote_errors(self.engine, self.table):
            self._cursor.execute(sql, parameters)
            return cast("list[Row]", self._cursor.fetchall())

    def _ask(self, since: str | None, seen: str | None, begin: str = "") -> Standing:
        asked = [position.n for position in map(Position.read, (since, seen)) if position is not None]
        parameters = {"table": self.name, "asked": asked, "triggers": list(FEED_TRIGGERS)}
        answer = self.fetch(begin + question(self.table, self._has_feed), parameters)[0][0]
        return Standing.of(self.table, answer, self.notes)

    def notes(self) -> list[Note]:
        """Read who set the archive up, the class that leads last."""
        if not self._has_feed:
            return []
        return read_notes(self.fetch("SELECT obj_description(%s::regclass, 'pg_class')", (self.feed,))[0][0])

    def _require_columns(self, names: Mapping[str, str]) -> None:
        missing = tuple(c.name for c in self.table.c if is_required(c) and c.name not in names)
        if missing:
            raise lacks_columns(self.table, missing, host_of(self.engine), self.notes())


class PostgresReading:
    """One consistent view of an archive, in a transaction.

    Parameters
    ----------
    source : PostgresSource
    there : Standing
        What the transaction's first statement told.
    state : State
    """

    def __init__(self, source: PostgresSource, there: Standing, state: State) -> None:
        self.state = state
        self._source = source
        self._there = there
        self._table = source.table

    def pages(self, since: str) -> Generator[Page]:
        """Give what the feed tells after a bookmark."""
        known = Position.read(since)
        sql = f"SELECT {_ENTRY} FROM {self._source.feed} WHERE n > %s ORDER BY n LIMIT {BATCH}"
        last = known.n if known else 0
        while last < self._there.here.n:
            entries = [Entry(*row) for row in self._source.fetch(sql, (last,))]
            rows = self.rows_of({entry.id for entry in entries if entry.id is not None})
            last, token = entries[-1].n, entries[-1].token
            yield Page(entries, rows, self._there.here.at(Mark(last, token)).bookmark)

    def sweep(self, after: str) -> Generator[Batch]:
        """All rows whose id comes after a given one, in the order of their ids' code points."""
        key, last = order_of_ids(self._there.columns["id"], self._source.encoding)
        where = f"WHERE {key} > {last}" if after else ""
        sql = f"SELECT {self._selection()} FROM {self._source.name} {where} ORDER BY {key}"
        position = self._table.c.keys().index("id")
        for rows in self._stream(sql, (after,) if after else ()):
            ids = [after, *(row[position] for row in rows if row[position] is not None)]  # where id is no primary key
            if ids != sorted(ids):
                raise RemoteError(
                    f"The archive at {host_of(self._source.engine)} does not give its rows in the order of their ids.",
                    "Nothing more was read; ask its owner for a database whose encoding is UTF8.",
                )
            after = ids[-1]
            yield batch_of(rows, self._table.c.keys())

    def judgements(self) -> Generator[list[Entry]]:
        """Give the judgements, and the newest entries."""
        if self._there.newest is None:
            return
        first = self._there.here.n - _KEPT_ENTRIES
        select = f"SELECT {_ENTRY} FROM {self._source.feed} WHERE"
        sql = f"{select} why IS NOT NULL AND n <= %s UNION ALL {select} n > %s ORDER BY 1"
        for rows in self._stream(sql, (first, first)):
            yield [Entry(*row) for row in rows]

    def rows_of(self, ids: Iterable[str]) -> Batch:
        """Rows of some ids."""
        where = f"WHERE id = ANY(%s::{self._there.columns['id']}[])"
        rows = self._source.fetch(f"SELECT {self._selection()} FROM {self._source.name} {where}", (list(ids),))
        return batch_of(rows, self._table.c.keys())

    def _selection(self) -> str:
        return selection(self._table, self._there.columns, self._there.names)

    def _stream(self, sql: str, parameters: Sequence[Any]) -> Generator[list[Row]]:
        fetch = f"FETCH {BATCH} FROM koa_rows"
        # Server and network work on the next batch while the caller stores this one.
        with ThreadPoolExecutor(max_workers=1) as ahead:
            declare = f"DECLARE koa_rows NO SCROLL CURSOR FOR {sql}; {fetch}"
            coming = ahead.submit(self._source.fetch, declare, parameters)
            while rows := coming.result():
                if len(rows) == BATCH:
                    coming = ahead.submit(self._source.fetch, fetch)
                yield rows
                if len(rows) < BATCH:
                    break
            self._source.execute("CLOSE koa_rows")


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


def has_feed(connection: Connection, table: Table) -> bool:
    """Whether an archive has a feed."""
    there = text("SELECT to_regclass(:name) IS NOT NULL")
    return bool(connection.scalar(there, {"name": quote(feed_name(table))}))


def newest_entry(connection: Connection, table: Table) -> list[Entry]:
    """Give the entry that a transaction which has changed one row adds to the feed; none where there is no feed."""
    if not has_feed(connection, table):
        return []
    connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")  # the commit would add it later
    feed = quote(feed_name(table))
    ours = f"n = (SELECT max(n) FROM {feed}) AND xmin = pg_current_xact_id()::xid"  # none where the trigger is off
    sql = f"SELECT {_ENTRY} FROM {feed} WHERE {ours}"
    return [Entry(*row) for row in connection.exec_driver_sql(sql)]
