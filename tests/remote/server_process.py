"""Starts servers of the archive over HTTP, each a process of its own that can be killed at any moment.

Reads lines ``url folder port`` from its standard input, starts a server for each and answers with its process id when
it takes requests.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import uvicorn
from koa_middleware import CalibrationStore
from koa_middleware.plugins import InstrumentPlugin
from koa_middleware.remote.servers import remote_at
from koa_middleware.server.app import make_app
from koa_middleware.server.served import Served
from survey import Survey

CONNECTIONS = 4


def serve(url: str, folder: str, port: int, started: int) -> None:
    """Serve the archive at a URL until this process is killed; `started` gets a byte when requests are taken."""
    store = CalibrationStore(Survey, Path(folder), remote_database_url=url)
    served = Served(InstrumentPlugin(Survey), store, remote_at(url, Survey, connections=CONNECTIONS), True)
    with socket.create_server(("127.0.0.1", port), backlog=2048) as opened:
        server = uvicorn.Server(uvicorn.Config(make_app([served]), log_level="warning"))
        threading.Thread(target=tell, args=(server, started), daemon=True).start()
        server.run(sockets=[opened])


def tell(server: uvicorn.Server, started: int) -> None:
    """Tell that a server takes requests."""
    while not server.started:
        time.sleep(0.005)
    os.write(started, b"1")


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(0)
                given, folder, port = line.split()
                serve(given, folder, int(port), writing)
            except BaseException:  # noqa: BLE001 - told on stderr, and by the exit
                import traceback

                traceback.print_exc()
            os._exit(1)
        os.close(writing)
        is_started = os.read(reading, 1)
        os.close(reading)
        print(child if is_started else "its traceback is on stderr", flush=True)
