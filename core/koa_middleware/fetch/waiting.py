"""Telling of servers that send nothing for some seconds, while they are waited for."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from ..exceptions import logger

TOLD_AFTER_S = 5.0
"""Seconds of silence that are told."""

_listeners: list[Callable[[str], None]] = []
"""Who is told, besides the log."""


def tell_waits_to(listener: Callable[[str], None]) -> None:
    """Let a function be called with what is waited for, in words; it takes the place of the one before."""
    _listeners[:] = [listener]


def _tell(said: str) -> None:
    logger().info("%s", said)
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    with nullcontext() if tqdm is None else tqdm.external_write_mode(file=sys.stderr):  # so that no bar is broken
        for listener in _listeners:
            listener(said)


@dataclass
class _Wait:
    """A request that is under way."""

    said: str
    came: Callable[[], int]
    before: int = -1
    since: float = field(default_factory=time.monotonic)
    is_told: bool = False

    def is_silent(self, after_s: float) -> bool:
        """Whether nothing has come for so many seconds, which was not told yet."""
        if (now := self.came()) != self.before:
            self.before, self.since = now, time.monotonic()
        return not self.is_told and time.monotonic() - self.since >= after_s


class Waits:
    """Tells once of each request that brings nothing for a while, by a thread that lives while there are any.

    Parameters
    ----------
    after_s : float
        Seconds.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._lock = threading.Lock()
        self._open: dict[object, _Wait] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, said: str, came: Callable[[], int]) -> Iterator[None]:
        """Watch a request.

        Parameters
        ----------
        said : str
            What is waited for.
        came : callable
            Gives the number of bytes that have come.
        """
        key = object()
        with self._lock:
            self._open[key] = _Wait(said, came)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="koa-waits", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._open[key]

    def _run(self) -> None:
        while True:
            time.sleep(min(1.0, self._after_s / 5))
            with self._lock:
                if not self._open:
                    self._thread = None
                    return
                silent = [wait for wait in self._open.values() if wait.is_silent(self._after_s)]
                for wait in silent:
                    wait.is_told = True
            for wait in silent:
                _tell(wait.said)
