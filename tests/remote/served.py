"""A server of an archive, on a free loopback port, and requests of a client of its own."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from http_server import mount
from koa_middleware import CalibrationStore, InstrumentPlugin
from koa_middleware.database.tokens import Tokens, new_token
from koa_middleware.remote.servers import remote_at
from koa_middleware.server.app import make_app
from koa_middleware.server.served import Served
from survey import Archive, Survey


class Server:
    """A running server of an archive, whose files stand in a cache folder."""

    def __init__(self, archive: Archive, url: str, cache: Path, tokens: Tokens) -> None:
        self.archive = archive
        self.url = url
        self.cache = cache
        self._tokens = tokens
        self.calibrations = cache / "calibrations"

    def token(self, *scopes: str, name: str = "keck") -> str:
        """Make a token."""
        letters = new_token()
        self._tokens.add(letters, name, scopes, (), None)
        return letters

    def files(self) -> dict[str, bytes]:
        """All files that have their names."""
        return {path.name: path.read_bytes() for path in self.calibrations.iterdir()}

    def staged(self) -> list[str]:
        """The names of all that came, or comes, and has no name yet."""
        return sorted(path.name for path in (self.cache / "partial").iterdir())


@contextmanager
def serving(archive: Archive, cache: Path, *, is_writable: bool = True) -> Iterator[Server]:
    """Serve an archive."""
    origin: Any = remote_at(archive.url, Survey)
    with CalibrationStore(Survey, cache) as store, closing(origin):
        app = make_app([Served(InstrumentPlugin(ORM=Survey), store, origin, is_writable)])
        tokens = Tokens(origin.database if is_writable else store.local_db)
        yield Server(archive, mount(app), cache, tokens)


class Publisher:
    """Who writes to a server by requests of its own making."""

    def __init__(self, server: Server, token: str) -> None:
        self._base = f"{server.url}/api/v1/survey"
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, sent: Any = None, **options: Any) -> requests.Response:
        """Send a request; `sent` goes as JSON."""
        headers = {**self._headers, **options.pop("headers", {})}
        if sent is not None:
            options["data"] = json.dumps(sent)
            headers["Content-Type"] = "application/json"
        return requests.request(method, f"{self._base}/{path}", headers=headers, timeout=60, **options)

    def put(self, content: bytes, digits: str | None = None) -> requests.Response:
        """Upload a file."""
        return self.ask("PUT", f"uploads/{digits or sha256(content)}", data=content)

    def missing(self, *contents: bytes) -> requests.Response:
        """Ask which files have yet to come."""
        files = [{"digits": sha256(each), "size": len(each)} for each in contents]
        return self.ask("POST", "uploads", {"files": files})

    def plan(self, *rows: dict[str, Any], **more: Any) -> requests.Response:
        """Ask what a publication would give."""
        return self.ask("POST", "publications/plan", {"rows": rows, **more})

    def publish(self, *rows: dict[str, Any], key: str | None = None, **more: Any) -> requests.Response:
        """Publish, as planned now unless said otherwise."""
        if "planned" not in more:
            found = self.plan(*rows).json()["rows"]
            names = {each["id"]: {name: each[name] for name in ("filename", "cal_version")} for each in found}
            more["planned"] = names
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self.ask("POST", "publications", {"rows": rows, **more}, headers=headers)

    def flag(self, id: str, key: str | None = None, **said: Any) -> requests.Response:
        """Judge a record."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self.ask("POST", f"records/{id}/judgements", said, headers=headers)


def sha256(content: bytes) -> str:
    """Give the digits of a sha256."""
    return hashlib.sha256(content).hexdigest()


def row(content: bytes | None = None, filename: str = "dark.fits", **values: Any) -> dict[str, Any]:
    """Give a record's values, of a file of some content."""
    given = {"cal_type": "dark", "datetime_obs": "2026-01-02T03:04:05.678", "mjd_start": 61042.12784, **values}
    if content is not None:
        given = {"checksum": f"sha256:{sha256(content)}", "file_size": len(content), **given}
    return {"id": str(uuid.uuid4()), "filename": filename, "cal_version": "001", **given}


@contextmanager
def cutting(url: str, path: str, *, always: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Stand before a server, and cut the first answer, or all, to requests for paths that end so; gives those paths."""
    from http.client import HTTPConnection
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from urllib.parse import urlsplit

    cuts: list[str] = []

    class Cutting(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            there = HTTPConnection(str(urlsplit(url).netloc))
            there.request(self.command, self.path, body, dict(self.headers))
            found = there.getresponse()
            content = found.read()
            there.close()
            if self.path.endswith(path) and (always or not cuts):
                cuts.append(self.path)
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(found.status)
            for name, value in found.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = pass_on  # noqa: N815 - as the library calls them

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Cutting) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}{urlsplit(url).path}", cuts
        finally:
            proxy.shutdown()
            thread.join()


def until(is_so: Callable[[], object]) -> None:
    """Wait for a condition."""
    for _ in range(2000):
        if is_so():
            return
        time.sleep(0.01)
    pytest.fail("it did not come to that")
