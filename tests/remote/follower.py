"""Starts clients that follow a remote table without end, each a process of its own that can be killed at any moment.

Reads lines ``url database batch last`` from its standard input, starts a client for each and answers with its process
id. The client kills itself when it asks the server for the last time; it never does with 0.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from koa_middleware.database.local import LocalDatabase
from koa_middleware.exceptions import RemoteUnavailableError
from koa_middleware.remote import viewed
from koa_middleware.remote.http import reading
from koa_middleware.remote.http.remote import HttpRemote  # noqa: F401 - before the first client is started
from koa_middleware.remote.postgres import table
from koa_middleware.remote.servers import remote_at
from koa_middleware.remote.sync import synchronise
from survey import Survey


def follow(url: str, path: str, batch: int, last: int) -> None:
    """Sync again and again; an outage ends one sync, not the client."""
    viewed.BATCH = reading.BATCH = batch
    kill_at(last)
    remote, copy = remote_at(url, Survey), LocalDatabase(Survey, Path(path))
    while True:
        try:
            synchronise(copy, remote)
        except RemoteUnavailableError:
            time.sleep(0.05)
        time.sleep(random.random() * 0.02)


def kill_at(last: int) -> None:
    """Kill this process when it asks the server so many times."""
    fetch, times = table.PostgresSource.fetch, itertools.count(1)

    def counted(source: table.PostgresSource, *question: Any) -> Any:
        if next(times) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return fetch(source, *question)

    table.PostgresSource.fetch = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                os.close(0)
                url, path, batch, last = line.split()
                follow(url, path, int(batch), int(last))
            except BaseException:  # noqa: BLE001 - told on stderr, and by the exit
                import traceback

                traceback.print_exc()
                os._exit(1)
        print(child, flush=True)
