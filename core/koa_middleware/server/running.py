"""uvicorn, started by code, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
import threading
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from ..exceptions import ConfigurationError
from .connections import Config, Connection, watch
from .limits import LIMITS, Limits
from .logs import tell

#: Connections that may wait to be taken.
_BACKLOG = 2048

#: Whose word about the client's own address is taken: a proxy on this machine.
_PROXIES = ["127.0.0.1", "::1"]


class Server(uvicorn.Server):
    """uvicorn's server, which watches its connections and says by which signal it was ended.

    Parameters
    ----------
    app : FastAPI
    limits : Limits

    Attributes
    ----------
    ended_by : int or None
        The first signal that came.
    """

    def __init__(self, app: FastAPI, limits: Limits = LIMITS) -> None:
        config = Config(
            app,
            http=Connection,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=True,
            forwarded_allow_ips=_PROXIES,
            timeout_keep_alive=limits.idle_seconds,
            timeout_graceful_shutdown=limits.stop_seconds,
            backlog=_BACKLOG,
            workers=1,
        )
        config.limits = limits
        super().__init__(config)
        self.ended_by: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and to watch."""
        await super().startup(sockets)
        self._watch = asyncio.create_task(watch(self.server_state.connections, self.config.limits))  # type: ignore[attr-defined]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let running requests end, for a while."""
        tell(logging.INFO, "stopping")
        await super().shutdown(sockets)
        self._watch.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as signal handlers are called
        """Begin to stop; a second Ctrl-C waits for nothing."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        self.ended_by = sig if self.ended_by is None else self.ended_by


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on all addresses of a host.

    Raises
    ------
    ConfigurationError
        When it has none, or one of them cannot be listened on.
    """
    opened: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, *_, address in dict.fromkeys(found):
            opened.append(socket.create_server(address, family=family, backlog=_BACKLOG))
    except OSError as error:
        for each in opened:
            each.close()
        raise _cannot_listen(host, port, error) from error
    return opened


def address_of(opened: socket.socket) -> str:
    """Give the URL of what listens."""
    host, port, *_ = opened.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(opened: socket.socket) -> bool:
    """Whether only this machine reaches what listens."""
    host = str(opened.getsockname()[0])
    return host.startswith("127.") or host == "::1"


def serve(server: Server, opened: list[socket.socket]) -> int | None:
    """Serve until a signal comes; gives its number."""
    _allow_many_files()
    tell(logging.INFO, "serving", at=[address_of(each) for each in opened])
    server.run(opened)
    tell(logging.INFO, "stopped")
    return server.ended_by


def end_now(code: int) -> None:
    """End the process where a thread still works for a request that was given up; else let it end by itself."""
    if any(not each.daemon and each is not threading.current_thread() for each in threading.enumerate()):
        sys.stdout.flush()
        logging.shutdown()
        os._exit(code)


def _allow_many_files() -> None:
    """Raise the number of connections to what the system allows this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _cannot_listen(host: str, port: int, error: Any) -> ConfigurationError:
    hint = "Stop what listens there, or choose another port with --port."
    if isinstance(error, PermissionError):
        hint = "Choose a port above 1023 with --port, and put a proxy before it."
    elif isinstance(error, socket.gaierror) or error.errno == 99:
        hint = "Give a name or an address of this machine with --host."
    said = f"Nothing can listen on port {port} of {host}: {error.strerror}."
    return ConfigurationError(said, hint, setting="--port", variable=None)
