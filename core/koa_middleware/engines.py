"""The only place where database engines are made.

The local file is in SQLite's rollback-journal mode, which works on network file systems, where the write-ahead log
does not (sqlite.org/wal.html). A writer begins with BEGIN IMMEDIATE: it waits for its turn, then cannot fail
half-way for another writer. A reader takes no lock that outlives its statement.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, exc, make_url
from sqlalchemy.engine import URL

from .exceptions import ConfigurationError

#: Seconds that a writer waits for another one; saving a large model takes some.
BUSY_TIMEOUT = 60.0

#: Seconds; where the URL does not say otherwise. A server that vanishes without a word is noticed within a minute.
_REMOTE_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


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
        if mode:
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


def postgresql_url(text: str) -> URL:
    """Read the URL of a PostgreSQL server.

    Raises
    ------
    ConfigurationError
        When it is no such URL; the message does not repeat it, since a password may stand in it.
    """
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        url = None
    # An "@" in the host is the rest of a password that was not percent-encoded.
    if url is None or url.get_backend_name() not in {"postgresql", "postgres"} or "@" in (url.host or ""):
        raise ConfigurationError(
            "The URL of the remote database is not one of a PostgreSQL server.",
            "Write it as postgresql://user@host:port/database, with special characters percent-encoded.",
            setting="remote_database_url",
            variable="KOA_REMOTE_DATABASE_URL",
        )
    password = url.query.get("password")
    return url.set(password=str(password)).difference_update_query(["password"]) if password else url


def shown_url(url: URL) -> str:
    """Give a URL as messages may show it, without passwords."""
    secret = [name for name in url.query if "password" in name]
    return url.difference_update_query(secret).render_as_string(hide_password=True)


def postgresql_engine(text: str) -> Engine:
    """Engine of a PostgreSQL server; opens no connection.

    Connections are not kept: many clients read now and then, and each connection costs the server a process.

    Parameters
    ----------
    text : str
        ``postgresql://user@host:port/database?connect_timeout=10``; what the driver accepts may stand in it, and
        the driver reads ``~/.pgpass``.

    Raises
    ------
    ConfigurationError
        When it is no such URL.
    """
    url = postgresql_url(text)
    unsaid = {name: value for name, value in _REMOTE_DEFAULTS.items() if name not in url.query}
    full = url.set(drivername="postgresql+psycopg2").update_query_dict(unsaid)
    return create_engine(full, poolclass=NullPool, use_native_hstore=False)
