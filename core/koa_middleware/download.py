"""The archive's files: the only user of requests.

It works on plain values and knows neither records nor databases.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
import urllib3
from requests.adapters import HTTPAdapter

from .access import Access
from .addresses import Address, hide_secrets
from .answers import HEAD, Setback, continues, retry_after, validator, words
from .exceptions import CacheError, ConfigurationError, DownloadError, KoaMiddlewareError
from .partial import Partial, TakenOver
from .transfer import Fetched, Progress, Run, StoppedError, Transfer, copy, fetch, fetch_many, restart

__all__ = ["Fetched", "FileServer", "Progress", "Transfer"]

TIMEOUT_S = (10.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""
LONGEST_WAIT_S = 60.0
"""Seconds that a server's ``Retry-After`` is obeyed; a longer one is an error at once."""

_URLLIB3_LOG = logging.getLogger("urllib3.connectionpool")
_CHECK_URL = "Check KOA_CALIBRATION_URL."


class FileServer:
    """The archive's files under one calibration URL.

    Parameters
    ----------
    calibration_url : str
        A base, for ``<base>/<file name>``, or a template with ``{filename}`` or any other column. Schemes
        http, https and file; others, such as s3, through fsspec.
    access_token : str or None
        A bearer token.
    cookie_file : pathlib.Path or None
        A cookie jar in Mozilla's format. Besides these, ``~/.netrc`` is used. See `Access` for where they are
        sent.
    offline : bool
        Read nothing from anywhere: each transfer is an error.
    timeout_s : tuple of float
        Seconds to connect, and between two pieces of an answer.
    backoff_s : float
        Seconds before the first repetition of a failed request; doubled at each one, with jitter.

    Raises
    ------
    ConfigurationError
        Where the URL is not one.
    """

    def __init__(
        self,
        calibration_url: str,
        *,
        access_token: str | None = None,
        cookie_file: Path | None = None,
        offline: bool = False,
        timeout_s: tuple[float, float] = TIMEOUT_S,
        backoff_s: float = 0.5,
    ) -> None:
        self._address = Address(calibration_url)
        self._access = Access(self._address, access_token, cookie_file, requests.utils.get_netrc_auth)
        self._offline = offline
        self._timeout_s = timeout_s
        self._backoff_s = backoff_s
        self._session: requests.Session | None = None
        self._session_owner = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({hide_secrets(self._address.template)!r}, offline={self._offline})"

    def __enter__(self) -> FileServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None
                _URLLIB3_LOG.removeFilter(self._access.hide_in_log)

    def url_for(self, values: Mapping[str, object]) -> str:
        """Return the address of the file of a record with these values, each one quoted.

        Raises
        ------
        DownloadError
            Where a value that the address needs is missing; names it.
        """
        return self._address.fill(values)

    def fetch(
        self,
        transfer: Transfer,
        partial_folder: Path,
        *,
        progress: Progress | None = None,
        fresh: bool = False,
    ) -> Fetched:
        """Bring one file, verified, under its final name.

        Parameters
        ----------
        transfer : Transfer
        partial_folder : pathlib.Path
            For files that are not complete; on the same file system as the destination.
        progress : callable, optional
            Called with the bytes that have come since its last call; with a negative number where a transfer
            has to start again. The sum is the file's size.
        fresh : bool
            Fetch also what stands there already with the recorded content.

        Raises
        ------
        DownloadError
            Where the file did not arrive.
        ChecksumMismatchError
            Where it arrived with other content than recorded.
        CacheError
            Where it cannot be written.
        """
        return fetch(self, transfer, Run(partial_folder, progress, fresh, self._backoff_s))

    def fetch_many(
        self,
        transfers: Sequence[Transfer],
        partial_folder: Path,
        *,
        workers: int = 4,
        progress: Progress | None = None,
        fresh: bool = False,
    ) -> list[Fetched | KoaMiddlewareError]:
        """Bring many files in parallel; a failure does not stop the others.

        Returns
        -------
        list
            Aligned with `transfers`: what was fetched, or the error. Where the server cannot be reached at
            all, what had not begun gets the same error at once. `progress` is called by one thread at a time.
        """
        return fetch_many(self, transfers, Run(partial_folder, progress, fresh, self._backoff_s, workers))

    def error(self, transfer: Transfer, setback: Setback) -> DownloadError:
        """Return the error of a transfer that was given up, without secrets."""
        url = hide_secrets(transfer.url)
        reason = self._access.hide(setback.reason)
        message = f"{transfer.name} could not be fetched from {url}: {reason}."
        return DownloadError(message, setback.hint, url=url, status=setback.status)

    def receive(self, transfer: Transfer, partial: Partial, run: Run) -> Setback | None:
        """Bring bytes by one request; tell what kept it from bringing all."""
        if self._offline:
            hint = "Unset KOA_OFFLINE, or fetch it where there is a network."
            return Setback("it is not in the cache, and offline is set", hint, permanent=True)
        scheme = urlsplit(transfer.url).scheme
        if scheme in {"http", "https"}:
            return self._receive_http(transfer, partial, run)
        restart(partial, run)
        return (_receive_file if scheme == "file" else _receive_object)(transfer, partial, run)

    def _receive_http(self, transfer: Transfer, partial: Partial, run: Run) -> Setback | None:
        headers = {}
        if partial.size and partial.validator:
            headers = {"Range": f"bytes={partial.size}-", "If-Range": partial.validator}
        session = self._open()
        try:
            with session.get(transfer.url, headers=headers, stream=True, timeout=self._timeout_s) as response:
                return self._take(response, transfer, partial, run)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            return _broken(error, partial)

    def _take(self, response: requests.Response, transfer: Transfer, partial: Partial, run: Run) -> Setback | None:
        status, headers = response.status_code, response.headers
        if status == 200:
            restart(partial, run)
            partial.validator = validator(headers)
            announced = int(headers.get("Content-Length") or 0)
            if (
                transfer.file_size is not None
                and announced > transfer.file_size
                and not headers.get("Content-Encoding")
            ):
                raise transfer.mismatch(announced)
        elif status == 206 and continues(headers, partial.size, transfer.file_size, partial.validator):
            partial.resumed = True
        elif status in {206, 416}:
            restart(partial, run)
            return Setback("the file on the server is being changed", status=status)
        else:
            return self._refusal(response)

        def read(size: int) -> bytes:
            return response.raw.read1(size, decode_content=False)

        setback = copy(read, transfer, partial, run, headers)
        has_end = "Content-Length" in headers or response.raw.chunked
        if setback is None and not has_end and partial.size < (1 if transfer.file_size is None else transfer.file_size):
            return Setback(f"the connection broke after {partial.size} bytes")
        return setback

    def _refusal(self, response: requests.Response) -> Setback:
        """Tell what an answer without a file means."""
        status = response.status_code
        said = words(response.raw.read(HEAD, decode_content=True))
        reason = f"the server answers {status} {response.reason or ''}".rstrip() + (f", {said!r}" if said else "")
        if status in {408, 429} or status >= 500:
            wait_s = retry_after(response.headers)
            too_long = wait_s > LONGEST_WAIT_S
            hint = f"Try again in {wait_s:.0f} s." if too_long else "Try again later."
            return Setback(reason, hint, status, wait_s=wait_s, permanent=too_long)
        hint = _CHECK_URL
        if status in {401, 403}:
            hint = self._access.hint(response.url, response.request.headers)
        elif status in {404, 410}:
            hint = "Check KOA_CALIBRATION_URL, and synchronise: the archive may have withdrawn this file."
        return Setback(reason, hint, status, permanent=True)

    def _open(self) -> requests.Session:
        """Return the session, one for all threads; a forked process gets its own connections."""
        with self._lock:
            if self._session is None or self._session_owner != os.getpid():
                self._session, self._session_owner = _Session(self._access), os.getpid()
                _URLLIB3_LOG.addFilter(self._access.hide_in_log)
            return self._session


