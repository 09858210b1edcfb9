"""The engine of an SQLite file, and how its transactions begin.

The file is in SQLite's rollback-journal mode, which works on network file systems, where the write-ahead log
does not (sqlite.org/wal.html). A writer begins with BEGIN IMMEDIATE: it waits for its turn, then cannot fail
half-way for another writer. A reader takes no lock that outlives its statement.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import deque
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.engine import URL

#: Gives an identifier as SQL text.
quote = dialect().identifier_preparer.quote_identifier

#: Seconds that a writer waits for another one; saving a large model takes some.
BUSY_TIMEOUT = 60.0

_STEP_MS = 250


def sqlite_engine(path: Path) -> Engine:
    """Engine of an SQLite file.

    The driver opens no transactions by itself; the execution option ``sqlite_begin`` says how one begins. Without
    it there is none, so that a reader holds no lock.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)), connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT}
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("sqlite_begin")
        if mode == "IMMEDIATE":
            _begin_when_free(connection)
        elif mode:
            connection.exec_driver_sql(f"BEGIN {mode}")

    @event.listens_for(engine, "connect")
    def remember_process(_: Any, record: Any) -> None:
        record.info["pid"] = os.getpid()

    @event.listens_for(engine, "checkout")
    def refuse_after_fork(_: Any, record: Any, proxy: Any) -> None:
        if record.info["pid"] != os.getpid():
            record.dbapi_connection = proxy.dbapi_connection = None
            raise exc.DisconnectionError("an SQLite connection must not cross a fork")

    return engine


class ReadConnections:
    """The driver's own connections for single statements that read, kept open for the next one.

    SQLAlchemy's pool takes 9 us for a check-out, as long as such a statement takes. A connection that came over a fork
    is neither used nor closed.
    """

    _MOST_IDLE = 4

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle_by_process: dict[int, deque[sqlite3.Connection]] = {}

    def take(self) -> sqlite3.Connection:
        """Give one that nobody else uses; it opens no transaction by itself."""
        try:
            return self._idle().pop()
        except IndexError:
            pooled = self._engine.raw_connection()
            connection = cast(sqlite3.Connection, pooled.driver_connection)
            pooled.detach()
            return connection

    def give_back(self, connection: sqlite3.Connection) -> None:
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

    def _idle(self) -> deque[sqlite3.Connection]:
        return self._idle_by_process.setdefault(os.getpid(), deque())


def _begin_when_free(connection: Connection) -> None:
    """Begin to write when no other process does; waits in short steps, between which Ctrl-C is heard."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {_STEP_MS}")
    try:
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return
            except exc.OperationalError as error:
                if "locked" not in str(error.orig) or time.monotonic() > deadline:
                    raise
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {1000 * BUSY_TIMEOUT:.0f}")
