"""Locks between processes, which save transfers; correctness does not rest on them.

On some network file systems they fail, or succeed for everyone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .partial import cache_errors

STUCK_AFTER_S = 120.0
"""Seconds without a new byte after which the holder of a lock is not waited for any longer."""


@contextlib.contextmanager
def only_one(folder: Path, key: str, stop: threading.Event) -> Iterator[None]:
    """Hold the lock of a key, so that one process fetches what many ask for; make a missing folder.

    Waits for the holder as long as that one makes progress. Goes on without a lock where locks do not work.
    """
    path = folder / f"{key}.lock"
    descriptor = _wait_for_lock(path, folder, key, stop)
    try:
        yield
    finally:
        if descriptor is not None:
            # Its holder alone removes it, and while it is held: whoever waits sees that the name is gone.
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)


def _wait_for_lock(path: Path, folder: Path, key: str, stop: threading.Event) -> int | None:
    """Descriptor of the locked file, or None where there is none to be had."""
    seen: list[tuple[str, int]] = []
    since, pause = time.monotonic(), 0.01
    while not stop.wait(pause if seen else 0.0):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o666)
        except FileNotFoundError:
            with cache_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
            continue
        except OSError:
            return None  # a folder that is not writable shows itself in the next step
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass  # held by another process, or just removed by its holder
        except OSError:
            os.close(descriptor)
            return None  # ENOSYS, EBADF, ENOLCK and others: this file system has no locks
        os.close(descriptor)
        now = _activity(folder, key)
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > STUCK_AFTER_S:
            return None
        pause = min(1.5 * pause, 0.2)
    return None


def _activity(folder: Path, key: str) -> list[tuple[str, int]]:
    """Name and size (bytes) of what stands there for a key."""
    found = []
    for path in folder.glob(f"{key}.*"):
        with contextlib.suppress(OSError):
            found.append((path.name, path.stat().st_size))
    return sorted(found)
