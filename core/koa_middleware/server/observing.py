"""What is done for each request, whatever its route: an id, headers, a line of the log, counters, the last resort."""

from __future__ import annotations

import logging
import secrets
from asyncio import CancelledError, sleep
from time import perf_counter
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..remote.http.problems import Problem, problem
from .errors import answer
from .headers import HEADERS
from .logs import WHO, tell
from .metrics import Metrics

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

#: The status, in log and counters, of a request whose client went away.
_CLIENT_GONE = 499


class Observed:
    """Stands around everything else."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._metrics.running.track_inprogress():
            await _Exchange(scope, send, self._metrics).run(self._app, receive)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send, metrics: Metrics) -> None:
        self._scope = dict(scope)  # the server's own one keeps the method that came
        self._scope["state"] = self._state = {**scope.get("state", {})}
        self._send, self._metrics = send, metrics
        self._id = self._state["request_id"] = secrets.token_hex(8)
        self._began = perf_counter()
        self._method = scope["method"]
        self._status = 0
        self._size = 0

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        if self._method == "HEAD" and not _has_route(self._scope):
            self._scope["method"] = "GET"
        try:
            await app(self._scope, receive, self._told)
        except ClientDisconnect:
            self._status = _CLIENT_GONE
        except CancelledError:
            await self._fail(_stopping(), receive)
        except Exception as error:  # noqa: BLE001 - the last resort, which tells it
            tell(logging.ERROR, "unexpected error", error, id=self._id)
            await self._fail(_unexpected(self._id), receive)
        finally:
            self._tell()

    async def _told(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in {**HEADERS, "x-request-id": self._id}.items():
                headers.setdefault(name, value)
        elif self._method == "HEAD":
            message = {**message, "body": b""}
        else:
            self._size += len(message.get("body", b""))
        await self._send(message)
        if message.get("more_body"):
            await sleep(0)  # so that an answer whose client is gone learns of it, though nothing is waited for any more

    async def _fail(self, said: Problem, receive: Receive) -> None:
        """Answer with a problem; where an answer has begun, it stays without an end, and the connection is closed."""
        if not self._status:
            await answer(said)(self._scope, receive, self._told)

    def _tell(self) -> None:
        took = perf_counter() - self._began
        route = getattr(self._scope.get("route"), "path", "none")
        method = self._method if self._method in _METHODS else "other"
        status = self._status or _CLIENT_GONE
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(took)
        self._metrics.sent.labels(route).inc(self._size)
        client = self._scope.get("client")
        values: dict[str, Any] = {
            "id": self._id,
            "client": client[0] if client else None,
            "who": self._state.get(WHO),
            "method": self._method,
            "path": self._scope["path"],
            "status": status,
            "ms": round(1000 * took, 1),
            "bytes": self._size,
        }
        tell(logging.INFO, "request", **values)


def _has_route(scope: Scope) -> bool:
    """Whether a route answers this method itself."""
    return any(route.matches(scope)[0] is Match.FULL for route in scope["app"].routes)


def _unexpected(identity: str) -> Problem:
    said = "The server met an error that it does not know."
    return problem(500, "unexpected", "Unexpected error", said, f"Tell its owner the id {identity}.", id=identity)


def _stopping() -> Problem:
    return problem(503, "stopping", "Server stopping", "The server stops.", "Ask again in a minute.")