class _Session(requests.Session):
    """A session that keeps no cookies and chooses credentials and proxies for each server that it is sent to.

    It asks the environment for proxies and certificates once for each server, where requests would twice for
    each file, which takes as long as a small file does.
    """

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access
        self._environments: dict[str, dict[str, Any]] = {}
        self.trust_env = False
        self.auth = self._authorize
        self.headers["Accept-Encoding"] = "identity"
        self.headers["User-Agent"] = "koa-middleware"
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self.mount(scheme, HTTPAdapter(pool_maxsize=32))

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Authorization", None)
        request.headers.update(self._access.headers(request.url or ""))
        return request

    def _environment(self, url: str) -> dict[str, Any]:
        server = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        if server not in self._environments:
            with requests.Session() as asking:
                self._environments[server] = dict(asking.merge_environment_settings(url, {}, True, None, None))
        return self._environments[server]

    def merge_environment_settings(self, url: Any, *_: Any) -> Any:
        """Return proxies and certificates for this server."""
        return self._environment(str(url))

    def rebuild_proxies(self, prepared_request: requests.PreparedRequest, proxies: Any) -> Any:  # noqa: ARG002
        """Choose the proxies for the address that a redirect names."""
        chosen = self._environment(prepared_request.url or "")["proxies"]
        return super().rebuild_proxies(prepared_request, chosen)  # type: ignore[no-untyped-call]

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: Any) -> None:  # noqa: ARG002
        """Choose the credentials for the address that a redirect names."""
        self._authorize(prepared_request)


