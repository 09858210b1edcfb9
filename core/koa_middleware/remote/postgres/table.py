"""A PostgreSQL archive as a client reads it: one table, and the feed of its changes.

A client creates and changes nothing here. It relies on no state of a session, so a pooler in transaction mode
may stand between: whatever belongs together is one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any, cast

from sqlalchemy import Connection, Engine, Table, text

from ...exceptions import KoaMiddlewareError, RemoteError
from .. import viewed
from ..matching import is_required
from ..origin import Told
from ..others import OTHER, Others, others_of
from ..protocol import VERSION, Batch, Entry, Mark, Row
from ..standing import Facts
from .engine import SETTINGS, driver_connection
from .errors import host_of, lacks_columns, remote_errors
from .identifiers import FEED_TRIGGERS, feed_name, history_name, quote
from .notes import Note, read_notes
from .standing import AS_TEXT, There, question
from .values import batch_of, order_of_ids, selection

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

    def facts(self, asked: Collection[int] = ()) -> Facts:
        """Ask what the archive says of itself, and for the tokens of some entries."""
        return self._ask(asked).facts

    def others(self) -> Others:
        """Give the columns of other versions of the class that the archive has."""
        there, own = self._ask(()).facts, {column.name for column in self.table.c if OTHER not in column.info}
        unknown = there.stored.keys() - {there.names.get(name) for name in own}
        found = others_of([note.declared for note in self.notes()], {name.lower() for name in unknown})
        return tuple((name, said) for name, said in found if name in unknown)

    @contextmanager
    def view(self, asked: Collection[int] = ()) -> Iterator[PostgresView]:
        """Give one consistent view: a transaction that the server keeps from writing."""
        # The lock comes before the snapshot: a rewritten or truncated table looks empty to an older snapshot.
        sides = {self.feed: self._has_feed, self.history: self._has_feed and self._has_history}
        locked = ", ".join([self.name, *(side for side, is_there in sides.items() if is_there)])
        lock = f"LOCK TABLE {locked} IN ACCESS SHARE MODE"
        begin = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {SETTINGS}; {lock}; "
        try:
            there = self._ask(asked, begin)
            self._require_columns(there.facts.names)
            yield PostgresView(self, there)
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

    def _ask(self, asked: Collection[int], begin: str = "") -> There:
        parameters = {"table": self.name, "asked": list(asked), "triggers": list(FEED_TRIGGERS)}
        answer = self.fetch(begin + question(self.table, self._has_feed), parameters)[0][0]
        return There.of(self.table, answer, self.notes)

    def notes(self) -> list[Note]:
        """Read who set the archive up, the class that leads last."""
        if not self._has_feed:
            return []
        return read_notes(self.fetch("SELECT obj_description(%s::regclass, 'pg_class')", (self.feed,))[0][0])

    def _require_columns(self, names: Mapping[str, str]) -> None:
        missing = tuple(c.name for c in self.table.c if is_required(c) and c.name not in names)
        if missing:
            raise lacks_columns(self.table, missing, host_of(self.engine), self.notes())


class PostgresView:
    """One consistent view of an archive, in a transaction.

    Parameters
    ----------
    source : PostgresSource
    there : There
        What the transaction's first statement told.
    """

    def __init__(self, source: PostgresSource, there: There) -> None:
        self.facts = there.facts
        self._source = source
        self._there = there
        self._table = source.table

    def tokens(self, numbers: Collection[int]) -> dict[int, str]:
        """Give the tokens of entries, as far as they are there, by number."""
        sql = f"SELECT n, token::text FROM {self._source.feed} WHERE n = ANY(%s::bigint[])"
        return dict(self._source.fetch(sql, (list(numbers),)))

    def changes(self, after: int, limit: int) -> Told:
        """Give the first entries after a number, with the rows of their records."""
        told = self.history(after, (1 << 63) - 1, limit)
        return replace(told, batch=self._rows_of({entry.id for entry in told.entries if entry.id is not None}))

    def history(self, after: int, until: int, limit: int) -> Told:
        """Give the first entries after a number and up to another."""
        if self.facts.newest is None:
            return Told([], Batch([]))
        sql = f"SELECT {_ENTRY} FROM {self._source.feed} WHERE n > %s AND n <= %s ORDER BY n LIMIT %s"
        entries = [Entry(*row) for row in self._source.fetch(sql, (after, until, limit + 1))]
        # The entries of one transaction have one time.
        is_complete = len(entries) <= limit or entries[limit].at != entries[limit - 1].at
        entries = entries[:limit]
        last = entries[-1].n if entries else after
        former = self._former(entries, "koa_n > %s AND koa_n <= %s", (after, last))
        return Told(entries, former, is_complete=is_complete)

    def lookup(self, ids: Sequence[str]) -> Told:
        """Give the rows of some ids, and all entries on them."""
        batch = self._rows_of(ids)
        if self.facts.newest is None:
            return Told([], Batch([]), batch)
        sql = f"SELECT {_ENTRY} FROM {self._source.feed} WHERE id = ANY(%s) ORDER BY n"
        entries = [Entry(*row) for row in self._source.fetch(sql, (list(ids),))]
        return Told(entries, self._former(entries, "koa_n = ANY(%s)", ([entry.n for entry in entries],)), batch)

    def rows(self, after: str, limit: int) -> Batch:
        """Give the first rows whose id comes after a given one, in the order of their ids' code points."""
        sql, parameters = self._rows_after(after)
        rows = self._source.fetch(f"{sql} LIMIT %s", (*parameters, limit))
        self._last_of(rows, after)
        return batch_of(rows, self._table.c.keys())

    def sweep(self, after: str) -> Generator[Batch]:
        """All rows whose id comes after a given one, in that order."""
        for rows in self._stream(*self._rows_after(after)):
            after = self._last_of(rows, after)
            yield batch_of(rows, self._table.c.keys())

    def _rows_after(self, after: str) -> tuple[str, tuple[str, ...]]:
        key, last = order_of_ids(self.facts.stored["id"], self._source.encoding)
        where = f"WHERE {key} > {last}" if after else ""
        sql = f"SELECT {self._selection()} FROM {self._source.name} {where} ORDER BY {key}"
        return sql, (after,) if after else ()

    def _last_of(self, rows: Sequence[Row], after: str) -> str:
        """Give the last id of some rows.

        Raises
        ------
        RemoteError
            When they are not in the order of their ids.
        """
        position = self._table.c.keys().index("id")
        ids: list[str] = [after, *(row[position] for row in rows if row[position] is not None)]  # no primary key
        if ids != sorted(ids):
            raise RemoteError(
                f"The archive at {host_of(self._source.engine)} does not give its rows in the order of their ids.",
                "Nothing more was read; ask its owner for a database whose encoding is UTF8.",
            )
        return ids[-1]

    def _former(self, entries: Sequence[Entry], where: str, parameters: Any) -> Batch:
        """Versions that some entries ended; what is added ends none."""
        columns = self._there.former
        if not columns or all(entry.op in _ENDS_NOTHING for entry in entries):
            return Batch([])
        names = {name: there for name, there in self.facts.names.items() if there in columns}
        selected = f"{_VERSION}, {selection(self._table, columns, names)}"
        sql = f"SELECT {selected} FROM {self._source.history} WHERE {where} ORDER BY koa_n"
        return batch_of(self._source.fetch(sql, parameters), [*VERSION, *self._table.c.keys()])

    def _rows_of(self, ids: Collection[str]) -> Batch:
        where = f"WHERE id = ANY(%s::{self.facts.stored['id']}[])"
        rows = self._source.fetch(f"SELECT {self._selection()} FROM {self._source.name} {where}", (list(ids),))
        return batch_of(rows, self._table.c.keys())

    def _selection(self) -> str:
        return selection(self._table, self.facts.stored, self.facts.names)

    def _stream(self, sql: str, parameters: Sequence[Any]) -> Generator[list[Row]]:
        size = viewed.BATCH
        fetch = f"FETCH {size} FROM koa_rows"
        # Server and network work on the next batch while the caller stores this one.
        with ThreadPoolExecutor(max_workers=1) as ahead:
            declare = f"DECLARE koa_rows NO SCROLL CURSOR FOR {sql}; {fetch}"
            coming = ahead.submit(self._source.fetch, declare, parameters)
            while rows := coming.result():
                if len(rows) == size:
                    coming = ahead.submit(self._source.fetch, fetch)
                yield rows
                if len(rows) < size:
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


def newest_mark(connection: Connection, table: Table) -> Mark | None:
    """Give the feed's newest entry, that of the transaction itself where it has changed something; None without one."""
    if not has_feed(connection, table):
        return None
    connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")  # the commit would add entries later
    sql = f"SELECT n, token::text FROM {quote(feed_name(table))} ORDER BY n DESC LIMIT 1"
    found = connection.exec_driver_sql(sql).one_or_none()
    return None if found is None else Mark(*found)
