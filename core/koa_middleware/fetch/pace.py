"""Servers that send so slowly that a file never ends, though each byte is in time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SLOWEST = 1000.0
"""Bytes per second below which a server is too slow."""

SLOW_AFTER_S = 30.0
"""Seconds of waiting for a server over which its pace is measured."""

SLOW_TIMES = 1
"""Times that a transfer from a server that was too slow is tried again."""


class TooSlowError(Exception):
    """A server sent less than `SLOWEST`."""


class Pace:
    """Measures how fast a server sends, while one waits for it.

    Parameters
    ----------
    over_s : float
        Seconds of waiting after which it is judged.
    """

    def __init__(self, over_s: float) -> None:
        self._over_s = over_s
        self._waited_s = 0.0
        self._came = 0

    def timed(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """Give a function that reads as `read` does, and raises a `TooSlowError` when too little comes."""

        def reading(size: int) -> bytes:
            begin = time.monotonic()
            piece = read(size)
            self._note(len(piece), time.monotonic() - begin)
            return piece

        return reading

    def _note(self, count: int, waited_s: float) -> None:
        self._came += count
        self._waited_s += waited_s
        if count and self._waited_s >= self._over_s:
            if self._came < SLOWEST * self._waited_s:
                raise TooSlowError
            self._came, self._waited_s = 0, 0.0


class Watch:
    """Ends answers whose headers take too long in all, by a thread that lives while there are any.

    Parameters
    ----------
    limit_s : float
        Seconds.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._open: dict[object, tuple[float, socket.socket]] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, connected: socket.socket) -> Iterator[None]:
        """Watch a connection; when the block takes too long, whoever reads from it is told that it has ended."""
        key = object()
        with self._lock:
            self._open[key] = time.monotonic() + self._limit_s, connected
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="koa-watch", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._open[key]

    def _run(self) -> None:
        while True:
            time.sleep(min(1.0, self._limit_s / 4))
            with self._lock:
                if not self._open:
                    self._thread = None
                    return
                for until, connected in self._open.values():
                    if time.monotonic() > until:
                        with suppress(OSError):  # it has ended already
                            socket.socket.shutdown(connected, socket.SHUT_RDWR)  # also of TLS, whose own would tell
