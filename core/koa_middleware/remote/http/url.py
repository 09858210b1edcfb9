"""The URL of an archive over HTTP."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from ...exceptions import ConfigurationError

SCHEMES = frozenset({"http", "https"})
#: How the path goes on below the place where a server is mounted.
_API = re.compile(r"/api(/v1(/.*)?)?/?$")
_SETTING = {"setting": "remote_database_url", "variable": "KOA_REMOTE_DATABASE_URL"}


class ArchiveUrl(NamedTuple):
    """Where an archive over HTTP is.

    Attributes
    ----------
    address : str
        Without user and password, and without a ``/`` at its end.
    host : str
        With the port, where one is named.
    login : str
        As it stands in the URL; empty where there is none.
    """

    address: str
    host: str
    login: str

    @property
    def whole(self) -> str:
        """The URL with user and password."""
        return self.address.replace("://", f"://{self.login}@", 1) if self.login else self.address

    @property
    def shown(self) -> str:
        """The URL as messages may show it."""
        user = self.login.partition(":")[0]
        return self.address.replace("://", f"://{user}:***@", 1) if self.login else self.address


def archive_url(text: str) -> ArchiveUrl:
    """Read the URL of an archive over HTTP.

    Raises
    ------
    ConfigurationError
        When it is none, or leads over a network without encryption; the message does not repeat it, since a password
        may stand in it.
    """
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname or "", parts.port  # or an error
    except ValueError:
        raise _unusable() from None
    scheme = parts.scheme.lower()
    login, _, netloc = parts.netloc.rpartition("@")
    is_plain = text.isprintable() and not set("@{}\\ ") & set(netloc + parts.path)
    if scheme not in SCHEMES or not host or not is_plain:
        raise _unusable()
    if parts.query or parts.fragment or _API.search(parts.path):
        raise ConfigurationError(
            "The URL of the remote database has more than where the archive's server is.",
            "Leave out /api and all behind it, and what begins with ? or #; in a password these are percent-encoded.",
            **_SETTING,
        )
    if scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(
            "The URL of the remote database begins with http://, and whoever is on the way could read and change what "
            "is sent.",
            "Use https://; http:// is for servers on this machine.",
            **_SETTING,
        )
    return ArchiveUrl(urlunsplit((scheme, netloc, parts.path.rstrip("/"), "", "")), netloc, login)


def files_url(text: str, instrument: str) -> str:
    """Give the address from which the files of an archive over HTTP come, as a calibration URL.

    Raises
    ------
    ConfigurationError
    """
    return f"{archive_url(text).whole}/api/v1/{instrument}/files/{{filename}}"


def _is_loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unusable() -> ConfigurationError:
    return ConfigurationError(
        "The URL of the remote database is not one of an archive over HTTP.",
        "Write it as https://host/path, with special characters of a user or password percent-encoded.",
        **_SETTING,
    )