def _receive_file(transfer: Transfer, partial: Partial, run: Run) -> Setback | None:
    """Read a file URL."""
    try:
        with Path(url2pathname(urlsplit(transfer.url).path)).open("rb") as source:
            return copy(source.read, transfer, partial, run)
    except CacheError:
        raise
    except OSError as error:
        hint = "Check KOA_CALIBRATION_URL, and that its folder is mounted and readable."
        return Setback(f"the file cannot be read: {error.strerror}", hint, permanent=True)


def _receive_object(transfer: Transfer, partial: Partial, run: Run) -> Setback | None:
    """Read from an object store, through fsspec, which is an extra."""
    try:
        fsspec = importlib.import_module("fsspec")
        with fsspec.open(transfer.url, "rb") as source:
            return copy(source.read, transfer, partial, run)
    except (KoaMiddlewareError, TakenOver, StoppedError):
        raise
    except ImportError as error:
        raise ConfigurationError(
            f"{hide_secrets(transfer.url)} needs a package that is not installed ({error}).",
            "pip install 'koa-middleware[s3]', or the package of fsspec for that kind of store.",
            setting="calibration_url",
            variable="KOA_CALIBRATION_URL",
        ) from error
    except Exception as error:  # noqa: BLE001 - each kind of store has errors of its own
        known = isinstance(error, FileNotFoundError | PermissionError | ValueError)
        return Setback(f"{type(error).__name__}: {error}", _CHECK_URL, permanent=known)


def _broken(error: Exception, partial: Partial) -> Setback:
    """Tell what a failed connection means."""
    cause = getattr(error.args[0] if error.args else None, "reason", error)
    if isinstance(error, requests.exceptions.SSLError) and "certificate" in str(error).lower():
        hint = "Check the date of this machine and its certificates; REQUESTS_CA_BUNDLE names others."
        return Setback(f"the server's certificate is not accepted ({cause})", hint, permanent=True)
    if isinstance(error, requests.TooManyRedirects | ValueError):
        return Setback(f"the address cannot be used ({error})", _CHECK_URL, permanent=True)
    never = urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError
    if isinstance(cause, never) or isinstance(error, requests.exceptions.ProxyError):
        hint = "Check the network and KOA_CALIBRATION_URL, or set KOA_OFFLINE to work with the cache alone."
        return Setback(f"the server cannot be reached ({cause})", hint, unreachable=True)
    return Setback(f"the connection broke after {partial.size} bytes ({cause})")
