"""Imports of heavy packages, made when they are first needed, and never cut in two by a fork.

A child that is forked while another thread imports a package finds its import lock held for ever. So a fork waits until
no thread is inside ``with importing:``.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

FORK_PATIENCE = 10.0
"""Seconds that a fork waits for an import to end."""


class _Importing:
    def __init__(self) -> None:
        self._lock = threading.RLock()
        os.register_at_fork(
            before=self._before_fork, after_in_parent=self._after_in_parent, after_in_child=self._after_in_child
        )

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _before_fork(self) -> None:
        self._lock.acquire(timeout=FORK_PATIENCE)

    def _after_in_parent(self) -> None:
        with suppress(RuntimeError):  # it was waited for in vain
            self._lock.release()

    def _after_in_child(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:  # that of a thread which is not here
            self._lock = threading.RLock()


importing = _Importing()
"""Stands around the import of a heavy package in a function."""
