"""Requests whose bodies come compressed; what stands behind sees them as they were, and bounds their sizes."""

from __future__ import annotations

import zlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes that are passed on at once.
_PIECE = 1 << 18
#: Bytes by which a compressed body may be larger than what is in it.
_OVERHEAD = 1 << 16
_OF_GZIP = 16 + zlib.MAX_WBITS


class Unzipped:
    """Decompresses bodies that say of themselves that they are of gzip."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or Headers(scope=scope).get("content-encoding", "").strip().lower() != "gzip":
            await self._app(scope, receive, send)
            return
        headers = MutableHeaders(raw=[*scope["headers"]])
        del headers["content-encoding"], headers["content-length"]
        scope["headers"] = headers.raw  # in place, since who stands before this reads what the routes write there
        await self._app(scope, _Body(receive).receive, send)


class _Body:
    """A compressed body, decompressed a piece at a time."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._inflating = zlib.decompressobj(_OF_GZIP)
        self._came = self._gave = 0
        self._is_read = False

    async def receive(self) -> Message:
        """Give the next message.

        Raises
        ------
        HTTPException
            400, where the body is no gzip.
        """
        waiting = self._inflating.unconsumed_tail
        if not waiting:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            waiting = message.get("body", b"")
            self._is_read = not message.get("more_body", False)
            self._came += len(waiting)
        piece = self._inflated(waiting)
        self._gave += len(piece)
        has_more = bool(self._inflating.unconsumed_tail) or not self._is_read
        is_cut = not has_more and not self._inflating.eof
        if is_cut or self._came > self._gave + _OVERHEAD:
            raise _no_gzip()
        return {"type": "http.request", "body": piece, "more_body": has_more}

    def _inflated(self, content: bytes) -> bytes:
        try:
            return self._inflating.decompress(content, _PIECE)
        except zlib.error:
            raise _no_gzip() from None


def _no_gzip() -> HTTPException:
    return HTTPException(400, "The request's body is not the gzip that it is said to be.")
