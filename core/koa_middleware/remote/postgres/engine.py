"""The engine of a PostgreSQL server, and what each connection and transaction sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, event

from ...exceptions import RemoteError
from .url import hosts_of, postgresql_url

#: What each transaction sets first, so that numbers and times are written alike whatever the server, the database or
#: the role has set. It holds for the transaction, since poolers refuse options of the connection's start.
SETTINGS = (
    "SET LOCAL TIME ZONE 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres'; "
    "SET LOCAL extra_float_digits = 1"
)

#: Seconds; where the URL does not say otherwise. A server that vanishes without a word is noticed within a minute.
_REMOTE_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}

_OLDEST = 14


def postgresql_engine(text: str) -> Engine:
    """Engine of a PostgreSQL server; opens no connection.

    Connections are not kept: many clients read now and then, and each connection costs the server a process. What a
    transaction brings and stores depends on no setting of the server, the database, the role or the environment.

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
    full = url.set(drivername="postgresql+psycopg2").update_query_dict({**unsaid, "client_encoding": "utf8"})
    # A publisher reads what those before it committed, after waiting for them.
    engine = create_engine(full, poolclass=NullPool, use_native_hstore=False, isolation_level="READ COMMITTED")
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(SETTINGS))
    event.listen(engine, "connect", lambda connection, _: prepare(connection, hosts_of(url)), insert=True)
    return engine


def prepare(connection: Any, host: str) -> None:
    """Make a driver's new connection ready, without a round trip.

    Times that Python does not have, such as 44 BC and infinity, then come as text, and so do intervals.

    Parameters
    ----------
    connection
        The driver's.
    host : str
        The server, as messages call it.

    Raises
    ------
    RemoteError
        When the server is too old.
    """
    from psycopg2 import extensions

    require_version(connection.server_version, host)
    for kind in (extensions.PYDATE, extensions.PYDATETIME, extensions.PYDATETIMETZ):
        extensions.register_type(extensions.new_type(kind.values, kind.name, _read_time(kind)), connection)
    as_text = extensions.new_type(extensions.PYINTERVAL.values, "INTERVAL", lambda text, _: text)
    extensions.register_type(as_text, connection)


def require_version(version: int, host: str) -> None:
    """Refuse a server that is too old.

    Parameters
    ----------
    version : int
        As libpq gives it: 130004 is 13.4; 0 where it is not known.
    host : str

    Raises
    ------
    RemoteError
    """
    if 0 < version < _OLDEST * 10_000:
        major, minor = divmod(version, 10_000)
        found = f"{major}.{minor}" if major >= 10 else f"{major}.{minor // 100}"  # 90624 is 9.6.24
        raise RemoteError(
            f"koa-middleware needs PostgreSQL {_OLDEST} or newer, and {host} has {found}.",
            "Ask its owner to upgrade the server; nothing was changed.",
        )


def _read_time(kind: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def read(text: Any, cursor: Any) -> Any:
        try:
            return text if text is not None and "infinity" in text else kind(text, cursor)
        except (ValueError, OverflowError):
            return text

    return read
