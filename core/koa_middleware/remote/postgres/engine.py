"""The engine of a PostgreSQL server, and what each connection and transaction sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

from sqlalchemy import Engine, NullPool, QueuePool, create_engine, event

from ...exceptions import RemoteError
from .url import has_several_hosts, hosts_of, postgresql_url

#: What each transaction sets first, so that numbers and times are written alike whatever the server, the database or
#: the role has set. It holds for the transaction, since poolers refuse options of the connection's start.
SETTINGS = (
    "SET LOCAL TIME ZONE 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres'; "
    "SET LOCAL extra_float_digits = 1"
)

#: Stands before each statement: pgpool-II then leaves it at the primary, and does not ask a standby in the middle of a
#: transaction that it has not begun there.
AT_PRIMARY = "/*NO LOAD BALANCE*/"

#: Seconds; where the URL does not say otherwise. A server that vanishes without a word is noticed within a minute.
_REMOTE_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}

#: Seconds that a request waits for one of the connections that are kept, before it is told to come again.
PATIENCE = 5.0
#: Seconds after which a kept connection is opened anew, so that reads go back to a standby that was away.
_LONGEST_KEPT = 600

_OLDEST = 14


def postgresql_engine(text: str, connections: int = 0, wanted: str = "") -> Engine:
    """Engine of a PostgreSQL server; opens no connection.

    A client keeps no connections: many clients read now and then, and each connection costs the server a process. What
    a transaction brings and stores depends on no setting of the server, the database, the role or the environment.

    Parameters
    ----------
    text : str
        ``postgresql://user@host:port/database?connect_timeout=10``; what the driver accepts may stand in it, and
        the driver reads ``~/.pgpass``.
    connections : int
        How many connections are kept at most, and shared; 0: each is opened when it is needed. One that has died is
        replaced when it is asked for.
    wanted : str
        The ``target_session_attrs`` of connections, where the URL names several hosts and none itself.

    Raises
    ------
    ConfigurationError
        When it is no such URL.
    """
    url = postgresql_url(text)
    unsaid = {name: value for name, value in _REMOTE_DEFAULTS.items() if name not in url.query}
    if wanted and has_several_hosts(url):
        unsaid = {"target_session_attrs": wanted, **unsaid}
    full = url.set(drivername="postgresql+psycopg2").update_query_dict({**unsaid, "client_encoding": "utf8"})
    # A publisher reads what those before it committed, after waiting for them.
    settings = {"use_native_hstore": False, "isolation_level": "READ COMMITTED"}
    engine = create_engine(full, **settings, **(_kept(connections) if connections else {"poolclass": NullPool}))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(SETTINGS))
    event.listen(engine, "connect", lambda connection, _: prepare(connection, hosts_of(url)), insert=True)
    return engine


def _kept(connections: int) -> dict[str, Any]:
    return {
        "poolclass": QueuePool,
        "pool_size": connections,
        "max_overflow": 0,
        "pool_timeout": PATIENCE,
        "pool_pre_ping": True,
        "pool_recycle": _LONGEST_KEPT,
    }


@contextmanager
def driver_connection(engine: Engine) -> Iterator[Any]:
    """Give a connection of the driver, whose transactions begin and end by statements.

    One that is kept goes back only when no transaction of it is open.
    """
    if isinstance(engine.pool, NullPool):
        # Straight from the driver: an engine's first connection would cost several more round trips.
        arguments, options = engine.dialect.create_connect_args(engine.url)
        connection = cast(Any, engine.dialect.connect(*arguments, **options))
        try:
            prepare(connection, hosts_of(engine.url))
            connection.autocommit = True
            yield connection
        finally:
            connection.close()
        return
    kept = engine.raw_connection()
    connection = cast(Any, kept.driver_connection)
    try:
        connection.autocommit = True
        yield connection
    finally:
        _give_back(kept, connection)


def _give_back(kept: Any, connection: Any) -> None:
    from psycopg2.extensions import TRANSACTION_STATUS_IDLE

    if connection.closed or connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
        kept.invalidate()
    else:
        connection.autocommit = False
        kept.close()


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
    connection.cursor_factory = _cursor_at_primary()
    for kind in (extensions.PYDATE, extensions.PYDATETIME, extensions.PYDATETIMETZ):
        extensions.register_type(extensions.new_type(kind.values, kind.name, _read_time(kind)), connection)
    as_text = extensions.new_type(extensions.PYINTERVAL.values, "INTERVAL", lambda text, _: text)
    extensions.register_type(as_text, connection)


@cache
def _cursor_at_primary() -> Any:
    from psycopg2.extensions import cursor

    class CursorAtPrimary(cursor):
        def execute(self, query: Any, vars: Any = None) -> None:
            super().execute(f"{AT_PRIMARY}{query}", vars)

    return CursorAtPrimary


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
