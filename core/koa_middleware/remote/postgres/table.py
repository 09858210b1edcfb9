"""A PostgreSQL archive as a client reads it: one table, and the feed of its changes.

A client creates and changes nothing here. It relies on no state of a session, so a pooler in transaction mode
may stand between: whatever belongs together is one transaction.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, cast

from sqlalchemy import Connection, Engine, Table, text

from ...exceptions import KoaMiddlewareError, RemoteError
from ..protocol import VERSION, Batch, Entry, Mark, Page, Past, Row, State
from .engine import SETTINGS, driver_connection
from .errors import host_of, lacks_columns, remote_errors
from .identifiers import FEED_TRIGGERS, feed_name, history_name, quote
from .notes import Note, read_notes
from .position import Position
from .standing import AS_TEXT, Standing, question
from .values import batch_of, is_required, order_of_ids, selection

#: Rows in one fetch, and in one local transaction.
BATCH = 10_000

_ENTRY = f"n, id, op, {AS_TEXT.format('at')}, quality, who, why, token::text"
_VERSION = f"koa_n, coalesce({AS_TEXT.format('koa_since')}, ''), {AS_TEXT.format('koa_until')}"
#: What entries say that end no version of a row.
_ENDS_NOTHING = ("added", "begun", "resweep")


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
        self.history = quote(history_name(table))
        sides = self.fetch(f"SELECT {', '.join(['to_regclass(%s) IS NOT NULL'] * 2)}", (self.feed, self.history))
        self._has_feed, self._has_history = sides[0]

    def state(self, since: str | None, seen: str | None) -> State:
        """Tell how the archive stands to a client."""
        return self._ask(since, seen).state(since, seen)

    @contextmanager
    def reading(self, since: str | None, seen: str | None) -> Iterator[PostgresReading]:
        """Give one consistent view: a transaction that the server keeps from writing."""
        # The lock comes before the snapshot: a rewritten or truncated table looks empty to an older snapshot.
        sides = {self.feed: self._has_feed, self.history: self._has_feed and self._has_history}
        locked = ", ".join([self.name, *(side for side, is_there in sides.items() if is_there)])
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
            former = self._former(entries, "koa_n > %s AND koa_n <= %s", (last, entries[-1].n))
            last, token = entries[-1].n, entries[-1].token
            yield Page(entries, rows, self._there.here.at(Mark(last, token)).bookmark, former)

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

    def goes_on_after(self, since: str | None) -> int:
        """Give the number of the entry after which who knows the history up to a bookmark can go on; 0: none."""
        known, here = Position.read(since), self._there.here
        if known is None or known.columns != here.columns or self._there.newest is None:
            return 0
        found = self._source.fetch(f"SELECT token::text FROM {self._source.feed} WHERE n = %s", (known.n,))
        return known.n if found == [(known.token,)] else 0

    def history(self, after: int) -> Generator[Past]:
        """Give all entries after a number, and the versions that they ended."""
        if self._there.newest is None:
            return
        with ThreadPoolExecutor(max_workers=1) as ahead:
            coming = ahead.submit(self._past, after)
            while (past := coming.result()).entries:
                is_last = len(past.entries) < BATCH
                if not is_last:
                    coming = ahead.submit(self._past, past.entries[-1].n)
                yield past
                if is_last:
                    break

    def _past(self, last: int) -> Past:
        sql = f"SELECT {_ENTRY} FROM {self._source.feed} WHERE n > %s ORDER BY n LIMIT {BATCH}"
        entries = [Entry(*row) for row in self._source.fetch(sql, (last,))]
        newest = entries[-1] if entries else Entry(last, None, "", "", None, None, None, "")
        former = self._former(entries, "koa_n > %s AND koa_n <= %s", (last, newest.n))
        return Past(entries, former, self._there.here.at(Mark(newest.n, newest.token)).bookmark)

    def past_of(self, ids: Iterable[str]) -> Past:
        """All entries of some ids, and the versions that they ended."""
        if self._there.newest is None:
            return Past([], Batch([]), "")
        sql = f"SELECT {_ENTRY} FROM {self._source.feed} WHERE id = ANY(%s) ORDER BY n"
        entries = [Entry(*row) for row in self._source.fetch(sql, (list(ids),))]
        return Past(entries, self._former(entries, "koa_n = ANY(%s)", ([entry.n for entry in entries],)), "")

    def _former(self, entries: Sequence[Entry], where: str, parameters: Any) -> Batch:
        """Versions that some entries ended; what is added ends none."""
        columns = self._there.former
        if not columns or all(entry.op in _ENDS_NOTHING for entry in entries):
            return Batch([])
        names = {name: there for name, there in self._there.names.items() if there in columns}
        selected = f"{_VERSION}, {selection(self._table, columns, names)}"
        sql = f"SELECT {selected} FROM {self._source.history} WHERE {where} ORDER BY koa_n"
        return batch_of(self._source.fetch(sql, parameters), [*VERSION, *self._table.c.keys()])

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
    """Open a connection for reading, or take one of those that are kept.

    Raises
    ------
    RemoteUnavailableError
        When the server does not answer or refuses, or no connection is free.
    """
    with ExitStack() as stack:
        with remote_errors(engine, table):
            connection = stack.enter_context(driver_connection(engine))
        yield PostgresSource(engine, table, connection)


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
