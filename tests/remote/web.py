"""Servers of an archive over HTTP, each a process that can be killed, and a proxy before them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from proxy import Proxy
from servers import free_port


class Web:
    """Servers that serve one archive each, in turn, behind a proxy.

    Parameters
    ----------
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

    def __init__(self, folder: Path, urls: Sequence[str]) -> None:
        script = Path(__file__).with_name("server_process.py")
        self._starter = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._given = [f"{url} {folder / f'server-{n}'} {free_port()}" for n, url in enumerate(urls)]
        self._pids = [self._start(given) for given in self._given]
        self.proxy = Proxy(*(int(given.rpartition(" ")[2]) for given in self._given))
        self.url = self.proxy.url

    def url_of(self, number: int) -> str:
        """Address of one of the servers."""
        return f"http://127.0.0.1:{self.proxy.ports[number]}"

    def kill(self, number: int) -> None:
        """Kill a server."""
        os.kill(self._pids[number], signal.SIGKILL)
        while Path(f"/proc/{self._pids[number]}").exists():
            pass

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
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
        self._starter.stdin.close()
        self._starter.wait()
        self._starter.stdout.close()
