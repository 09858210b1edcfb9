"""The archive's files, from wherever the calibration URL points to.

It works on plain values and knows neither records nor databases.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..exceptions import CacheError, ConfigurationError, DownloadError, KoaMiddlewareError
from .addresses import Address, hide_secrets
from .connections import CHECK_URL, FAILURES, Answer, Connections, netrc_login, what_broke
from .credentials import Access
from .partial import Partial, TakenOver
from .progress import Progress
from .responses import HEAD, Setback, continues, retry_after, validator, words
from .transfer import Fetched, Run, StoppedError, Transfer, copy, fetch, fetch_many, not_the_file, restart

__all__ = ["Fetched", "FileServer", "Progress", "Transfer"]

TIMEOUT_S = (10.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""
LONGEST_WAIT_S = 60.0
"""Seconds that a server's ``Retry-After`` is obeyed; a longer one is an error at once."""


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
        self._access = Access(self._address, access_token, cookie_file, netrc_login)
        self._connections = Connections(self._access, timeout_s)
        self._offline = offline
        self._backoff_s = backoff_s

    def __repr__(self) -> str:
        return f"{type(self).__name__}({hide_secrets(self._address.template)!r}, offline={self._offline})"

    def __enter__(self) -> FileServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

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
        try:
            answer = self._connections.get(transfer.url, headers)
            with closing(answer.response):
                return self._take(answer, transfer, partial, run)
        except FAILURES as error:
            return what_broke(error, partial.size)

    def _take(self, answer: Answer, transfer: Transfer, partial: Partial, run: Run) -> Setback | None:
        response, headers = answer.response, answer.response.headers
        status = response.status
        if status == 200:
            restart(partial, run)
            partial.validator = validator(headers)
            announced = response.length_remaining or 0
            if (
                transfer.file_size is not None
                and announced > transfer.file_size
                and not headers.get("Content-Encoding")
            ):
                if setback := not_the_file(transfer, response.read(HEAD, decode_content=False), headers):
                    return setback
                raise transfer.mismatch(announced)
        elif status == 206 and continues(headers, partial.size, transfer.file_size, partial.validator):
            partial.resumed = True
        elif status in {206, 416}:
            restart(partial, run)
            return Setback("the file on the server is being changed", status=status)
        else:
            return self._refusal(answer)

        def read(size: int) -> bytes:
            return response.read1(size, decode_content=False)

        setback = copy(read, transfer, partial, run, headers)
        has_end = "Content-Length" in headers or response.chunked
        if setback is None and not has_end and partial.size < (1 if transfer.file_size is None else transfer.file_size):
            return Setback(f"the connection broke after {partial.size} bytes")
        return setback

    def _refusal(self, answer: Answer) -> Setback:
        """Tell what an answer without a file means."""
        response, status = answer.response, answer.response.status
        said = words(response.read(HEAD, decode_content=True))
        reason = f"the server answers {status} {response.reason or ''}".rstrip() + (f", {said!r}" if said else "")
        if status in {408, 429} or status >= 500:
            wait_s = retry_after(response.headers)
            too_long = wait_s > LONGEST_WAIT_S
            hint = f"Try again in {wait_s:.0f} s." if too_long else "Try again later."
            return Setback(reason, hint, status, wait_s=wait_s, permanent=too_long)
        hint = CHECK_URL
        if status in {401, 403}:
            hint = self._access.hint(answer.url, answer.sent)
        elif status in {404, 410}:
            hint = "Check KOA_CALIBRATION_URL, and synchronise: the archive may have withdrawn this file."
        return Setback(reason, hint, status, permanent=True)


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
        return Setback(f"{type(error).__name__}: {error}", CHECK_URL, permanent=known)
