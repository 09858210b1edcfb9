"""Partial files: how a file grows out of sight and appears whole under its name.

A file that is being fetched is the file ``data`` in a folder of its own, ``<key>-<owner>-<random>``, in the
cache's folder for partial files. Only the process that made the folder writes to that file. When all bytes are
there, checked and on the disk, one rename puts it under its final name.

A folder that a dead process left behind is taken over by renaming it, which only one process can do. Its bytes
are then *copied* into the taker's own file: should the other process be alive after all, on another machine and
with a broken lock, it cannot change what was hashed here. Locks save transfers; correctness does not rest on them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from .exceptions import CacheError

try:
    import fcntl
except ImportError:  # not a POSIX system: no locks
    fcntl = None  # type: ignore[assignment]

CHUNK = 1 << 20
"""Bytes that are read, hashed and written at once."""

ABANDONED_AFTER_S = 600.0
"""Seconds without a new byte after which a partial file counts as left behind, whoever owns it."""

STUCK_AFTER_S = 120.0
"""Seconds without a new byte after which the holder of a lock is not waited for any longer."""

_DATA = "data"
_ORIGIN = "origin.json"
_RELEASED = "released"
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def cache_errors(path: Path, action: str = "written") -> Iterator[None]:
    """Turn the operating system's errors about a file of the cache into a `CacheError` that names it."""
    try:
        yield
    except CacheError:
        raise
    except OSError as error:
        if error.errno in _DISK_FULL:
            hint = f"Free some space on the disk of {path.parent}, or raise its limit."
        elif error.errno in _FORBIDDEN:
            hint = f"Make {path.parent} writable, or choose another cache folder."
        else:
            hint = f"Check that {path.parent} is there and that its disk is sound."
        reason = error.strerror or str(error)
        raise CacheError(f"{path} cannot be {action}: {reason}.", hint, path=path) from error


