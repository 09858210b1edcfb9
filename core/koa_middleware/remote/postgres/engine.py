"""The engine of a PostgreSQL server, the reading of its URL, and what each connection and transaction sets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, event, exc, make_url
from sqlalchemy.engine import URL

from ...exceptions import ConfigurationError, RemoteError

#: How such a URL begins, before ``://`` or the name of a driver.
SCHEMES = frozenset({"postgresql", "postgres"})

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

#: A URL with several hosts, as libpq reads it: what stands before them, the hosts, the rest.
_SEVERAL_HOSTS = re.compile(r"([^:/?]+://(?:[^:/@]*(?::[^@]*)?@)?)([^/?@]*,[^/?@]*)((?:[/?].*)?)", re.DOTALL)
_HOST = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]*))(?::(\d*))?")


def postgresql_url(text: str) -> URL:
    """Read the URL of a PostgreSQL server; several hosts, in either form, become the options ``host`` and ``port``.

    Raises
    ------
    ConfigurationError
        When it is no such URL; the message does not repeat it, since a password may stand in it.
    """
    try:
        url = _with_hosts(text)
    except (exc.ArgumentError, ValueError):
        url = None
    # An "@" in the host is the rest of a password that was not percent-encoded.
    if url is None or url.get_backend_name() not in SCHEMES or "@" in (url.host or ""):
        raise unusable_url()
    password = url.query.get("password")
    return url.set(password=str(password)).difference_update_query(["password"]) if password else url


def _with_hosts(text: str) -> URL:
    several = _SEVERAL_HOSTS.fullmatch(text.strip())
    url = make_url(several[1] + several[3] if several else text)
    named = url.query.get("host")
    if named is None and several:
        named = tuple(several[2].split(","))
    if named is None or isinstance(named, str):
        return url
    parted = [_HOST.fullmatch(one) for one in named]
    hosts = [(found[1] or found[2], found[3] or "") for found in parted if found]
    if len(hosts) < len(named) or "port" in url.query:
        raise ValueError
    return url.update_query_dict({"host": ",".join(host for host, _ in hosts), "port": ",".join(p for _, p in hosts)})


def hosts_of(url: URL) -> str:
    """Give the hosts of a URL with their ports, as messages show them."""
    hosts = str(url.query.get("host") or url.host or "localhost").split(",")
    ports = str(url.query.get("port") or url.port or "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    shown = [f"[{host}]" if ":" in host else host or "localhost" for host in hosts]
    return ",".join(f"{host}:{port or 5432}" for host, port in zip(shown, ports, strict=True))


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
    if "," not in str(url.query.get("host", "")):
        return url.difference_update_query(secret).render_as_string(hide_password=True)
    one = url.difference_update_query([*secret, "host", "port"]).set(host="several")
    before, _, after = one.render_as_string(hide_password=True).rpartition("several")
    return f"{before}{hosts_of(url)}{after}"


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
