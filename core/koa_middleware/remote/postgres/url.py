"""The URL of a PostgreSQL server, as libpq and SQLAlchemy write it, with one host or several."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote

from sqlalchemy import exc, make_url
from sqlalchemy.engine import URL

from ...exceptions import ConfigurationError

#: How such a URL begins, before ``://`` or the name of a driver.
SCHEMES = frozenset({"postgresql", "postgres"})

#: What libpq takes after the ``?``, up to PostgreSQL 18.
OPTIONS = frozenset(
    re.findall(
        r"\w+",
        """
    application_name channel_binding client_encoding connect_timeout dbname fallback_application_name gssdelegation
    gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname
    load_balance_hosts max_protocol_version min_protocol_version oauth_client_id oauth_client_secret oauth_issuer
    oauth_scope options passfile password port replication require_auth requirepeer requiressl scram_client_key
    scram_server_key service servicefile ssl_max_protocol_version ssl_min_protocol_version sslcert sslcertmode
    sslcompression sslcrl sslcrldir sslkey sslkeylogfile sslmode sslnegotiation sslpassword sslrootcert sslsni
    target_session_attrs tcp_user_timeout user
    """,
    )
)

#: A URL with several hosts, as libpq reads it: what stands before them, the hosts, the rest.
_SEVERAL_HOSTS = re.compile(r"([^:/?]+://(?:[^:/@]*(?::[^@]*)?@)?)([^/?@]*,[^/?@]*)((?:[/?].*)?)", re.DOTALL)
_HOST = re.compile(r"(?:\[([^\]]+)\]|([^:/\[\]]*))(?::(\d*))?")


def postgresql_url(text: str) -> URL:
    """Read the URL of a PostgreSQL server; several hosts, in either form, become the options ``host`` and ``port``.

    Raises
    ------
    ConfigurationError
        When it is no such URL, or has an option that libpq does not know; the message does not repeat it, since a
        password may stand in it.
    """
    try:
        url = None if "\0" in unquote(text) else _with_hosts(text)
    except (exc.ArgumentError, ValueError):
        url = None
    # An "@" in the host or the database is the rest of a password that was not percent-encoded; "=" and ";" are of
    # options that are written as another program takes them, of which one may be a password.
    database = "" if url is None else f"{url.database}{url.query.get('dbname', '')}"
    is_read = url is not None and url.get_backend_name() in SCHEMES and _is_plain(text, url)
    if url is None or not is_read or "@" in str(url.host) or set("@=;") & set(database):
        raise unusable_url()
    if not OPTIONS.issuperset(url.query):
        raise ConfigurationError(
            "The URL of the remote database has an option that PostgreSQL does not know.",
            "Use those of libpq, in lower case, such as connect_timeout and sslmode.",
            setting="remote_database_url",
            variable="KOA_REMOTE_DATABASE_URL",
        )
    password = url.query.get("password")
    return url.set(password=str(password)).difference_update_query(["password"]) if password else url


def _is_plain(text: str, url: URL) -> bool:
    """Whether nothing of a text looks like the rest of an odd password: a second "@", an option without a value.

    SQLAlchemy drops such an option, and what stands behind the end of a line.
    """
    place, _, options = (text if url.username is None else text.partition("@")[2]).partition("?")
    has_values = all("=" in option for option in options.split("&") if option)
    return has_values and "@" not in place and "\n" not in text.strip()


def _with_hosts(text: str) -> URL:
    several = _SEVERAL_HOSTS.fullmatch(text.strip())
    url = make_url(several[1] + several[3] if several else text)
    if several and url.username != make_url(several[1]).username:
        raise ValueError  # what was taken for hosts is of the user, and the rest of an odd password looks like one
    named = url.query.get("host") or (several[2] if several else "")
    if not named:
        return url
    hosts, ports = _each(named), _each(url.query.get("port", ""))
    if ports == [""]:
        hosts, ports = map(list, zip(*map(_host_and_port, hosts), strict=True))
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if len(ports) != len(hosts) or not all(port.isdigit() or not port for port in ports):
        raise ValueError
    found = {"host": ",".join(hosts), "port": ",".join(ports)}
    return url.update_query_dict(found if any(ports) else {"host": found["host"]})


def _each(given: str | tuple[str, ...]) -> list[str]:
    return given.split(",") if isinstance(given, str) else list(given)


def _host_and_port(text: str) -> tuple[str, str]:
    """Part ``host:port`` or ``[address]:port``; a folder of sockets and a bare IPv6 address have no port."""
    if "/" in text or _is_address(text):
        return text, ""
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError
    return found[1] or found[2], found[3] or ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def hosts_of(url: URL) -> str:
    """Give the hosts of a URL with their ports, as messages show them."""
    hosts = str(url.query.get("host") or url.host or "localhost").split(",")
    ports = str(url.query.get("port") or url.port or "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    shown = [f"[{host}]" if ":" in host else host or "localhost" for host in hosts]
    return ",".join(f"{host}:{port or 5432}" for host, port in zip(shown, ports, strict=True))


def has_several_hosts(url: URL) -> bool:
    """Whether a URL, as `postgresql_url` reads it, names several hosts."""
    return "," in str(url.query.get("host") or url.host or "")


def unusable_url() -> ConfigurationError:
    """Give the error of a URL that is not a PostgreSQL server's, without repeating the URL."""
    return ConfigurationError(
        "The URL of the remote database is not one of a PostgreSQL server.",
        "Write it as postgresql://user@host:port/database, with special characters percent-encoded.",
        setting="remote_database_url",
        variable="KOA_REMOTE_DATABASE_URL",
    )


def without_user(url: URL) -> URL:
    """Give a URL without user and password."""
    return URL.create(url.drivername, host=url.host, port=url.port, database=url.database, query=url.query)


def shown_url(url: URL) -> str:
    """Give a URL as messages may show it, without password and options."""
    bare = url.set(query={})
    if "host" not in url.query:
        return bare.render_as_string(hide_password=True)
    before, _, after = bare.set(host="several", port=None).render_as_string(hide_password=True).rpartition("several")
    return f"{before}{hosts_of(url)}{after}"
