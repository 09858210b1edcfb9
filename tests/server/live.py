"""An application on a free loopback port, and requests to it whose heads are as a test says."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any, NamedTuple

from koa_middleware import CalibrationStore, InstrumentPlugin
from koa_middleware.remote.folder.remote import FolderRemote
from koa_middleware.remote.protocol import Remote


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON."""
        return json.loads(self.body)


class Live:
    """A running server, asked by a connection for each request."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, headers: Mapping[str, str] = {}, method: str = "GET") -> Answer:
        """Ask for a path, which goes out as it is."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): text for name, text in response.getheaders()}, response.read()
            )


@contextmanager
def live(app: Any) -> Iterator[Live]:
    """Serve an application in a thread."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Live(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def serving(store: CalibrationStore[Any], remote: Remote[Any] | None = None) -> Any:
    """Give a store as something that is served: from its own database, or from an archive."""
    from koa_middleware.server.served import Served

    plugin = InstrumentPlugin(ORM=store.orm_class, selectors=[])
    return Served(plugin, store, remote or FolderRemote(store.local_db), is_writable=remote is not None)
