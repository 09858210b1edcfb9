"""Which kind of server a URL means; no other module knows the kinds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..exceptions import ConfigurationError, RemoteNotConfiguredError, RemoteUnavailableError
from ..importing import importing
from ..instrument.judged import judged_nothing
from ..instrument.orm import ORMCalibration
from ..settings import OFFLINE, REMOTE_DATABASE_URL, Settings
from .http import url as http_url
from .http.url import archive_url
from .postgres.url import SCHEMES, postgresql_url, shown_url, without_user

if TYPE_CHECKING:
    from ..database.local import LocalDatabase
    from .protocol import Remote

R = TypeVar("R", bound=ORMCalibration)


def without_password(url: str) -> str:
    """Give a URL as messages may show it.

    Raises
    ------
    ConfigurationError
        When it is of no known kind of server; the message does not repeat it, since a password may stand in it.
    """
    if _is_of(SCHEMES, url):
        return shown_url(postgresql_url(url))
    if _is_of(http_url.SCHEMES, url):
        return archive_url(url).shown
    raise _unusable_url()


def address_of(url: str) -> str:
    """Give where a server is: a URL without user, password and options.

    Raises
    ------
    ConfigurationError
    """
    if _is_of(SCHEMES, url):
        return shown_url(without_user(postgresql_url(url)))
    if _is_of(http_url.SCHEMES, url):
        return archive_url(url).address
    raise _unusable_url()


def is_database(url: str) -> bool:
    """Whether a URL is that of a database server, which can be served to others."""
    return _is_of(SCHEMES, url)


def remote_at(
    url: str,
    orm_class: type[R],
    local: LocalDatabase[R] | None = None,
    *,
    access_token: str | None = None,
    cookie_file: Path | None = None,
    connections: int = 0,
) -> Remote[R]:
    """Give an instrument's rows at a server; opens no connection.

    Parameters
    ----------
    url : str
    orm_class : type
    local : LocalDatabase or None
        A store's, whose own judgements hold over the server's in selections.
    access_token : str or None
        A bearer token for an archive over HTTP.
    cookie_file : pathlib.Path or None
        Cookies for one.
    connections : int
        How many connections to a PostgreSQL server are kept and shared at most, for one that serves others; 0: none is.

    Raises
    ------
    ConfigurationError
    """
    if _is_of(SCHEMES, url):
        with importing:
            from .postgres.remote import PostgresRemote

            judged = judged_nothing if local is None else local.judged_at
            return PostgresRemote(orm_class, url, judged, connections)  # which imports the driver
    if _is_of(http_url.SCHEMES, url):
        with importing:
            from .http.remote import HttpRemote

            return HttpRemote(orm_class, url, local, access_token, cookie_file)
    raise _unusable_url()


def _unusable_url() -> ConfigurationError:
    return ConfigurationError(
        "The URL of the remote database is not one of a PostgreSQL server, nor of an archive over HTTP.",
        "Write it as postgresql://user@host:port/database or https://host/path, with special characters "
        "percent-encoded.",
        setting="remote_database_url",
        variable=REMOTE_DATABASE_URL,
    )


def _is_of(schemes: Collection[str], url: str) -> bool:
    return url.partition(":")[0].partition("+")[0].strip().lower() in schemes


def with_files(settings: Settings, instrument_name: str) -> Settings:
    """Let the files of an archive over HTTP come from there, where no calibration URL is set.

    Raises
    ------
    ConfigurationError
        When the remote's URL is of no known kind.
    """
    url = settings.remote_database_url
    if url is not None:
        address_of(url)
    if url is None or settings.calibration_url is not None or not _is_of(http_url.SCHEMES, url):
        return settings
    return replace(settings, calibration_url=http_url.files_url(url, instrument_name))


def require_remote(settings: Settings, orm_class: type[R], purpose: str = "This") -> Remote[R]:
    """Give the remote that the settings name, for work over the network; see `required`."""
    return required(remote_of(settings, orm_class), settings, purpose)


def remote_of(settings: Settings, orm_class: type[R], local: LocalDatabase[R] | None = None) -> Remote[R] | None:
    """Give the remote that the settings name; None where they name none."""
    url, token, cookies = settings.remote_database_url, settings.access_token, settings.cookie_file
    return None if url is None else remote_at(url, orm_class, local, access_token=token, cookie_file=cookies)


def required(remote: Remote[R] | None, settings: Settings, purpose: str = "This") -> Remote[R]:
    """Give a remote that work over the network needs.

    Parameters
    ----------
    remote : Remote or None
        The one of the settings, if they name one.
    settings : Settings
    purpose : str
        What needs it, as the beginning of a sentence.

    Raises
    ------
    RemoteNotConfiguredError
        When there is none.
    RemoteUnavailableError
        When the store is offline.
    """
    if remote is None:
        raise RemoteNotConfiguredError(
            f"{purpose} needs a remote database, and none is set.",
            f"Set {REMOTE_DATABASE_URL} or pass remote_database_url.",
            variable=REMOTE_DATABASE_URL,
        )
    if settings.offline:
        raise RemoteUnavailableError(
            f"{purpose} needs {remote.name}, and the store is offline.",
            f"Unset {OFFLINE} where there is a network; nothing was changed.",
            host=remote.host,
        )
    return remote
