"""A proxy before servers of an archive that does to requests and answers what networks do."""

from __future__ import annotations

import http.client
import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple, Self

#: What may happen to a request or its answer; "" is nothing.
FAULTS = ("cut", "lost", "twice", "late", "again", "stale")

#: Headers that are about one connection.
_OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Proxy:
    """Passes requests on to servers in turn, on a free loopback port.

    Attributes
    ----------
    fault : callable
        Gives what happens to the next request: ``cut``: the answer ends in the middle; ``lost``: it never comes;
        ``twice``: the server gets the request twice; ``late``: it comes after others that were sent later; ``again``:
        the server gets it a second time, much later; ``stale``: what the same address answered first.
    ports : sequence of int
        The servers'.
    """

    def __init__(self, *ports: int) -> None:
        self.ports: Sequence[int] = ports
        self.fault: Callable[[], str] = str
        self.asked: list[tuple[str, str, int]] = []
        self._turns = itertools.count()
        self._kept: dict[str, int] = {}
        self._first: dict[tuple[str, str], Answer] = {}
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def at_random(self, chance: random.Random, share: float) -> None:
        """Let something happen to a share of the requests from now on."""
        self.fault = lambda: chance.choice(FAULTS) if chance.random() < share else ""

    def skip(self) -> None:
        """Let the next request go to the server after the one whose turn it is."""
        next(self._turns)

    def keep_to(self, number: int, methods: Sequence[str]) -> None:
        """Let one of the servers get all requests of some methods."""
        self._kept = dict.fromkeys(methods, self.ports[number])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, fault: str, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Ask the next server, with what the fault does before."""
        if fault == "stale" and method == "GET" and (method, path) in self._first:
            return self._first[method, path]
        if fault == "late":
            time.sleep(random.random() * 0.1)
        if fault == "again":
            threading.Timer(0.2, self._ask_in_vain, (method, path, headers, body)).start()
        if fault == "twice":
            self._ask(method, path, headers, body)
        found = self._ask(method, path, headers, body)
        self.asked.append((method, path, found.status))
        if method == "GET" and found.status == http.client.OK:
            self._first.setdefault((method, path), found)
        return found

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        port = self._kept.get(method) or self.ports[next(self._turns) % len(self.ports)]
        there = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            there.request(method, path, body or None, headers)
            said = there.getresponse()
            return Answer(said.status, said.getheaders(), said.read())
        finally:
            there.close()

    def _ask_in_vain(self, *request: Any) -> None:
        try:
            self._ask(*request)
        except (OSError, http.client.HTTPException):
            return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that was killed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            raise


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: ClassVar[Proxy]

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_A_CONNECTION}
        fault = self.proxy.fault()
        try:
            found = self.proxy.answer(fault, self.command, self.path, headers, body)
        except (OSError, http.client.HTTPException):  # a server that was killed
            found = Answer(502, [("content-type", "text/plain")], b"there is no server")
        self.close_connection = fault in ("cut", "lost")
        if fault == "lost":
            return
        with suppress(ConnectionError):  # of a client that was killed
            self._send(found, fault)

    def _send(self, found: Answer, fault: str) -> None:
        self.send_response_only(found.status)
        for name, value in found.headers:
            if name.lower() not in _OF_A_CONNECTION:
                self.send_header(name, value)
        if found.status != http.client.NOT_MODIFIED:
            self.send_header("content-length", str(len(found.body)))
        self.end_headers()
        self.wfile.write(found.body[: len(found.body) // 2] if fault == "cut" else found.body)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._pass_on
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        return
