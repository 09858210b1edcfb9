"""The engine of an SQLite file, and how its transactions begin.

The file is in SQLite's rollback-journal mode, which works on network file systems, where the write-ahead log
does not (sqlite.org/wal.html). A writer begins with BEGIN IMMEDIATE: it waits for its turn, then cannot fail
half-way for another writer. A reader takes no lock that outlives its statement; a session begins to write at its first
statement that does.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool

from ..instrument.judged import know_judgements
from .driver import HELD_BY_WRITER, GuardedConnection, GuardedCursor

#: Gives an identifier as SQL text.
quote = dialect().identifier_preparer.quote_identifier

#: Seconds that a writer waits for another one; saving a large model takes some.
BUSY_TIMEOUT = 60.0

#: Stands for a database that cannot be made.
NO_FILE = Path(":memory:")

_STEP_MS = 250

#: How soon a reader asks again that met a commit, which takes a few milliseconds.
_ASK_AGAIN_S = 0.0005

#: Statements that read in one transaction, which takes a few milliseconds.
_AT_ONCE = 256

#: Statements that need a transaction; a SELECT may stand behind WITH too, and then takes one in vain.
_WRITES = re.compile(
    r"\s*(INSERT|UPDATE|DELETE|REPLACE|CREATE|ALTER|DROP|REINDEX|SAVEPOINT|WITH\b.*\b(INSERT|UPDATE|DELETE)\b)",
    re.IGNORECASE | re.DOTALL,
)

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _renew_pools() -> None:
    """Give each engine a new pool in a child: another thread may have held the old one's lock at the fork."""
    for engine in list(_engines):
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_renew_pools)


def sqlite_engine(path: Path) -> Engine:
    """Engine of an SQLite file; of `NO_FILE`, connections that each find nothing.

    The driver opens no transactions by itself; the execution option ``sqlite_begin`` says how one begins. Without
    it there is none, so that a reader holds no lock.
    """
    arguments = {
        "isolation_level": None,
        "timeout": BUSY_TIMEOUT,
        "factory": GuardedConnection,
        "check_same_thread": False,
        "uri": True,  # for what is attached; a path that is absolute is none
    }
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args=arguments, poolclass=QueuePool)

    @event.listens_for(engine, "checkout")
    def check_file(connection: GuardedConnection, _record: object, _pooled: object) -> None:
        if not connection.is_of_its_file():
            raise exc.DisconnectionError  # which the pool takes for the wish for a new one

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("sqlite_begin") == "IMMEDIATE":
            _begin_when_free(driver_of(connection))

    @event.listens_for(engine, "before_cursor_execute")
    def begin_to_write(
        connection: Connection, cursor: GuardedCursor, statement: str, _parameters: Any, _context: Any, _many: bool
    ) -> None:
        is_session = connection.get_execution_options().get("sqlite_begin") == "DEFERRED"
        if is_session and not cursor.connection.in_transaction and _WRITES.match(statement):
            _begin_when_free(cursor.connection)

    know_judgements(engine.dialect)
    _engines.add(engine)
    return engine


def read_only_uri(path: Path) -> str:
    """Give the URI by which SQLite opens or attaches a file for reading alone."""
    return f"{path.as_uri()}?mode=ro"


def make_read_only(engine: Engine, statements: Sequence[str] = ()) -> None:
    """Let an engine's connections begin with some statements, and only read from then on; SQLite refuses the rest."""
    engine.dispose()

    @event.listens_for(engine, "connect")
    def refuse_writing(connection: GuardedConnection, _record: object) -> None:
        for statement in statements:
            connection.execute(statement)
        connection.execute("PRAGMA query_only = ON")


def driver_of(connection: Connection) -> GuardedConnection:
    """Give the driver's connection of a connection of SQLAlchemy."""
    return cast(GuardedConnection, connection.connection.driver_connection)


class ReadConnections:
    """The driver's own connections for single statements that read, kept open for the next one.

    SQLAlchemy's pool takes 9 us for a check-out, as long as such a statement takes. A connection that came over a fork
    is neither used nor closed.
    """

    _MOST_IDLE = 4

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle_by_process: dict[int, deque[GuardedConnection]] = {}

    def take(self) -> GuardedConnection:
        """Give one that nobody else uses; it opens no transaction by itself."""
        try:
            while not (connection := self._idle().pop()).is_of_its_file():
                connection.close()
        except IndexError:
            pooled = self._engine.raw_connection()
            connection = cast(GuardedConnection, pooled.driver_connection)
            pooled.detach()
            connection.execute("PRAGMA busy_timeout = 0")
        return connection

    def read(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[tuple[Any, ...]]:
        """Give the rows of a statement; where a writer commits just now, as soon as it is done.

        SQLite itself would ask again after up to 100 ms, by when the next writer may be at it.

        Raises
        ------
        sqlite3.Error
        """
        connection = self.take()
        try:
            return _when_free(lambda: connection.execute(sql, parameters).fetchall())
        finally:
            self.give_back(connection)

    def read_many(self, sql: str, parameters: Sequence[Mapping[str, Any]]) -> list[list[tuple[Any, ...]]]:
        """Give the rows of a statement for each of many parameters, in transactions of `_AT_ONCE` of them.

        Raises
        ------
        sqlite3.Error
        """
        connection = self.take()
        try:
            found: list[list[tuple[Any, ...]]] = []
            for first in range(0, len(parameters), _AT_ONCE):
                portion = parameters[first : first + _AT_ONCE]
                found += _when_free(partial(_in_one_state, connection, sql, portion))
            return found
        finally:
            self.give_back(connection)

    def give_back(self, connection: GuardedConnection) -> None:
        """Keep one for its next user."""
        idle = self._idle()
        if len(idle) < self._MOST_IDLE:
            idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close those that nobody uses now."""
        idle = self._idle()
        while idle:
            idle.pop().close()

    def _idle(self) -> deque[GuardedConnection]:
        return self._idle_by_process.setdefault(os.getpid(), deque())


def _in_one_state(
    connection: sqlite3.Connection, sql: str, parameters: Sequence[Mapping[str, Any]]
) -> list[list[tuple[Any, ...]]]:
    connection.execute("BEGIN")
    try:
        return [connection.execute(sql, each).fetchall() for each in parameters]
    finally:
        connection.execute("COMMIT")


def _when_free(read: Callable[[], list[Any]]) -> list[Any]:
    """Read; where a writer commits just now, again as soon as it is done."""
    began = 0.0
    while True:
        try:
            return read()
        except sqlite3.OperationalError as error:
            waited = time.monotonic() - began if began else 0.0
            if str(error) != HELD_BY_WRITER or waited > BUSY_TIMEOUT:
                raise
            began = began or time.monotonic()
            time.sleep(_ASK_AGAIN_S if waited < 1 else 20 * _ASK_AGAIN_S)


def _begin_when_free(connection: GuardedConnection) -> None:
    """Begin to write when no other process does; waits in short steps, between which Ctrl-C is heard."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    connection.execute(f"PRAGMA busy_timeout = {_STEP_MS}")
    try:
        while True:
            try:
                connection.begin_immediate()
                return
            except sqlite3.OperationalError as error:
                if str(error) != HELD_BY_WRITER or time.monotonic() > deadline:
                    raise
    finally:
        connection.execute(f"PRAGMA busy_timeout = {1000 * BUSY_TIMEOUT:.0f}")
