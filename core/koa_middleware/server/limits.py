"""What a client may ask of the server: how large, how slow, how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

#: Bytes of a request's body, of routes that do not say otherwise; see `accepts`.
BODY = 1 << 20

_ATTRIBUTE = "__koa_largest_body__"


@dataclass(frozen=True)
class Limits:
    """How long a connection may take, and what for.

    Attributes
    ----------
    head_seconds : float
        Until a request's head must be complete, from its first byte, or from the connection's beginning.
    head_bytes : int
        Of a request's head.
    body_seconds, body_rate : float
        A body must bring `body_rate` bytes a second, on average of so many seconds.
    reader_seconds : float
        How long a client may take nothing of an answer.
    idle_seconds : int
        How long a connection may be kept between two requests.
    unread_bytes : int
        Of a body that no route reads, before its connection is closed.
    stop_seconds : int
        How long running requests may go on once the server stops.
    """

    head_seconds: float = 30.0
    head_bytes: int = 1 << 16
    body_seconds: float = 30.0
    body_rate: float = 1000.0
    reader_seconds: float = 120.0
    idle_seconds: int = 75
    unread_bytes: int = 1 << 24
    stop_seconds: int = 30


LIMITS = Limits()


def accepts(size: int) -> Callable[[Endpoint], Endpoint]:
    """Let a route take bodies of so many bytes; stands below the route's decorator."""

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ATTRIBUTE, size)
        return endpoint

    return mark


class BodyLimit:
    """Refuses a body that is too large: before it is read where its size is said, else once it has got there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = 0

        async def bounded() -> Message:
            nonlocal found
            limit = getattr(scope.get("endpoint"), _ATTRIBUTE, BODY)  # known by now, since routes read bodies
            if _size_said(scope) > limit:
                raise _too_large(limit)
            message = await receive()
            found += len(message.get("body", b""))
            if found > limit:
                raise _too_large(limit)
            return message

        await self._app(scope, bounded, send)


def _size_said(scope: Scope) -> int:
    said = Request(scope).headers.get("content-length", "")
    return int(said) if said.isdecimal() else 0


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"The request's body is larger than {limit} bytes, which is what this address takes.")
