"""Servers of an archive over HTTP, each a process that can be killed, and a proxy before them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from proxy import Proxy
from servers import free_port


class Web:
    """Servers that serve one archive each, in turn, behind a proxy.

    Parameters
    ----------
    starter : subprocess.Popen
        Of server_process.py.
    folder : pathlib.Path
        For the servers' cache folders.
    urls : sequence of str
        Of the databases, one for each server.

    Attributes
    ----------
    proxy : Proxy
    url : str
        The proxy's.
    """

    def __init__(self, starter: subprocess.Popen[str], folder: Path, urls: Sequence[str]) -> None:
        self._starter = starter
        self._given = [f"{url} {folder / f'server-{n}'} {free_port()}" for n, url in enumerate(urls)]
        self._pids: list[int | None] = []
        for given in self._given:
            self._pids.append(self._start(given))
        self.proxy = Proxy(*(int(given.rpartition(" ")[2]) for given in self._given))
        self.url = self.proxy.url

    def url_of(self, number: int) -> str:
        """Address of one of the servers."""
        return f"http://127.0.0.1:{self.proxy.ports[number]}"

    def kill(self, number: int) -> None:
        """Kill a server, where it runs."""
        pid, self._pids[number] = self._pids[number], None
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            while Path(f"/proc/{pid}").exists():
                time.sleep(0.001)

    def restart(self, number: int) -> None:
        """Start a server that was killed."""
        self._pids[number] = self._start(self._given[number])

    def _start(self, given: str) -> int:
        self._starter.stdin.write(f"{given}\n")
        self._starter.stdin.flush()
        return int(self._starter.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.proxy.__exit__()
        for number in range(len(self._pids)):
            self.kill(number)


@contextmanager
def starting() -> Iterator[subprocess.Popen[str]]:
    """Give a process that starts servers."""
    script = Path(__file__).with_name("server_process.py")
    with subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        yield one
        one.stdin.close()
