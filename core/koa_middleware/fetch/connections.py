"""Connections to servers, kept open from one file to the next; the only user of requests.

requests knows how a server is reached: the proxies, certificates and logins that the environment names. It is asked
once for each server. urllib3, on which it stands, carries the bytes: a session of requests would add half a
millisecond to each file, which is what a small file takes.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_netrc_auth, requote_uri
from urllib3.connectionpool import HTTPConnectionPool

from .credentials import Access
from .pace import Pace, TooSlowError, Watch
from .responses import HEAD, Setback

netrc_login = get_netrc_auth
"""Gives user and password that ``~/.netrc`` names for a URL, or None."""

FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError)
"""What a request, or reading its answer, raises."""

_MOST_REDIRECTS = 30
_QUESTIONS = ("GET", "HEAD")
_SEND_AGAIN = (307, 308)
_NEVER_CONNECTED = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
)
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "koa-middleware"}
#: How urllib3 begins what it says of a connection: with the object, of a class that nobody knows.
_OF_WHICH = re.compile(r"^<?\w+\(host=[^)]*\)>?: ")
_LOG = logging.getLogger("urllib3.connectionpool")


class Answer(NamedTuple):
    """A server's answer, whose body is not read yet.

    Attributes
    ----------
    response : urllib3.BaseHTTPResponse
        To be closed.
    url : str
        Of the request that it answers: the last one, where there were redirects.
    sent : mapping
        Headers of that request; secrets may stand in them.
    """

    response: urllib3.BaseHTTPResponse
    url: str
    sent: Mapping[str, str]


class _Door(NamedTuple):
    """How one server is reached: its connections, and whether a proxy wants to be told its name each time."""

    pool: HTTPConnectionPool
    whole_urls: bool


class Connections:
    """All connections for one calibration URL, shared by threads; a forked process opens its own.

    Parameters
    ----------
    access : Access
        Decides which credentials a request carries.
    timeout_s : tuple of float
        Seconds to connect, and between two pieces of an answer.
    """

    def __init__(self, access: Access, timeout_s: tuple[float, float]) -> None:
        self._access = access
        self._timeout = urllib3.Timeout(connect=timeout_s[0], read=timeout_s[1])
        self._locks: dict[int, threading.Lock] = {}  # by process: one that came over a fork may be held for ever
        self._read_s = timeout_s[1]
        self._watch = Watch(self._read_s)
        self._adapter: _Adapter | None = None
        self._doors: dict[str, _Door] = {}
        self._owner = 0

    def _lock(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def close(self) -> None:
        """Close all; the next request opens new ones."""
        with self._lock():
            if self._adapter is not None:
                self._adapter.close()
                self._adapter = None
                self._doors.clear()
                _LOG.removeFilter(self._access.hide_in_log)

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Ask for a URL; see `send`."""
        return self.send("GET", url, headers)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | BinaryIO | None = None) -> Answer:
        """Send a request, and go where redirects lead, with the credentials that are for each server.

        What is no question goes only where a redirect asks to send it again.

        Parameters
        ----------
        method, url : str
        headers : mapping
        body : bytes or binary file, optional
            A file is sent from where it stands.

        Raises
        ------
        FAILURES
        """
        start = 0 if body is None or isinstance(body, bytes) else body.tell()
        for _ in range(_MOST_REDIRECTS):
            parts = urlsplit(url)
            door = self._door(f"{parts.scheme}://{parts.netloc}")
            sent = {**_HEADERS, **headers, **self._access.headers(url)}
            response = door.pool.urlopen(
                method,
                url if door.whole_urls else f"{parts.path or '/'}?{parts.query}".removesuffix("?"),
                headers=sent,
                body=body,
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=self._timeout,
                preload_content=False,
                decode_content=False,
            )
            target = response.get_redirect_location()
            if not target or (method not in _QUESTIONS and response.status not in _SEND_AGAIN):
                return Answer(response, url, sent)
            if body is not None and not isinstance(body, bytes):
                body.seek(start)
            beginning(response, self._read_s)  # a connection whose answer was read to its end is kept
            response.close()
            url = _redirected(url, target)
        raise requests.TooManyRedirects(f"it redirects more than {_MOST_REDIRECTS} times")

    def _door(self, server: str) -> _Door:
        with self._lock():
            if self._adapter is None or self._owner != os.getpid():
                self._adapter, self._owner = _Adapter(pool_maxsize=32), os.getpid()
                self._watch = Watch(self._read_s)  # one that came over a fork has no thread, and may be locked
                self._doors.clear()
                _LOG.addFilter(self._access.hide_in_log)
            if server not in self._doors:
                self._doors[server] = self._adapter.door(server, self._watch)
            return self._doors[server]