def place(partial: Path, destination: Path) -> None:
    """Give a complete file, whose bytes are on the disk, its final name, and bring the name to the disk too.

    Raises
    ------
    CacheError
        Where the folder has vanished or is not writable. What stood under the final name stands there still.
    """
    with cache_errors(destination):
        os.replace(partial, destination)  # noqa: PTH105 - beside os.fsync, which has no Path form
        folder = os.open(destination.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def only_one(folder: Path, key: str, stop: threading.Event) -> Iterator[None]:
    """Hold the lock of a key, so that one process fetches what many ask for.

    Waits for the holder as long as that one makes progress. Goes on without a lock where locks do not work.
    """
    path = folder / f"{key}.lock"
    descriptor = None if fcntl is None else _wait_for_lock(path, folder, key, stop)
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
        except OSError:
            return None  # a folder that is missing or not writable shows itself in the next step
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
    for path in (*folder.glob(f"{key}.lock"), *folder.glob(f"{key}-*/{_DATA}")):
        with contextlib.suppress(OSError):
            found.append((str(path), path.stat().st_size))
    return sorted(found)


class TakenOver(Exception):  # noqa: N818 - no error: its owner starts again
    """Another process took this partial file for one that was left behind."""


class Partial:
    """A growing file with its digest, for a ``with`` block; what was neither placed nor released is removed.

    Parameters
    ----------
    folder : pathlib.Path
        For partial files, on the same file system as the final names; made when missing.
    key : str
        Says which content this is, the same for all who ask for the same.
    algorithm : str
        Of the digest: ``"sha256"`` or ``"md5"``.
    large : bool
        Whether hashing on a thread of its own, beside the transfer, is worth while.

    Attributes
    ----------
    size : int
        Bytes so far.
    validator : str or None
        The server's ``ETag`` or ``Last-Modified`` of the content that these bytes are the beginning of.
    resumed : bool
        Whether the bytes came in more than one piece.
    """

    def __init__(self, folder: Path, key: str, algorithm: str, *, large: bool) -> None:
        self._folder, self._key, self._algorithm = folder, key, algorithm
        self._home = self._new_home(f"{_HOST}-{os.getpid()}")
        self.path = self._home / _DATA
        with cache_errors(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._home.mkdir()
            self._file = self.path.open("xb")
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="koa-digest") if large else None
        self._forget()

    def _new_home(self, owner: str) -> Path:
        return self._folder / f"{self._key}-{owner}-{secrets.token_hex(4)}"

    def _forget(self) -> None:
        self._hash = hashlib.new(self._algorithm, usedforsecurity=False)
        self._hashing: Future[None] | None = None
        self.size = 0
        self.validator: str | None = None
        self.resumed = False
        self._remembered = False

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        with contextlib.suppress(OSError):  # a full disk shows itself here a second time
            self._file.close()
        _remove(self._home)

    def restart(self) -> None:
        """Forget all bytes."""
        self._hashed()
        self._forget()
        with cache_errors(self.path):
            self._file.seek(0)
            self._file.truncate()
            (self._home / _ORIGIN).unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        """Append bytes, which must not change afterwards."""
        if self._pool is None:
            self._hash.update(piece)
        else:
            self._hashed()
            self._hashing = self._pool.submit(self._hash.update, piece)
        with cache_errors(self.path):
            self._file.write(piece)
        self.size += len(piece)

    def checksum(self) -> str:
        """``"<algorithm>:<hexadecimal digits>"`` of all bytes."""
        self._hashed()
        return f"{self._algorithm}:{self._hash.hexdigest()}"

    def _hashed(self) -> None:
        if self._hashing is not None:
            self._hashing.result()

    def remember(self) -> None:
        """Write down, once there are enough bytes, whose beginning they are, for whoever goes on with them.

        Raises
        ------
        TakenOver
            Where another process took the file away.
        """
        if self._remembered or not self.validator or self.size < CHUNK:
            return
        try:
            with cache_errors(self._home):
                (self._home / _ORIGIN).write_text(json.dumps({"validator": self.validator}), encoding="utf-8")
        except CacheError:
            if not self.path.exists():
                raise TakenOver from None
            raise
        self._remembered = True

    def place(self, destination: Path) -> None:
        """Bring the bytes to the disk and give them their final name.

        Raises
        ------
        TakenOver
            Where another process took the file away.
        CacheError
            Where the folder cannot be written.
        """
        with cache_errors(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        try:
            place(self.path, destination)
        except CacheError:
            if destination.parent.exists() and not self.path.exists():
                raise TakenOver from None
            raise

    def release(self) -> None:
        """Leave the bytes, where they are worth it, to the next attempt of this process or of another one."""
        if self._remembered:
            with cache_errors(self._home), contextlib.suppress(FileNotFoundError):
                self._file.close()
                self._home.rename(self._new_home(_RELEASED))

    def take_over(self, *, usable: bool) -> None:
        """Begin with the longest file of this key that was left behind, when it is usable; remove the others."""
        for home in self._abandoned():
            claimed = self._new_home(f"{_HOST}-{os.getpid()}")
            try:
                home.rename(claimed)
            except OSError:
                continue  # another process was quicker, or it belongs to another user
            try:
                if usable and not self.size:
                    self._copy(claimed)
            finally:
                _remove(claimed)

    def _abandoned(self) -> list[Path]:
        """Folders of this key without a living owner, the one with the longest file first."""
        found = []
        for home in self._folder.glob(f"{self._key}-*"):
            with contextlib.suppress(OSError):  # gone in the meantime
                if home != self._home and _is_abandoned(home):
                    found.append(((home / _DATA).stat().st_size, home))
        return [home for _, home in sorted(found, reverse=True)]

    def _copy(self, home: Path) -> None:
        try:
            validator = json.loads((home / _ORIGIN).read_text(encoding="utf-8"))["validator"]
            data = (home / _DATA).open("rb")
        except (OSError, ValueError, KeyError, TypeError):
            return  # its owner died before it had written this down
        with data, cache_errors(home, "read"):
            while piece := data.read(CHUNK):
                self.write(piece)
        self.validator, self.resumed = validator, True
        self.remember()


def _is_abandoned(home: Path) -> bool:
    """Whether no living process writes into this folder, as far as can be known from here."""
    _, owner, *rest = home.name.split("-")
    if owner == _RELEASED or (owner == _HOST and not _is_running(int(rest[0]))):
        return True
    return time.time() - (home / _DATA).stat().st_mtime > ABANDONED_AFTER_S


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)  # what stays, of another user, takes space and does no harm
