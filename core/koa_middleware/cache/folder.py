"""The cache folder: where files stand, and how they get there whole.

A file is written under a temporary name in ``partial/``, flushed to the disk, and then moved to its final name in one
step. No reader ever sees a part of it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple

from ..disk.checksums import Signature, digest_of, is_of
from ..disk.names import check_filename
from ..disk.owners import this_owner
from ..disk.reading import open_source
from ..disk.writing import (
    LEFTOVER_AFTER_S,
    cache_errors,
    cannot_be_written,
    copy_stream,
    is_left,
    left_beside,
    move_into_place,
    new_file,
    sync_folder,
)
from ..exceptions import CacheError, ConfigurationError, SourceFileError
from ..fetch.turns import LOCK_FILE

#: Names of staged files and staging folders, with their owners, and of uploaded files, which have none.
_STAGED = re.compile(r"[0-9a-f]{32}(?:\.([0-9a-f]{8}-[0-9]+))?|[0-9a-f]{64}\.upload")

_NOTED_S = 60.0


class Staged(NamedTuple):
    """A whole file under a temporary name.

    Attributes
    ----------
    path : pathlib.Path
    checksum : str
        ``"sha256:<hex>"``.
    file_size : int
        Bytes.
    """

    path: Path
    checksum: str
    file_size: int

    def is_content_of(self, path: Path) -> bool:
        """Whether another path is a file of the same content."""
        return path.is_file() and path.stat().st_size == self.file_size and digest_of(path) == self.checksum

    def digest(self, kind: str) -> str:
        """Give its checksum of another kind."""
        return digest_of(self.path, kind)


class Cache:
    """The folder of a store.

    Attributes
    ----------
    root, calibrations, database, partial, quarantined : pathlib.Path
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calibrations = root / "calibrations"
        self.database = root / "database"
        self.partial = root / "partial"
        self.quarantined = root / "quarantine"
        self.path = lru_cache(maxsize=1024)(self._path)

    def create(self, *databases: Path | None) -> None:
        """Make the folders that are missing; where that is forbidden, a cache is read that has one of these databases.

        Raises
        ------
        ConfigurationError
            When that cannot be done or a folder is not writable, and there is nothing to read.
        """
        folders = (self.calibrations, self.database, self.partial)
        try:
            for folder in folders:
                _make_writable(folder)
        except (OSError, ValueError) as error:  # ValueError: the path holds a NUL
            if cannot_be_written(error) and any(map(_is_file, databases)):
                return
            reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            mended = "correct its permissions"
            if isinstance(error, FileExistsError | NotADirectoryError):
                paths = (*reversed(self.root.parents), self.root, *folders)
                for path in [path for path in paths if os.path.lexists(path) and not path.is_dir()][:1]:
                    reason, mended = f"{path} is not a folder", "move that away"
            raise ConfigurationError(
                f"The folder {self.root} cannot be the calibration cache: {reason}.",
                f"Choose another one with KOA_CALIBRATION_CACHE or cache_dir, or {mended}.",
                setting="cache_dir",
                variable="KOA_CALIBRATION_CACHE",
            ) from error

    def check_outside(self, path: Path) -> None:
        """Check that a file that a user asks for would not lie among the cache's own files.

        Raises
        ------
        ConfigurationError
        """
        if path.parent.resolve() in {each.resolve() for each in (self.calibrations, self.database, self.partial)}:
            said = f"{path} is in a folder of the cache's own files."
            raise ConfigurationError(said, "Write it elsewhere.", setting="path")

    def check_writable(self) -> None:
        """Check that files can come into the cache.

        Raises
        ------
        CacheError
        """
        for folder in (self.calibrations, self.partial):
            with suppress(FileExistsError), cache_errors(folder):  # no folder, which the next step tells
                _make_writable(folder)

    def _path(self, filename: str) -> Path:
        """Path of a file of this name; `path` keeps those that were asked for last.

        Raises
        ------
        UnsafeFilenameError
        """
        return self.calibrations / check_filename(filename)

    def holds(self, filename: str, checksum: str) -> bool:
        """Whether the file of a name is here and has a checksum, of whatever kind."""
        path = self.path(filename)
        with cache_errors(path, "read"):
            return path.is_file() and is_of(path, checksum)

    def stage(self, source: Path, seen: Signature | None = None) -> Staged:
        """Copy a file under a temporary name, hashing it on the way; memory does not grow with its size.

        Parameters
        ----------
        source : pathlib.Path
        seen : Signature, optional
            The source's, from when its header was read.

        Raises
        ------
        SourceFileError
            When it cannot be read, or changed meanwhile.
        CacheError
            When it cannot be written, for instance on a full disk.
        """
        with open_source(source) as stream:
            before = Signature.of_status(os.fstat(stream.fileno()))
            staged = self.stage_stream(stream)
            after = Signature.of_status(os.fstat(stream.fileno()))
        if not (seen or before) == before == after:
            staged.path.unlink()
            raise SourceFileError(f"{source} changed while it was read.", "Try again when it is complete.", path=source)
        return staged

    def stage_stream(self, stream: IO[bytes]) -> Staged:
        """Write what is left of a stream under a temporary name, hashing it on the way.

        Raises
        ------
        CacheError
            When it cannot be written, for instance on a full disk.
        """
        self.check_writable()
        temporary = self.temporary()
        with new_file(temporary, called=f"A file in {self.partial}") as sink:
            checksum = copy_stream(stream, sink)
        return Staged(temporary, checksum, temporary.stat().st_size)

    @contextmanager
    def staging_folder(self) -> Iterator[Path]:
        """Give an empty folder on the cache's file system, removed at the end."""
        self.check_writable()
        folder = self.temporary()
        with cache_errors(folder):
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def adopt(self, saved: Path, folder: Path) -> Staged:
        """Stage a file that was written in a staging folder, without copying it.

        Its permissions are those of a new file, also where the writer made it for its user alone.
        """
        saved.chmod(folder.stat().st_mode & 0o666)
        with saved.open("rb") as stream:
            os.fsync(stream.fileno())
        return Staged(saved, digest_of(saved), saved.stat().st_size)

    def place(self, staged: Staged, filename: str) -> Path:
        """Move a staged file to its final name, which must be free.

        Raises
        ------
        FileExistsError
            When a file of that name is there.
        CacheError
            When it cannot be moved.
        """
        final = self.path(filename)
        move_into_place(staged.path, final)
        sync_folder(final.parent)
        return final

    def temporary(self) -> Path:
        """Give a temporary name for a file or folder, which tells later who left it behind."""
        return self.partial / f"{uuid.uuid4().hex}.{this_owner()}"

    def uploaded(self, digits: str) -> Path:
        """Path of a whole file that came from a client and has no name yet, by the digits of its sha256."""
        return self.partial / f"{digits}.upload"

    def note_use(self, path: Path) -> bool:
        """Note that a file of the cache is handed out, so that pruning leaves it for a while; false where it is gone.

        The note is the file's time of access: who is told a path has not read the file yet, and not every disk notes
        when it is read.
        """
        try:
            status = path.stat()
            if time.time() - status.st_atime > _NOTED_S:
                os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))
        except FileNotFoundError:
            return False
        except OSError:  # another user's file, or a disk that cannot be written: reading is noted there, if anything is
            with suppress(OSError), path.open("rb") as stream:
                stream.read(1)
        return True

    def disks(self) -> list[Path]:
        """Give one folder for each disk on which a download takes room."""
        with cache_errors(self.root, "read"):
            by_device = {path.stat().st_dev: path for path in (self.calibrations, self.partial)}
            root = self.root.stat().st_dev
        return [self.root if device == root else path for device, path in by_device.items()]

    def has_old_entries(self) -> bool:
        """Whether something in ``partial/`` or beside the databases may be a leftover: it has not changed for long."""
        since = time.time() - LEFTOVER_AFTER_S
        with suppress(OSError):  # what is wrong there, the next writer tells
            with os.scandir(self.partial) as entries:
                if any(_changed(entry) < since for entry in entries if entry.name != LOCK_FILE):
                    return True
            return next(left_beside(self.database, of_dead=False), None) is not None
        return False

    def left_behind(self, *, of_dead: bool, quick: bool = False) -> Iterator[Path]:
        """Give what registrations, imports, moves and new databases left in the folders; see `left_beside`."""
        with cache_errors(self.partial, "read"):
            for path in self.partial.iterdir():
                found = _STAGED.fullmatch(path.name)
                if found and is_left(path, found[1], of_dead=of_dead):
                    yield path
        is_one_disk = len(self.disks()) == 1
        for folder in (self.database,) if quick and is_one_disk else (self.calibrations, self.database):
            with cache_errors(folder, "read"):
                yield from left_beside(folder, of_dead=of_dead)

    def check_quarantine(self) -> None:
        """Check that files can be moved aside; makes the folder for them where it is missing.

        Raises
        ------
        CacheError
        """
        with cache_errors(self.quarantined):
            if not self.quarantined.is_dir():
                _make(self.quarantined)
            _make_writable(self.quarantined)
        with cache_errors(self.calibrations):
            _make_writable(self.calibrations)

    def quarantine(self, path: Path, judged: Signature | None = None) -> Path | None:
        """Move a spoilt file out of the readers' way.

        Parameters
        ----------
        path : pathlib.Path
        judged : Signature, optional
            The file's when it was found to be spoilt; without it, whatever is there is moved.

        Returns
        -------
        pathlib.Path or None
            Its new path; None where another process has moved or replaced the file in the meantime.

        Raises
        ------
        CacheError
            When it cannot be moved.
        """
        folder = self.quarantined
        aside = folder / f"{path.name}.{uuid.uuid4().hex[:8]}"
        self.check_quarantine()
        with cache_errors(path, "moved aside"):
            try:
                if judged not in (None, Signature.of(path)):
                    return None
                _set_aside(path, aside)
                sync_folder(folder)
            except FileNotFoundError:
                if folder.is_dir():
                    return None
                raise
        return aside


def _changed(entry: os.DirEntry[str]) -> float:
    return entry.stat(follow_symlinks=False).st_mtime


def _make_writable(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "it is not writable", str(folder))


def _is_file(path: Path | None) -> bool:
    return path is not None and os.path.isfile(path)  # noqa: PTH113 - also where the folder may not be entered


def _set_aside(path: Path, aside: Path) -> None:
    try:
        path.rename(aside)
    except OSError as error:
        if error.errno != errno.EXDEV or not path.is_file():
            raise
        move_into_place(path, aside)


def _make(folder: Path) -> None:
    try:
        folder.mkdir()
    except FileExistsError as error:
        if not folder.is_dir():
            raise CacheError(
                f"{folder} is not a folder.",
                "Move it away: spoilt files are kept in a folder of this name.",
                path=folder,
            ) from error
