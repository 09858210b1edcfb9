"""Locks between processes, which save transfers; correctness does not rest on them.

Each key locks one byte of one empty file. A lock file for each key would be two more entries made and removed in the
folder for each transfer, which costs some file systems as much as a small file does. On some network file systems
locks fail, or succeed for everyone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ..disk.writing import cache_errors

STUCK_AFTER_S = 120.0
"""Seconds without a new byte after which the holder of a lock is not waited for any longer."""

LOCK_FILE = "locks"
"""Name of the file in the folder for partial files; it stays, empty."""


@contextlib.contextmanager
def only_one(folder: Path, key: str, stop: threading.Event) -> Iterator[None]:
    """Hold the lock of a key, so that one process fetches what many ask for; make a missing folder.

    Waits for the holder as long as that one makes progress. Goes on without a lock where locks do not work.

    Parameters
    ----------
    folder : pathlib.Path
        For partial files.
    key : str
        16 hexadecimal digits.
    stop : threading.Event
        Ends the wait.
    """
    descriptor = _open(folder)
    try:
        if descriptor is not None:
            _wait_for_lock(descriptor, folder, key, stop)
        yield
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):  # a forked process may have the file open too: closing is not enough
                _lock(descriptor, fcntl.LOCK_UN, key)
            os.close(descriptor)


def _open(folder: Path) -> int | None:
    """Descriptor of the lock file; None where it cannot be opened, which the next step reports."""
    for _ in range(2):
        try:
            return os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            with cache_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            break
    return None


def _wait_for_lock(descriptor: int, folder: Path, key: str, stop: threading.Event) -> None:
    """Return with the lock of a key, or without one where there is none to be had."""
    seen: list[tuple[str, int]] | None = None
    since, pause = time.monotonic(), 0.01
    while True:
        try:
            return _lock(descriptor, fcntl.LOCK_EX, key)
        except (BlockingIOError, PermissionError):
            pass  # held by another one
        except OSError:
            return None  # ENOSYS, EBADF, ENOLCK and others: this file system has no locks
        now = _activity(folder, key)
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > STUCK_AFTER_S:
            return None
        if stop.wait(pause):
            return None
        pause = min(1.5 * pause, 0.2)


def _lock(descriptor: int, kind: int, key: str) -> None:
    """Take or give back the lock of a key, without waiting."""
    position = int(key, 16) >> 1  # fits into a signed offset of 64 bits
    if sys.platform == "linux":  # locks of this descriptor, so that threads and other files keep apart
        taken = fcntl.F_UNLCK if kind == fcntl.LOCK_UN else fcntl.F_WRLCK
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi0q", taken, os.SEEK_SET, position, 1, 0))
    else:  # of this process, and gone when it closes any descriptor of the file: they keep processes apart, mostly
        fcntl.lockf(descriptor, kind | fcntl.LOCK_NB, 1, position)


def _activity(folder: Path, key: str) -> list[tuple[str, int]]:
    """Name and size (bytes) of what stands there for a key."""
    found = []
    for path in folder.glob(f"{key}.*"):
        with contextlib.suppress(OSError):
            found.append((path.name, path.stat().st_size))
    return sorted(found)
