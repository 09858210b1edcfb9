"""One HTTP server for all tests of a process, below which each mounts an application of its own."""

from __future__ import annotations

import itertools
import threading
import time
from functools import cache
from typing import Any

import uvicorn


class Mounts:
    """An application that passes a request on by the first part of its path."""

    def __init__(self) -> None:
        self.apps: dict[str, Any] = {}
        self._names = map("archive-{}".format, itertools.count(1))

    def add(self, app: Any) -> str:
        """Mount an application; gives the path."""
        name = next(self._names)
        self.apps[name] = app
        return name

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        name = scope["path"].split("/")[1]
        await self.apps[name]({**scope, "root_path": f"/{name}"}, receive, send)


@cache
def _server() -> tuple[Mounts, int]:
    mounts = Mounts()
    config = uvicorn.Config(mounts, "127.0.0.1", 0, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, name="server", daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return mounts, server.servers[0].sockets[0].getsockname()[1]


def mount(app: Any) -> str:
    """Serve an application; gives its URL."""
    mounts, port = _server()
    return f"http://127.0.0.1:{port}/{mounts.add(app)}"
