"""The server as `koa-cal serve` runs it, in a thread, and clients that send and read as slowly as a test says."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from fastapi import FastAPI
from koa_middleware.server.limits import LIMITS, Limits
from koa_middleware.server.running import Server, listen


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self, status: int) -> dict[str, Any]:
        """Check that it is a problem of this status, as the standard has it; gives it."""
        assert self.status == status, self
        assert self.headers["content-type"] == "application/problem+json"
        assert self.json["status"] == status
        assert {"type", "title", "detail", "hint"} <= self.json.keys()
        return self.json


class Client:
    """A connection to a server, on which a test writes bytes."""

    def __init__(self, port: int, receives: int = 0) -> None:
        self._socket = socket.socket()
        if receives:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        self._socket.settimeout(10)
        try:
            self._socket.connect(("127.0.0.1", port))
        except OSError:
            self._socket.close()
            raise
        self._left = b""

    def send(self, data: bytes | str) -> None:
        self._socket.sendall(data.encode() if isinstance(data, str) else data)

    def send_until_cut(self, data: bytes, seconds: float, pause: float = 0) -> None:
        """Send the same again and again; the server must end that."""
        end = time.monotonic() + seconds
        with suppress(BrokenPipeError, ConnectionResetError):
            while True:
                assert time.monotonic() < end
                self._socket.sendall(data)
                time.sleep(pause)

    def read(self) -> bytes:
        """Give what has come, waiting for something; empty at the end of the connection, however it ended."""
        try:
            return self._socket.recv(1 << 16)
        except ConnectionResetError:
            return b""

    def answer(self, has_body: bool = True) -> Answer:
        """Give the next answer, whose length is said."""
        while b"\r\n\r\n" not in self._left:
            self._more()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert len(headers) == len(lines), lines
        size = int(headers["content-length"]) if has_body else 0
        while len(self._left) < size:
            self._more()
        body, self._left = self._left[:size], self._left[size:]
        return Answer(int(first.split()[1]), headers, body)

    def ask(self, path: str, method: str = "GET", headers: Mapping[str, str] = {}, body: bytes = b"") -> Answer:
        length = {"Content-Length": str(len(body))} if body else {}
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "here", **length, **headers}.items())
        self.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        return self.answer(method != "HEAD")

    def ends_within(self, seconds: float) -> bytes:
        """Wait for the end of the connection; gives what came before it."""
        begun, came = time.monotonic(), self._left
        while data := self.read():
            came += data
        assert time.monotonic() - begun < seconds
        return came

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> None:
        data = self.read()
        assert data, f"the connection ended after {self._left!r}"
        self._left += data


def wait_for(is_so: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def running(app: FastAPI, limits: Limits = LIMITS) -> Iterator[int]:
    """Run an application in a thread; gives its port."""
    (listening,) = listen("127.0.0.1", 0)
    server = Server(app, limits)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def log_lines() -> Iterator[list[dict[str, Any]]]:
    """Give the lines that the server logs meanwhile, as they would stand on stderr, parsed."""
    from koa_middleware.server.logs import JsonLines, log

    lines: list[dict[str, Any]] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonLines().format(record)))

    handler, level = Keeping(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