def _redirected(url: str, target: str) -> str:
    """Give the address that a redirect leads to.

    Raises
    ------
    requests.RequestException
        When it is none.
    """
    try:
        there = urljoin(url, requote_uri(target))
        _ = urlsplit(there).port  # or an error
    except ValueError as error:
        raise requests.exceptions.InvalidURL(f"it redirects to what is no address: {error}") from error
    return there


class _Adapter(HTTPAdapter):
    """What requests knows of the way to a server."""

    def door(self, server: str, watch: Watch) -> _Door:
        """Find the way to a server, ``scheme://host:port``, as the environment has it; the headers are watched."""
        with requests.Session() as session:
            session.get_adapter(server)  # or an error that names the scheme
            way: dict[str, Any] = dict(session.merge_environment_settings(server, {}, True, None, None))
        request = requests.PreparedRequest()
        request.url = f"{server}/"
        pool = cast(
            HTTPConnectionPool,
            self.get_connection_with_tls_context(request, way["verify"], way["proxies"], way["cert"]),
        )
        pool.ConnectionCls = _watched(pool.ConnectionCls, watch)
        self.cert_verify(pool, request.url, way["verify"], way["cert"])  # type: ignore[no-untyped-call]
        return _Door(pool, self.request_url(request, way["proxies"]) == request.url)


def _watched(kind: Any, watch: Watch) -> Any:
    """Give a kind of connection, each of whose answers must have its headers in time."""

    class Watched(kind):  # type: ignore[misc]
        def getresponse(self) -> Any:
            with watch.over(self.sock):
                return super().getresponse()

    return Watched


def beginning(response: urllib3.BaseHTTPResponse, over_s: float, *, decode: bool = False) -> bytes:
    """Read the first bytes of an answer, `HEAD` at most, or those that a slow server has sent after so many seconds."""
    head = b""
    read = Pace(over_s).timed(lambda size: response.read1(size, decode_content=decode))
    with suppress(TooSlowError):
        while len(head) < HEAD and (piece := read(HEAD - len(head))):
            head += piece
    return head


def what_broke(error: Exception, received: int, variable: str = "KOA_CALIBRATION_URL") -> Setback:
    """Tell what one of `FAILURES` means for a transfer from where a variable names; so many bytes of it are here."""
    said = _OF_WHICH.sub("", str(error))
    if isinstance(error, urllib3.exceptions.SSLError) and "WRONG_VERSION_NUMBER" in said:
        hint = "Check the port; http:// is for a server on this machine that has no TLS before it."
        return Setback("the server does not speak TLS at this port", hint, permanent=True)
    if isinstance(error, urllib3.exceptions.SSLError) and "certificate" in str(error).lower():
        hint = "Check this machine's clock and certificates; REQUESTS_CA_BUNDLE can name other ones."
        return Setback(f"the server's certificate is not accepted ({said})", hint, permanent=True)
    if isinstance(error, requests.RequestException | ValueError):
        return Setback(f"the address cannot be used ({said})", f"Check {variable}.", permanent=True)
    if isinstance(error, _NEVER_CONNECTED):
        hint = f"Check the network and {variable}, or set KOA_OFFLINE to work with the cache alone."
        return Setback(f"the server cannot be reached ({said})", hint, unreachable=True)
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return Setback(f"the server fell silent after {received} bytes", silent=True)
    return Setback(f"the connection broke after {received} bytes{_how(error)}")


def _how(error: Exception) -> str:
    """Say in words how a connection broke; urllib3 gives the exception that it met beside its own words."""
    met = next((each for each in error.args if isinstance(each, Exception)), error)
    if isinstance(met, RemoteDisconnected):
        return " (the server closed it without an answer)"
    if isinstance(met, IncompleteRead):
        return ""
    if isinstance(met, HTTPException):
        return " (what came is no answer of an HTTP server)"
    return f" ({met.strerror if isinstance(met, OSError) and met.strerror else met})"
