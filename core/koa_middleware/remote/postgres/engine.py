"""The engine of a PostgreSQL server, and the reading of its URL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, exc, make_url
from sqlalchemy.engine import URL

from ...exceptions import ConfigurationError

#: How such a URL begins, before ``://`` or the name of a driver.
SCHEMES = frozenset({"postgresql", "postgres"})

#: Seconds; where the URL does not say otherwise. A server that vanishes without a word is noticed within a minute.
_REMOTE_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


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
    # An "@" in the host or the database is the rest of a password that was not percent-encoded.
    if url is None or url.get_backend_name() not in SCHEMES or "@" in f"{url.host}{url.database}":
        raise unusable_url()
    password = url.query.get("password")
    return url.set(password=str(password)).difference_update_query(["password"]) if password else url


def unusable_url() -> ConfigurationError:
    """Give the error of a URL that is none of a PostgreSQL server; it does not repeat it."""
    return ConfigurationError(
        "The URL of the remote database is not one of a PostgreSQL server.",
        "Write it as postgresql://user@host:port/database, with special characters percent-encoded.",
        setting="remote_database_url",
        variable="KOA_REMOTE_DATABASE_URL",
    )


def shown_url(url: URL) -> str:
    """Give a URL as messages may show it, without passwords."""
    secret = [name for name in url.query if "password" in name]
    return url.difference_update_query(secret).render_as_string(hide_password=True)


def postgresql_engine(text: str) -> Engine:
    """Engine of a PostgreSQL server; opens no connection.

    Connections are not kept: many clients read now and then, and each connection costs the server a process. Each
    transaction runs in UTC, so that times which are written as text mean the same on every server.

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
    engine = create_engine(full, poolclass=NullPool, use_native_hstore=False)
    event.listen(engine, "begin", _use_utc)
    event.listen(engine, "connect", lambda connection, _: read_all_times(connection))
    return engine


def read_all_times(connection: Any) -> None:
    """Let a driver's connection give times that Python does not have, such as 44 BC and infinity, as text."""
    from psycopg2 import extensions

    known = (extensions.PYDATE, extensions.PYDATETIME, extensions.PYDATETIMETZ, extensions.PYINTERVAL)
    for kind in known:
        extensions.register_type(extensions.new_type(kind.values, kind.name, _read_time(kind)), connection)


def _read_time(kind: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def read(text: Any, cursor: Any) -> Any:
        try:
            return text if text is not None and "infinity" in text else kind(text, cursor)
        except (ValueError, OverflowError):
            return text

    return read


def _use_utc(connection: Connection) -> None:
    # Not by an option of the connection's start, which poolers refuse.
    connection.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")
