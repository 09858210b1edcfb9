"""Partial files: how a file grows out of sight and appears whole under its name.

A file that is being fetched is ``<key>.<owner>.<random>.<validator>.part`` in the cache's folder for partial
files. Only the process that made it writes to it. When all bytes are there, checked and on the disk, one
rename puts it under its final name.

A file that a dead process left behind is taken over by renaming it, which only one process can do; its name
tells what is needed to go on with it, so that both are taken at once. Its bytes are then *copied* into the
taker's own file: should the other process be alive after all, on another machine and with a broken lock, it
cannot change what was hashed here. Locks save transfers; correctness does not rest on them.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ..disk.checksums import Digest
from ..disk.owners import is_dead, this_owner
from ..disk.writing import cache_errors, flush_data, move_into_place, write_all

CHUNK = 1 << 20
"""Bytes that are read and hashed at once, at most."""

ABANDONED_AFTER_S = 600.0
"""Seconds without a new byte after which a partial file counts as left behind, whoever owns it."""

_SUFFIX = "part"
_MINE = ""
_FLUSH = 32 * CHUNK
_RELEASED = "released"
_LONGEST_VALIDATOR = 150


class TakenOver(Exception):  # noqa: N818 - no error: its owner starts again
    """Another process took this partial file for one that was left behind, or it was cleared away."""


class Partial:
    """A growing file with its digest, for a ``with`` block; what was neither placed nor released is removed.

    Parameters
    ----------
    folder : pathlib.Path
        For partial files, on the same file system as the final names; `locks.only_one` makes it.
    key : str
        Says which content this is, the same for all who ask for the same.
    algorithm : str
        Of the digest: ``"sha256"`` or ``"md5"``.
    large : bool
        Whether hashing and flushing on threads of their own, beside the transfer, are worth while.

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
        self.path = self._name(_MINE)
        with cache_errors(self.path, called=f"A file in {self._folder}"):
            self._file = self.path.open("xb", buffering=0)
        self._placed = False
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="koa-partial") if large else None
        self._forget()

    def _name(self, owner: str, validator: str = "") -> Path:
        return self._folder / ".".join(
            [self._key, owner or this_owner(), secrets.token_hex(4), _encode(validator), _SUFFIX]
        )

    def _forget(self) -> None:
        self._digest = Digest(self._algorithm)
        self._hashing: Future[None] | None = None
        self.size = 0
        self.validator: str | None = None
        self.resumed = False
        self._flushing: Future[None] | None = None
        self._flushed = 0
        self._remembered = False

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        with contextlib.suppress(OSError):  # a full disk shows itself here a second time
            self._file.close()
        if not self._placed:
            _remove(self.path)

    def restart(self) -> None:
        """Forget all bytes."""
        self._hashed()
        remembered = self._remembered
        self._forget()
        if remembered:
            self._rename(_MINE)
        with cache_errors(self.path, called=f"A file in {self._folder}"):
            self._file.seek(0)
            self._file.truncate()

    def write(self, piece: bytes) -> None:
        """Append bytes, which must not change afterwards."""
        if self._pool is None:
            self._digest.update(piece)
        else:
            self._hashed()
            self._hashing = self._pool.submit(self._digest.update, piece)
        self.size += len(piece)
        with cache_errors(self.path, called=f"A file in {self._folder}"):
            write_all(self._file, piece)
            if self._pool is not None and self.size - self._flushed >= _FLUSH:
                self._flush(self._pool)

    def _flush(self, pool: ThreadPoolExecutor) -> None:
        """Let the disk take what has come while more is coming, so that the last fsync is short."""
        if self._flushing is not None:
            self._flushing.result()
        self._flushing = pool.submit(flush_data, self._file.fileno())
        self._flushed = self.size

    def checksum(self) -> str:
        """Return ``"<algorithm>:<hexadecimal digits>"`` of all bytes."""
        self._hashed()
        return str(self._digest)

    def _hashed(self) -> None:
        if self._hashing is not None:
            self._hashing.result()

    def remember(self) -> None:
        """Write down, once there are enough bytes, what they are the beginning of."""
        if not self._remembered and self.validator and self.size >= CHUNK and _encode(self.validator):
            self._rename(_MINE)
            self._remembered = True

    def release(self) -> None:
        """Leave the bytes, where they are worth it, to the next attempt of this process or of another one."""
        if self._remembered:
            with contextlib.suppress(TakenOver):
                self._rename(_RELEASED)
                self.path = self._name(_MINE)  # what is released is removed by its next owner

    def place(self, destination: Path) -> None:
        """Bring the bytes to the disk and give them their final name.

        Raises
        ------
        TakenOver
            Where another process took the file away.
        CacheError
            Where the folder has vanished or is not writable. What stood under the final name stands there
            still.
        """
        with cache_errors(destination):
            if self._flushing is not None:
                self._flushing.result()
            os.fsync(self._file.fileno())
            self._file.close()
            try:
                self._move(destination)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                move_into_place(self.path, destination, replace=True)
        self._placed = True

    def _rename(self, owner: str) -> None:
        renamed = self._name(owner, self.validator or "")
        with cache_errors(self.path, called=f"A file in {self._folder}"):
            self._move(renamed)
        self.path = renamed

    def _move(self, path: Path) -> None:
        try:
            self.path.replace(path)
        except FileNotFoundError:
            if path.parent.exists() and not self.path.exists():
                raise TakenOver from None
            raise

    def take_over(self, *, usable: bool) -> None:
        """Begin with the longest file of this key that was left behind, if usable; remove the others."""
        left = self._abandoned()
        _, validator, best = left.pop() if usable and left and left[-1][1] else (0, "", None)
        for _, _, path in left:
            _remove(path)
        if best is not None:
            claimed = self._name(_MINE, validator)
            try:
                best.rename(claimed)
            except OSError:
                return  # another process was quicker, or it belongs to another user
            try:
                self._copy(claimed, validator)
            finally:
                _remove(claimed)

    def _abandoned(self) -> list[tuple[int, str, Path]]:
        """Size, validator, path of the files of this key without a living owner; the most useful is last."""
        found = []
        with cache_errors(self._folder, "read"):
            names = [name for name in os.listdir(self._folder) if name.startswith(f"{self._key}.")]  # noqa: PTH208
        for path in (self._folder / name for name in names if name != self.path.name):
            with contextlib.suppress(OSError, ValueError):  # gone in the meantime, or not of ours
                _, owner, _, validator, _ = path.name.split(".")
                state = path.stat()
                if _is_abandoned(owner, state.st_mtime):
                    found.append((state.st_size if validator else 0, _decode(validator), path))
        return sorted(found)

    def _copy(self, path: Path, validator: str) -> None:
        with cache_errors(path, "read"), path.open("rb") as data:
            while piece := data.read(CHUNK):
                self.write(piece)
        self.validator, self.resumed = validator, True
        self.remember()


def abandoned(folder: Path, after_s: float) -> Iterator[Path]:
    """Give the partial files of any key without a living owner, and without a new byte for so long."""
    for path in folder.glob(f"*.*.*.*.{_SUFFIX}"):
        with contextlib.suppress(OSError, ValueError):  # gone in the meantime, or not of ours
            _, owner, _, _, _ = path.name.split(".")
            changed = path.stat().st_mtime
            if time.time() - changed > after_s and _is_abandoned(owner, changed):
                yield path


def _encode(validator: str) -> str:
    """Return a validator as a part of a file name; nothing where it is too long for that."""
    text = base64.urlsafe_b64encode(validator.encode("latin-1", "replace")).decode().rstrip("=")
    return text if len(text) <= _LONGEST_VALIDATOR else ""


def _decode(text: str) -> str:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("latin-1")


def _is_abandoned(owner: str, changed: float) -> bool:
    """Whether no living process writes into a file, as far as can be known from here."""
    return owner == _RELEASED or is_dead(owner) or time.time() - changed > ABANDONED_AFTER_S


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # what stays, of another user, takes space and does no harm
        path.unlink()
