"""Connections of clients that may be slow, or never come to an end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ..remote.http.problems import MEDIA_TYPE, Problem, problem
from .headers import RAW
from .limits import Limits
from .logs import tell


class Config(uvicorn.Config):
    """uvicorn's settings, with the limits of connections."""

    limits: Limits


class Connection(HttpToolsProtocol):
    """A connection that is cut where it takes too long; `check` is called every now and then."""

    config: Config

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._limits = self.config.limits
        self._head_since: float | None = self.loop.time()
        self._head_size = 0
        self._has_body_to_come = False
        self._body_since = self._body_size = self._unread = 0.0
        self._unsent, self._unsent_since = 0, self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Count what comes; a head that has grown too large is refused."""
        if self._has_body_to_come:
            self._body_size += len(data)
            self._unread += len(data) if self.cycle.response_complete else 0
        else:
            self._head_size += len(data)
            self._head_since = self.loop.time() if self._head_since is None else self._head_since
        super().data_received(data)
        if self._head_since is not None and self._head_size > self._limits.head_bytes:
            self._refuse(_HEAD_TOO_LARGE)
        elif self._unread > self._limits.unread_bytes:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to wait for a head, where it follows another request."""
        super().on_message_begin()
        self._head_since = self.loop.time() if self._head_since is None else self._head_since

    def on_headers_complete(self) -> None:
        """Begin to wait for a body."""
        super().on_headers_complete()
        self._head_since, self._head_size = None, 0
        self._has_body_to_come = True
        self._body_since, self._body_size, self._unread = self.loop.time(), 0, 0

    def on_message_complete(self) -> None:
        """Wait for nothing."""
        super().on_message_complete()
        self._has_body_to_come = False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence says no more
        """Refuse what is no HTTP."""
        self._refuse(_NO_HTTP)

    def check(self, now: float) -> None:
        """Cut the connection where its client takes too long.

        Parameters
        ----------
        now : float
            Seconds of the loop's clock.
        """
        if self._takes_nothing(now):
            tell(logging.INFO, "cut", client=self._address, why="it took nothing of an answer")
            self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self.flow.read_paused or (self._is_answering and not self._has_body_to_come):  # it is our turn
            self._head_since = None if self._head_since is None else now
            self._body_since, self._body_size = now, 0
        elif self._head_since is not None and now - self._head_since > self._limits.head_seconds:
            self._refuse(_HEAD_TOO_SLOW)
        elif self._has_body_to_come and now - self._body_since > self._limits.body_seconds:
            if self._body_size < self._limits.body_rate * self._limits.body_seconds:
                self._refuse(_BODY_TOO_SLOW)
            self._body_since, self._body_size = now, 0

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _address(self) -> str | None:
        return None if self.client is None else self.client[0]

    def _takes_nothing(self, now: float) -> bool:
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        return now - self._unsent_since > self._limits.reader_seconds

    def _refuse(self, said: Problem) -> None:
        """Say why, where nothing of an answer was sent, and close the connection."""
        tell(logging.INFO, "cut", client=self._address, why=said.body["detail"])
        if not (self._is_answering and self.cycle.response_started) and (self._head_size or self._has_body_to_come):
            body = json.dumps(said.body).encode()
            head = [STATUS_LINE[said.status]]
            for name, value in [*self.server_state.default_headers, *RAW]:
                head += [name, b": ", value, b"\r\n"]
            kind = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(b"".join([*head, kind.encode(), body]))
        self.transport.close()


async def watch(connections: Iterable[Any], limits: Limits) -> None:
    """Check all connections, until it is cancelled."""
    pause = min(1.0, limits.head_seconds / 4, limits.body_seconds / 4, limits.reader_seconds / 4)
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(pause)
        for connection in list(connections):
            connection.check(loop.time())


_HEAD_TOO_LARGE = problem(431, "head-too-large", "Request head too large", "The request's head is too large.")
_HEAD_TOO_SLOW = problem(408, "too-slow", "Request too slow", "The request's head did not come to its end in time.")
_BODY_TOO_SLOW = problem(408, "too-slow", "Request too slow", "The request's body came too slowly.")
_NO_HTTP = problem(400, "no-http", "No HTTP request", "What came is no HTTP request that this server can read.")
