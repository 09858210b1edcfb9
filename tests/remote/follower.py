"""Starts clients that follow a remote table without end, each a process of its own that can be killed at any moment.

Reads lines ``url database batch`` from its standard input, starts a client for each and answers with its process id.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from koa_middleware.database.local import LocalDatabase
from koa_middleware.exceptions import RemoteUnavailableError
from koa_middleware.remote.postgres import table
from koa_middleware.remote.servers import remote_at
from koa_middleware.remote.sync import synchronise
from survey import Survey


def follow(url: str, path: str, batch: int) -> None:
    """Sync again and again; an outage ends one sync, not the client."""
    table.BATCH = batch
    remote, copy = remote_at(url, Survey), LocalDatabase(Survey, Path(path))
    while True:
        try:
            synchronise(copy, remote)
        except RemoteUnavailableError:
            time.sleep(0.05)
        time.sleep(random.random() * 0.02)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                os.close(0)
                follow(*line.split()[:2], batch=int(line.split()[2]))
            except BaseException:  # noqa: BLE001 - told on stderr, and by the exit
                import traceback

                traceback.print_exc()
                os._exit(1)
        print(child, flush=True)
