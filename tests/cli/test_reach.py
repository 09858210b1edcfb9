"""``koa-cal status --check``."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import InstrumentPlugin
from koa_middleware.cli.reach import answers
from koa_middleware.remote.http import asking
from koa_middleware.settings import resolve

Run = Callable[..., Any]

SECRET = "not-to-be-shown"


class _Server(BaseHTTPRequestHandler):
    """Has every file, for one token."""

    def do_HEAD(self) -> None:
        self.send_response(200 if self.headers["Authorization"] == f"Bearer {SECRET}" else 401)
        self.end_headers()

    def do_GET(self) -> None:
        """Answer as an archive that never comes to an end."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        with suppress(OSError):  # the client has enough
            while True:
                self.wfile.write(b"[1," * 10_000)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def file_server() -> Iterator[str]:
    """Give the URL of a server that asks for a token."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture
def silent() -> Iterator[int]:
    """Give the port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def dead() -> int:
    """Give a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def ask(koa_cal: Run, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a function that sets variables and gives exit code and answers; one file of the archive is known here."""
    koa_cal("register", "-i", "testspec", "--origin", "REMOTE", write("dark.fits", 61083.4, "dark")).ended(0)

    def check(**variables: str) -> tuple[int, dict[str, tuple[bool, str]]]:
        for name, value in variables.items():
            monkeypatch.setenv(f"KOA_{name.upper()}", value)
        shown, found = (koa_cal("status", "-i", "testspec", "--check", *more) for more in ((), ("--json",)))
        assert SECRET not in shown.out + shown.err + found.out + found.err
        assert shown.code == found.code
        return found.code, {each["asked"]: (each["ok"], each["said"]) for each in found.json["check"]}

    return check


@pytest.mark.usefixtures("published")
def test_an_archive_and_files_that_are_there_answer(typed: Run) -> None:
    found = typed("status", "--check", "--json").ended(0).json["check"]
    assert [(each["asked"], each["ok"]) for each in found] == [("archive", True), ("file server", True)]
    shown = typed("status", "--check").ended(0).out
    assert " ago" in shown[shown.index("last sync") :].splitlines()[0]


def test_where_no_server_is_set_none_is_asked(ask: Run) -> None:
    assert ask() == (0, {"network": (True, "neither an archive nor a file server is set")})
    assert ask(offline="1", calibration_url="http://127.0.0.1:1")[0] == 0


def test_a_dead_archive_fails_and_the_file_server_is_asked_nevertheless(ask: Run, dead: int, file_server: str) -> None:
    url = f"postgresql://observer:{SECRET}@127.0.0.1:{dead}/archive"
    code, found = ask(remote_database_url=url, calibration_url=file_server, access_token=SECRET)
    assert code == 1
    assert (found["archive"][0], found["file server"][0]) == (False, True)


def test_a_dead_file_server_fails(ask: Run, dead: int) -> None:
    code, found = ask(calibration_url=f"http://user:{SECRET}@127.0.0.1:{dead}")
    assert (code, found["file server"][0]) == (1, False)
    assert f"127.0.0.1:{dead}" in found["file server"][1]


def test_an_archive_whose_answer_does_not_end_fails(
    ask: Run, file_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_LONGEST", 1 << 20)
    code, found = ask(remote_database_url=file_server)
    assert (code, found["archive"][0]) == (1, False)
    assert "its answer does not end" in found["archive"][1]


def test_a_refused_login_fails_and_says_what_to_set(ask: Run, file_server: str) -> None:
    code, found = ask(calibration_url=file_server, access_token=f"{SECRET}-any-more")
    assert (code, found["file server"][0]) == (1, False)
    assert "401" in found["file server"][1]
    assert "credentials" in found["file server"][1]


def test_a_file_server_that_says_nothing_is_not_waited_for_long(silent: int, testspec: InstrumentPlugin) -> None:
    settings = resolve("testspec", calibration_url=f"http://127.0.0.1:{silent}")
    begun = time.monotonic()
    (answer,) = answers(settings, testspec.ORM, {"filename": "dark.fits"}, patience_s=0.2)
    assert not answer.ok
    assert time.monotonic() - begun < 10
