"""How the server ends, in a process of its own; and what it cannot listen on."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from koa_middleware import ConfigurationError
from koa_middleware.server.running import address_of, is_loopback, listen

from tests.conftest import run_python
from tests.server.shell import Client, wait_for

SERVING = """
import asyncio, sys, time
from koa_middleware.server.app import make_app
from koa_middleware.server.limits import Limits
from koa_middleware.server.logs import logged_on_stderr
from koa_middleware.server.running import Server, end_now, listen, serve

app = make_app([])

@app.get("/x/y/z/waits/{seconds}")
async def waits(seconds: float):
    await asyncio.sleep(seconds)
    return {"it": "came"}

@app.get("/x/y/z/works/{seconds}")
def works(seconds: float):
    time.sleep(seconds)
    return {"it": "came"}

opened = listen("127.0.0.1", 0)
print(opened[0].getsockname()[1], flush=True)
with logged_on_stderr():
    ended_by = serve(Server(app, Limits(stop_seconds=int(sys.argv[1]))), opened)
    end_now(0)
sys.exit(0)
"""


class Process:
    """A server in a process of its own."""

    def __init__(self, stop_seconds: int) -> None:
        self.process: subprocess.Popen[str] = run_python(SERVING, stop_seconds)
        self.port = int(self.process.stdout.readline())
        self._clients: list[Client] = []

    def connect(self) -> Client:
        """Give a connection that has been used."""
        client = Client(self.port)
        self._clients.append(client)
        client.ask("/health")
        return client

    def asks(self, path: str) -> Client:
        """Ask, and wait for no answer; the request has begun."""
        client = self.connect()
        client.send(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n")
        with closing(Client(self.port)) as other:
            wait_for(lambda: b"koa_requests_running 2.0" in other.ask("/metrics").body)
        return client

    def ends(self, signal_: int) -> tuple[int, float, list[dict[str, Any]]]:
        """Send a signal; gives exit code, seconds until the end, and the log."""
        begun = time.monotonic()
        self.process.send_signal(signal_)
        said = self.process.communicate(timeout=30)[1]
        return self.process.returncode, time.monotonic() - begun, [json.loads(line) for line in said.splitlines()]

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def patient() -> Iterator[Process]:
    yield from _process(20)


@pytest.fixture
def hasty() -> Iterator[Process]:
    yield from _process(1)


def _process(stop_seconds: int) -> Iterator[Process]:
    process = Process(stop_seconds)
    yield process
    process.close()


def test_sigterm_lets_running_requests_end_and_takes_no_more(patient: Process) -> None:
    waiting, idle = patient.asks("/x/y/z/waits/1.5"), patient.connect()
    patient.process.send_signal(signal.SIGTERM)
    assert idle.ends_within(5) == b""
    with pytest.raises(ConnectionRefusedError):
        Client(patient.port)
    assert waiting.answer().json == {"it": "came"}
    code, _, lines = patient.ends(signal.SIGTERM)
    assert code == 0
    assert [line["message"] for line in lines][-1] == "stopped"
    assert not [line for line in lines if line["level"] != "info"]


@pytest.mark.parametrize("path", ["/x/y/z/waits/60", "/x/y/z/works/60"])
def test_a_request_that_does_not_end_holds_no_server_up(hasty: Process, path: str) -> None:
    client = hasty.asks(path)
    code, took, lines = hasty.ends(signal.SIGTERM)
    assert code == 0
    assert took < 10
    assert not [line for line in lines if "traceback" in line]
    client.answer().problem(503)


def test_no_port_that_is_taken_or_not_of_this_machine_is_listened_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigurationError, match="Nothing can listen"):
        listen("127.0.0.1", other.getsockname()[1])
    for host in ("192.0.2.1", "nowhere.invalid"):
        with pytest.raises(ConfigurationError, match=host) as found:
            listen(host, 0)
        assert "--host" in found.value.hint


@pytest.mark.parametrize(
    ("host", "is_private", "begins"),
    [("127.0.0.1", True, "http://127.0.0.1:"), ("::1", True, "http://[::1]:"), ("0.0.0.0", False, "http://0.0.0.0:")],
)
def test_it_is_known_whether_others_reach_what_listens(host: str, is_private: bool, begins: str) -> None:
    opened = listen(host, 0)
    try:
        assert all(is_loopback(each) == is_private for each in opened)
        assert address_of(opened[0]).startswith(begins)
    finally:
        for each in opened:
            each.close()
