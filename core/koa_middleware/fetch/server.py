"""The archive's files, from wherever the calibration URL points to.

It works on plain values and knows neither records nor databases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from ..disk.room import in_words
from ..exceptions import DownloadError, KoaMiddlewareError
from .addresses import Address, shown
from .attempt import Attempt, Run
from .connections import FAILURES, Answer, Connections, beginning, netrc_login, what_broke
from .credentials import Access
from .fetching import fetch, fetch_many
from .pace import SLOW_AFTER_S, SLOWEST, Pace, TooSlowError
from .progress import Progress
from .responses import CHECK_URL, Setback, continues, problem_in, retry_after, validator, words
from .retries import BACKOFF_S, LONGEST_WAIT_S, TIMEOUT_S
from .sources import probe, receive_file, receive_object
from .transfer import Fetched, Transfer
from .waiting import TOLD_AFTER_S


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
    timeout_s : tuple of float
        Seconds to connect, and between two pieces of an answer.
    backoff_s : float
        Seconds before the first repetition of a failed request; doubled at each one, with jitter.
    slow_after_s : float
        Seconds of waiting over which a server must have sent `koa_middleware.fetch.pace.SLOWEST`.
    told_after_s : float
        Seconds without a new byte after which it is told that a server is waited for.

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
        timeout_s: tuple[float, float] = TIMEOUT_S,
        backoff_s: float = BACKOFF_S,
        slow_after_s: float = SLOW_AFTER_S,
        told_after_s: float = TOLD_AFTER_S,
    ) -> None:
        self._address = Address(calibration_url)
        self._access = Access(self._address, access_token, cookie_file, netrc_login)
        self._connections = Connections(self._access, timeout_s)
        self._backoff_s = backoff_s
        self._slow_after_s = slow_after_s
        self._told_after_s = told_after_s

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self._address.template)!r})"

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
        return fetch(self, transfer, self._run(partial_folder, progress, fresh))

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
        return fetch_many(self, transfers, self._run(partial_folder, progress, fresh, workers))

    def _run(self, partial_folder: Path, progress: Progress | None, fresh: bool, workers: int = 1) -> Run:
        return Run(partial_folder, progress, fresh, self._backoff_s, workers, self._told_after_s)

    def probe(self, values: Mapping[str, object]) -> None:
        """Ask for the file of a record without bringing it.

        Raises
        ------
        DownloadError
            Where the server does not answer, does not accept the login, or does not have the file.
        """
        url = self.url_for(values)
        setback = self._probe_http(url) if urlsplit(url).scheme in {"http", "https"} else probe(url)
        if setback is not None:
            reason = self._access.hide(setback.reason)
            message = f"{shown(url)} is not to be had: {reason}."
            raise DownloadError(message, setback.hint, url=shown(url), status=setback.status)

    def _probe_http(self, url: str) -> Setback | None:
        try:
            answer = self._connections.send("HEAD", url, {})
            with closing(answer.response):
                return self._refusal(answer) if answer.response.status >= 400 else None
        except FAILURES as error:
            return what_broke(error, 0)

    def error(self, transfer: Transfer, setback: Setback) -> DownloadError:
        """Return the error of a transfer that was given up, without secrets."""
        url = shown(transfer.url)
        reason = self._access.hide(setback.reason)
        message = f"{transfer.name} could not be downloaded from {url}: {reason}."
        return DownloadError(message, setback.hint, url=url, status=setback.status)

    def receive(self, attempt: Attempt) -> Setback | None:
        """Bring bytes by one request; tell what kept it from bringing all."""
        scheme = urlsplit(attempt.transfer.url).scheme
        if scheme in {"http", "https"}:
            return self._receive_http(attempt)
        return receive_file(attempt) if scheme == "file" else receive_object(attempt)

    def _receive_http(self, attempt: Attempt) -> Setback | None:
        partial, headers = attempt.partial, {}
        if partial.size and partial.validator:
            headers = {"Range": f"bytes={partial.size}-", "If-Range": partial.validator}
        try:
            answer = self._connections.get(attempt.transfer.url, headers)
            with closing(answer.response):
                return self._take(answer, attempt)
        except TooSlowError:
            reason = f"the server sends less than {in_words(SLOWEST)} in a second"
            return Setback(reason, slow=True)
        except FAILURES as error:
            return what_broke(error, partial.size)

    def _take(self, answer: Answer, attempt: Attempt) -> Setback | None:
        transfer, partial = attempt.transfer, attempt.partial
        response, headers = answer.response, answer.response.headers
        status, wanted = response.status, transfer.file_size
        if status == 200:
            attempt.restart()
            partial.validator = validator(headers)
            announced = response.length_remaining or 0
            if wanted is not None and announced > wanted and not headers.get("Content-Encoding"):
                if setback := attempt.not_the_file(beginning(response, self._slow_after_s), headers):
                    return setback
                raise transfer.mismatch(announced)
        elif status == 206 and continues(headers, partial.size, wanted, partial.validator):
            partial.resumed = True
        elif status in {206, 416}:
            attempt.restart()
            return Setback("the file on the server is being changed", status=status)
        else:
            return self._refusal(answer)

        def read(size: int) -> bytes:
            return response.read1(size, decode_content=False)

        setback = attempt.copy(Pace(self._slow_after_s).timed(read), headers)
        has_end = "Content-Length" in headers or response.chunked
        if setback is None and not has_end and partial.size < (1 if wanted is None else wanted):
            return Setback(f"the connection broke after {partial.size} bytes")
        return setback

    def _refusal(self, answer: Answer) -> Setback:
        """Tell what an answer without a file means."""
        response, status = answer.response, answer.response.status
        body = beginning(response, self._slow_after_s, decode=True)
        sentence, told = problem_in(body, response.headers)
        page = words(body)
        said = sentence.rstrip(".") or (repr(page) if page else "")
        reason = f"the server answers {status} {response.reason or ''}".rstrip() + (f", {said}" if said else "")
        if status in {408, 429} or status >= 500:
            wait_s = retry_after(response.headers)
            too_long = wait_s > LONGEST_WAIT_S
            hint = f"Try again in {wait_s:.0f} s." if too_long else "Try again later."
            return Setback(reason, hint, status, wait_s=wait_s, permanent=too_long)
        return Setback(reason, told or self._advice(answer), status, permanent=True)

    def _advice(self, answer: Answer) -> str:
        """Say what to do about a refusal that does not say it itself."""
        status = answer.response.status
        if status in {401, 403}:
            return self._access.hint(answer.url, answer.sent)
        if status in {404, 410}:
            return "Check KOA_CALIBRATION_URL, and run koa-cal sync: the archive may have withdrawn this file."
        return CHECK_URL
