"""How a file server is reached: over TLS, through a proxy, along redirects; and how often a connection is opened."""

from __future__ import annotations

import hashlib
import json
import selectors
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from koa_middleware.exceptions import DownloadError
from koa_middleware.fetch.server import FileServer
from koa_middleware.fetch.transfer import Fetched, Transfer

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))
from fault_server import content  # noqa: E402

SIZE = 300_000
TOKEN = "token-1234567"
Fetch = Callable[..., list[Any]]
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``server.pem``, for two names, and ``authority.pem``, which vouches for it."""
    folder, made = tmp_path_factory.mktemp("authority"), trustme.CA()
    made.cert_pem.write_to_path(folder / "authority.pem")
    made.issue_cert("localhost", "archive.test").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder


def served(*arguments: str) -> Iterator[int]:
    command = [sys.executable, str(TESTS / "fault_server.py"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    yield from served()


@pytest.fixture(scope="module")
def tls_port(authority: Path) -> Iterator[int]:
    yield from served(str(authority / "server.pem"))


class Proxy(BaseHTTPRequestHandler):
    """Brings everything from this machine, whatever host is asked for; notes the host and the way."""

    port = tls_port = 0
    asked: list[tuple[str, str]] = []

    def do_GET(self) -> None:
        wanted = urlsplit(self.path)
        self.asked.append((self.command, wanted.netloc))
        forward = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{wanted.path}", headers=forward)
        with DIRECT.open(request) as answer:
            body = answer.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        self.asked.append((self.command, self.path))
        self.send_response(200)
        self.end_headers()
        with socket.create_connection(("127.0.0.1", self.tls_port)) as server, selectors.DefaultSelector() as ready:
            ready.register(server, selectors.EVENT_READ, self.connection)
            ready.register(self.connection, selectors.EVENT_READ, server)
            while True:
                for key, _ in ready.select():
                    if not (piece := key.fileobj.recv(1 << 16)):
                        self.close_connection = True
                        return
                    key.data.sendall(piece)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy(port: int, tls_port: int) -> Iterator[str]:
    """URL of a proxy; its names do not resolve from here."""
    Proxy.port, Proxy.tls_port, Proxy.asked = port, tls_port, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Bring files of these names; gives what was fetched or raised."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    (tmp_path / "calibrations").mkdir()

    def run(base: str, *names: str, **options: Any) -> list[Any]:
        with FileServer(base, **{"backoff_s": 0.005, "timeout_s": (2.0, 2.0), **options}) as server:
            transfers = [
                Transfer(
                    server.url_for({"filename": name}),
                    tmp_path / "calibrations" / name,
                    f"sha256:{hashlib.sha256(content(name)).hexdigest()}",
                    len(content(name)),
                )
                for name in names
            ]
            return server.fetch_many(transfers, tmp_path / "partial", workers=1)

    return run


def log(port: int, name: str) -> list[dict[str, Any]]:
    """What the server was asked for this name."""
    with DIRECT.open(f"http://127.0.0.1:{port}/log/{name}") as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


def test_a_file_comes_over_tls_with_its_credentials(
    fetch: Fetch, tls_port: int, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "authority.pem"))
    (fetched,) = fetch(f"https://localhost:{tls_port}/access/Bearer {TOKEN}", f"tls-{SIZE}.fits", access_token=TOKEN)
    assert isinstance(fetched, Fetched)
    assert fetched.path.read_bytes() == content(f"tls-{SIZE}.fits")


@pytest.mark.parametrize("what", ["head", "body", "page"])
def test_a_server_that_drips_over_tls_is_cut_off_too(
    fetch: Fetch, tls_port: int, authority: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "authority.pem"))
    begin = time.monotonic()
    slow = {"slow_after_s": 0.5, "timeout_s": (5.0, 0.5), "backoff_s": 0.01}
    (error,) = fetch(f"https://localhost:{tls_port}/drip/{what}", f"drip-{SIZE}.fits", **slow)
    assert isinstance(error, DownloadError)
    assert time.monotonic() - begin < 20


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(fetch: Fetch, tls_port: int) -> None:
    (error,) = fetch(f"https://localhost:{tls_port}/ok/-", f"stranger-{SIZE}.fits")
    assert isinstance(error, DownloadError)
    assert "certificate is not accepted" in str(error)
    assert "REQUESTS_CA_BUNDLE" in error.hint


def test_a_certificate_of_another_host_is_refused(
    fetch: Fetch, tls_port: int, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "authority.pem"))
    (error,) = fetch(f"https://127.0.0.1:{tls_port}/ok/-", f"other-{SIZE}.fits")
    assert "certificate is not accepted" in str(error)


def test_a_proxy_of_the_environment_is_used(
    fetch: Fetch, proxy: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    names = [f"proxied{number}-{SIZE}.fits" for number in range(2)]
    fetched = fetch("http://archive.test/ok/-", *names, access_token=TOKEN)
    assert [one.path.read_bytes() for one in fetched] == [content(name) for name in names]
    assert Proxy.asked == [("GET", "archive.test")] * 2
    assert log(port, names[0])[0]["Authorization"] is None  # never over http beyond this machine


def test_tls_goes_through_a_proxy_end_to_end(
    fetch: Fetch, proxy: str, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "authority.pem"))
    (fetched,) = fetch(f"https://archive.test/access/Bearer {TOKEN}", f"tunnel-{SIZE}.fits", access_token=TOKEN)
    assert isinstance(fetched, Fetched)
    assert Proxy.asked == [("CONNECT", "archive.test:443")]


def test_a_host_that_needs_no_proxy_is_asked_directly(
    fetch: Fetch, proxy: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (fetched,) = fetch(f"http://127.0.0.1:{port}/ok/-", f"direct-{SIZE}.fits")
    assert isinstance(fetched, Fetched)
    assert Proxy.asked == []


def test_a_dead_proxy_is_a_server_that_cannot_be_reached(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = listener.getsockname()[1]
    monkeypatch.setenv("http_proxy", f"http://keck:secret-123@127.0.0.1:{dead}")
    first, second = fetch("http://archive.test/ok/-", f"dead0-{SIZE}.fits", f"dead1-{SIZE}.fits")
    assert "cannot be reached" in str(first)
    assert "cannot be reached" in str(second)
    assert "secret-123" not in f"{first!r} {first} {second}"


def test_a_relative_redirect_is_followed(fetch: Fetch, port: int) -> None:
    (fetched,) = fetch(f"http://127.0.0.1:{port}/moved/near", f"near-{SIZE}.fits")
    assert isinstance(fetched, Fetched)


@pytest.mark.parametrize("where", ["round", "ftp"])
def test_a_redirect_that_leads_nowhere_is_told(fetch: Fetch, port: int, where: str) -> None:
    (error,) = fetch(f"http://127.0.0.1:{port}/moved/{where}", f"{where}-{SIZE}.fits")
    assert isinstance(error, DownloadError)
    assert "the address cannot be used" in str(error)


@pytest.mark.parametrize("fault", ["ok/-", "moved/near"])
def test_one_connection_serves_one_file_after_another(fetch: Fetch, port: int, fault: str) -> None:
    names = [f"{fault[:2]}{number}-{SIZE}.fits" for number in range(5)]
    assert all(isinstance(one, Fetched) for one in fetch(f"http://127.0.0.1:{port}/{fault}", *names))
    assert len({tuple(entry["client"]) for name in names for entry in log(port, name)}) == 1


def test_who_is_told_of_a_connection_is_told_nothing_of_our_classes(fetch: Fetch, port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = listener.getsockname()[1]
    (refused,) = fetch(f"http://127.0.0.1:{dead}/ok/-", f"dead2-{SIZE}.fits")
    assert "Connection refused" in str(refused)
    assert "host=" not in str(refused)
    (plain,) = fetch(f"https://127.0.0.1:{port}/ok/-", f"plain-{SIZE}.fits")
    assert "does not speak TLS" in str(plain)
