"""Questions to an archive's server: repeated where that may help, within a limit of time.

The connections, credentials and numbers of repetitions are those of downloads.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.parse import quote, urlencode

from ...exceptions import KoaMiddlewareError, RemoteError, RemoteUnavailableError, SchemaMismatchError
from ...fetch import retries
from ...fetch.addresses import Address
from ...fetch.credentials import Access
from ...fetch.pace import SLOW_AFTER_S, SLOWEST, Pace, TooSlowError
from ...fetch.responses import Setback, retry_after, words
from ...importing import importing
from ...settings import REMOTE_DATABASE_URL
from .problems import BEHIND, PREFIX, error_of
from .url import ArchiveUrl

if TYPE_CHECKING:
    from ...fetch.connections import Answer, Connections

#: Seconds after which no request is repeated, the waits left out for which the server asked.
_LONGEST_S = 60.0
#: Times that a server which is behind is asked again: another one may answer.
_BEHIND_TIMES = 3
#: Seconds before that.
_BEHIND_S = 0.3
#: Bytes of a body from which it is compressed.
_LARGE = 1000
_PIECE = 1 << 18
#: Bytes of an answer, unpacked: those of a page of 5,000 rows with 50 kB each.
_LONGEST = 1 << 28
_WAITING = "The local database works without it;"


class Reply(NamedTuple):
    """What a server answered.

    Attributes
    ----------
    status : int
    headers : mapping
    body : Any
        Read from JSON; None where there is none.
    """

    status: int
    headers: Mapping[str, str]
    body: Any


class _EndlessError(Exception):
    """An answer is longer than any of ours."""


class Refused(Exception):  # noqa: N818 - a signal, not an error
    """A server answers with a problem that is no error of this package.

    Attributes
    ----------
    kind : str
        As of `koa_middleware.remote.http.problems`.
    status : int
    body : mapping
    """

    def __init__(self, kind: str, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(kind)
        self.kind, self.status, self.body = kind, status, body


class Asking:
    """An archive's server, as one instrument's archive is asked there.

    Parameters
    ----------
    url : ArchiveUrl
    instrument : str
    token : str or None
        A bearer token.
    cookie_file : pathlib.Path or None
    """

    def __init__(self, url: ArchiveUrl, instrument: str, token: str | None, cookie_file: Path | None) -> None:
        self.host = url.host
        self.instrument = instrument
        self._base = f"{url.address}/api/v1/{quote(instrument, safe='')}"
        self._address = Address(url.whole)
        self._token, self._cookie_file = token, cookie_file
        self._opened: tuple[Connections, Access] | None = None

    def _connections(self) -> tuple[Connections, Access]:
        if self._opened is None:
            with importing:
                from ...fetch.connections import Connections, netrc_login
            access = Access(self._address, self._token, self._cookie_file, netrc_login)
            self._opened = Connections(access, retries.TIMEOUT_S), access
        return self._opened

    def close(self) -> None:
        """Close all connections."""
        if self._opened is not None:
            self._opened[0].close()

    def get(
        self, path: str, query: Sequence[tuple[str, object]] = (), headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Ask for what stands at a path below the instrument's; see `send`."""
        return self.send("GET", path, query, headers=headers)

    def post(
        self,
        path: str,
        body: Any,
        query: Sequence[tuple[str, object]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send what JSON has, to what may be asked twice; see `send`."""
        content = json.dumps(body, allow_nan=False).encode()
        more = {"Content-Type": "application/json", **(headers or {})}
        if len(content) > _LARGE:
            content, more["Content-Encoding"] = gzip.compress(content, 5, mtime=0), "gzip"
        return self.send("POST", path, query, content, more)

    def send(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, object]] = (),
        body: bytes | BinaryIO | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request that may come twice, again where that may help.

        Raises
        ------
        Refused
            When the server answers with a problem that is no error of this package's.
        RemoteUnavailableError
            When it does not answer, or not in order, after all repetitions.
        RemoteError, SchemaMismatchError
            When it refuses.
        KoaMiddlewareError
            As the server raised it.
        """
        url = f"{self._base}/{path}" + (f"?{urlencode(query)}" if query else "")
        start = 0 if body is None or isinstance(body, bytes) else body.tell()
        begun, failures, behind, waited = time.monotonic(), 0, 0, 0.0
        while True:
            if body is not None and not isinstance(body, bytes):
                body.seek(start)
            try:
                found = self._once(method, url, body, headers or {})
            except Refused as refused:
                behind += 1
                if refused.kind != BEHIND or behind > _BEHIND_TIMES:
                    raise
                self.wait_for_another()
                continue
            if isinstance(found, Reply):
                return found
            failures += 1
            pause = retries.pause_s(retries.BACKOFF_S, failures, found.wait_s)
            took = time.monotonic() - begun - waited
            if found.permanent or failures > retries.RETRIES or took + pause - found.wait_s > _LONGEST_S:
                raise self._unavailable(found)
            waited += found.wait_s
            time.sleep(pause)

    def _once(
        self, method: str, url: str, body: bytes | BinaryIO | None, headers: Mapping[str, str]
    ) -> Reply | Setback:
        connections, _ = self._connections()
        from ...fetch.connections import FAILURES, what_broke

        sent = {"Accept": "application/json", "Accept-Encoding": "gzip", **headers}
        try:
            answer = connections.send(method, url, sent, body)
            with closing(answer.response):
                return self._understood(answer, _read(answer))
        except TooSlowError:
            return Setback(f"the server sends less than {SLOWEST:.0f} bytes in a second")
        except _EndlessError:
            return Setback("its answer does not end", f"Check {REMOTE_DATABASE_URL}.", permanent=True)
        except FAILURES as error:
            return what_broke(error, 0, REMOTE_DATABASE_URL)

    def _understood(self, answer: Answer, content: bytes) -> Reply | Setback:
        """Read an answer.

        Raises
        ------
        Refused, RemoteError, SchemaMismatchError, KoaMiddlewareError
        """
        status, headers = answer.response.status, answer.response.headers
        if status == 304 or (status < 300 and not content):
            return Reply(status, headers, None)
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        body: Any = None
        if kind.endswith("json"):
            try:
                body = json.loads(content)
            except ValueError:
                return Setback("the answer was cut off")
        if status < 300:
            return Reply(status, headers, body) if kind.endswith("json") else self._something_else(content)
        return self._refusal(answer, body if isinstance(body, dict) else {}, words(content))

    def _something_else(self, content: bytes) -> Setback:
        raise RemoteError(
            f"The archive at {self.host} sent something else than was asked for, which begins with "
            f"{words(content)[:80]!r}.",
            "Check KOA_REMOTE_DATABASE_URL; a proxy or a page for logging in may stand before the archive.",
        )

    def _refusal(self, answer: Answer, body: Mapping[str, Any], said: str) -> Setback:
        """Say what an answer means that is no success.

        Raises
        ------
        Refused, RemoteError, SchemaMismatchError, KoaMiddlewareError
        """
        response = answer.response
        status = response.status
        kind = str(body.get("type", "")).removeprefix(PREFIX)
        is_problem = str(body.get("type", "")).startswith(PREFIX)
        detail = str(body.get("detail", "")) if body else said
        if status in {401, 403}:
            raise self._not_allowed(status, detail, str(body.get("hint", "")), str(body.get("scope", "")), answer)
        if kind == BEHIND:
            raise Refused(kind, status, body)
        if status in {408, 429} or status >= 500:
            error = error_of(body)
            if error is not None and not isinstance(error, RemoteUnavailableError):
                raise error
            reason = f"the server answers {status} {response.reason or ''}".rstrip() + (
                f", {detail!r}" if detail else ""
            )
            wait_s = retry_after(response.headers)
            too_long = wait_s > retries.LONGEST_WAIT_S
            hint = f"try again in {wait_s:.0f} s." if too_long else "try again later."
            return Setback(reason, hint, status, wait_s=wait_s, permanent=too_long)
        if kind == "unknown-instrument":
            raise SchemaMismatchError(
                f"The archive at {self.host} has no instrument {self.instrument!r}.",
                f"{body.get('hint', '')} Nothing was changed.".strip(),
                database=self.host,
                table=f"{self.instrument}_calibrations",
                missing=(f"{self.instrument}_calibrations",),
            )
        if is_problem:
            raise error_of(body) or Refused(kind, status, body)
        if status in {404, 410}:
            raise RemoteError(
                f"The archive at {self.host} has nothing at this address (status {status}).",
                "Check KOA_REMOTE_DATABASE_URL; its path is where the archive's server is mounted.",
            )
        raise RemoteError(
            f"The archive at {self.host} refuses (status {status})" + (f": {detail[:200]!r}." if detail else "."),
            "Check KOA_REMOTE_DATABASE_URL; nothing was changed.",
        )

    def _not_allowed(self, status: int, detail: str, hint: str, scope: str, answer: Answer) -> RemoteError:
        of_scope = f" with the scope {scope}" if scope else ""
        access = self._connections()[1]
        said = access.hide(detail).rstrip(".")[:200]
        hint = hint or f"Set KOA_ACCESS_TOKEN to a token{of_scope}; the archive's owner gives one."
        if "Authorization" in answer.sent and "KOA_ACCESS_TOKEN" not in hint:
            hint = f"{hint} The token in KOA_ACCESS_TOKEN was sent."
        return RemoteError(f"The archive at {self.host} does not allow this (status {status}): {said}.", hint)

    def _unavailable(self, setback: Setback) -> RemoteUnavailableError:
        reason = self._connections()[1].hide(setback.reason).rstrip(".")
        hint = setback.hint if setback.status is not None or setback.permanent else "check the network and the URL."
        return RemoteUnavailableError(
            f"The archive at {self.host} is not available: {reason}.",
            f"{_WAITING} {hint[:1].lower()}{hint[1:]}",
            host=self.host,
        )

    def wait_for_another(self) -> None:
        """Wait before a server that is behind is asked again, where another one may answer."""
        time.sleep(_BEHIND_S)

    def unexpected(self, refused: Refused) -> RemoteError:
        """Give the error of a problem that a question cannot be refused with."""
        said = str(refused.body.get("detail", "")).rstrip(".") or f"{refused.kind} (status {refused.status})"
        hint = str(refused.body.get("hint", "")) or "Tell the archive's owner."
        return RemoteError(f"The archive at {self.host} refuses: {said}.", hint)

    @contextmanager
    def understanding(self) -> Iterator[None]:
        """Turn what goes wrong while an answer is read into an error that says so.

        Raises
        ------
        RemoteError
        """
        try:
            yield
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            if isinstance(error, KoaMiddlewareError):
                raise
            raise RemoteError(
                f"The archive at {self.host} answered what this version does not understand: {error}.",
                "Install a newer version of koa-middleware, or ask the archive's owner; nothing was changed.",
            ) from error


def _read(answer: Answer) -> bytes:
    """Read a whole answer.

    Raises
    ------
    TooSlowError, _EndlessError
    """
    response, pieces, size = answer.response, [], 0
    read = Pace(SLOW_AFTER_S).timed(lambda size: response.read1(size, decode_content=True))
    while piece := read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > _LONGEST:
            raise _EndlessError
    return b"".join(pieces)
