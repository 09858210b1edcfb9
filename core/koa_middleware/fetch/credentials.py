"""Credentials of the archive, and which request may carry them."""

from __future__ import annotations

import base64
import ipaddress
import logging
import warnings
from collections.abc import Callable, Mapping
from http.cookiejar import LoadError, MozillaCookieJar
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request

from ..exceptions import ConfigurationError
from .addresses import Address, hide_secrets

Login = tuple[str, str]


class Access:
    """The credentials of one calibration URL: bearer token, user and password, cookies, ``~/.netrc``.

    They go to the host of the calibration URL only (those of ``~/.netrc`` to the host that they name), over
    https or within this machine.

    Parameters
    ----------
    address : Address
        Of the calibration URL.
    token : str or None
    cookie_file : pathlib.Path or None
        In Mozilla's format; read when the first request is made.
    netrc : callable
        Gives user and password that ``~/.netrc`` names for a URL, or None.

    Raises
    ------
    ConfigurationError
        Where the token is none.
    """

    def __init__(
        self,
        address: Address,
        token: str | None,
        cookie_file: Path | None,
        netrc: Callable[[str], Login | None],
    ) -> None:
        if token is not None and not _can_be_sent(token):
            raise ConfigurationError(
                "KOA_ACCESS_TOKEN contains characters that cannot be sent.",
                "Copy it again, without line breaks.",
                setting="access_token",
                variable="KOA_ACCESS_TOKEN",
            )
        self._token, self._login, self._cookie_file = token, address.login, cookie_file
        self._netrc, self._netrc_logins = netrc, dict[str, Login | None]()
        self._server = _server(address.template)
        self._cookies: MozillaCookieJar | None = None
        self._secrets = address.secrets() | ({token} if token else set())

    def headers(self, url: str) -> dict[str, str]:
        """Headers ``Authorization`` and ``Cookie`` that a request for this URL may carry.

        Raises
        ------
        ConfigurationError
            Where the cookie file cannot be read.
        """
        found: dict[str, str] = {}
        if not _is_private(url):
            return found
        at_home = _server(url) == self._server
        if at_home and self._cookie_file is not None and (cookies := self._cookie_header(url, self._cookie_file)):
            found["Cookie"] = cookies
        if at_home and self._token:
            found["Authorization"] = f"Bearer {self._token}"
        elif login := (self._login if at_home else None) or self._netrc_login(url):
            found["Authorization"] = "Basic " + base64.b64encode(":".join(login).encode()).decode()
        return found

    def _cookie_header(self, url: str, path: Path) -> str | None:
        if self._cookies is None:
            self._cookies = _read_cookies(path)
            self._secrets |= {cookie.value for cookie in self._cookies if cookie.value and len(cookie.value) > 3}
        request = Request(url)  # noqa: S310 - never opened: the jar writes its header into it
        self._cookies.add_cookie_header(request)
        return request.get_header("Cookie")

    def _netrc_login(self, url: str) -> Login | None:
        host = urlsplit(url).netloc
        if host not in self._netrc_logins:
            self._netrc_logins[host] = login = self._netrc(url)
            if login:
                self._secrets.add(login[1])
        return self._netrc_logins[host]

    def hint(self, url: str, sent: Mapping[str, str]) -> str:
        """Say what to do where a server refused a request with these headers."""
        host = self._server[0]
        if "Authorization" in sent or "Cookie" in sent:
            return f"{host} does not accept your credentials: renew them, or ask for access to these data."
        if not _is_private(url):
            return "Use an https address: credentials are not sent over http."
        return (
            f"These data need access: set KOA_ACCESS_TOKEN or KOA_COOKIE_FILE, or name {host} in ~/.netrc;"
            " credentials are sent to the host of KOA_CALIBRATION_URL only."
        )

    def hide(self, text: str) -> str:
        """Return the text without secrets."""
        return hide_secrets(text, self._secrets)

    def hide_in_log(self, record: logging.LogRecord) -> bool:
        """Filter a log that writes whole addresses."""
        if isinstance(record.args, tuple):
            record.args = tuple(self.hide(value) if isinstance(value, str) else value for value in record.args)
        return True


def _server(url: str) -> tuple[str, int | None]:
    """Host and port; the default port of http and https is one (a server sends one to the other)."""
    parts = urlsplit(url)
    port = None if parts.port in {None, 80, 443} else parts.port
    return (parts.hostname or "").lower(), port


def _is_private(url: str) -> bool:
    """Whether nobody reads along: over https, or within this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    return parts.scheme == "https" or local


def _can_be_sent(text: str) -> bool:
    """Whether a header may carry a text (RFC 9110, 5.5)."""
    return text.isascii() and text.isprintable()


def _read_cookies(path: Path) -> MozillaCookieJar:
    jar = MozillaCookieJar(path)
    problem = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a line that it cannot read, it prints a traceback with the cookie
            jar.load(ignore_discard=True, ignore_expires=True)
        if not all(_can_be_sent(cookie.name + (cookie.value or "")) for cookie in jar):
            problem = "has a cookie with characters that cannot be sent"
    except (LoadError, ValueError):  # their text holds the line, and with it the cookie
        problem = "is not in Mozilla's format"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    if problem:
        raise ConfigurationError(
            f"The cookie file {path} {problem}.",
            "Log in again, or unset KOA_COOKIE_FILE.",
            setting="cookie_file",
            variable="KOA_COOKIE_FILE",
        )
    for cookie in jar:
        if cookie.expires == 0:  # how curl and browsers write "until the end of the session"
            cookie.expires = None
    return jar
