"""Writing to a disk: a file appears whole under its name or not at all, and what a failed write means."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
import uuid
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from typing import IO

from ..exceptions import CacheError, KoaMiddlewareError
from .checksums import Digest
from .owners import is_dead, this_owner

WRITTEN_AT_ONCE = 1 << 16
"""Bytes. For larger writes some kernels look for larger pieces of memory, which on virtual machines may first have to
come back from the host: 512 MB in writes of 64 kB take 0.2 s there, in writes of 1 MB 0.1 to 1.3 s."""

flush_data = getattr(os, "fdatasync", os.fsync)
"""Brings a file's content to the disk, by its descriptor; macOS has no fdatasync."""

LEFTOVER_AFTER_S = 86400.0
"""Seconds without a change after which a temporary file counts as left behind, whoever owns it."""

_HIDDEN = re.compile(r"\.koa-[0-9a-f]{32}\.([0-9a-f]{8}-[0-9]+)\.part")

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}

#: How SQLite's names of such errors begin; a quota that is used up is an IOERR_WRITE.
_UNWRITABLE_DATABASE = (
    "READONLY", "CANTOPEN", "PERM", "FULL", "IOERR_WRITE", "IOERR_FSYNC", "IOERR_TRUNCATE", "IOERR_DELETE",
)  # fmt: skip


@contextlib.contextmanager
def cache_errors(
    path: Path, action: str = "written", *, called: str = "", elsewhere: str = "choose another cache folder"
) -> Iterator[None]:
    """Turn what the system says of a file of the cache into a `CacheError` that names it.

    A `FileExistsError` goes through: it is an answer to those who ask for a free name.

    Parameters
    ----------
    path : pathlib.Path
    action : str
        What cannot be done to it.
    called : str
        What a message names in its place, such as its folder where it has a name by chance.
    elsewhere : str
        What else is to be done where it is forbidden.
    """
    try:
        yield
    except (FileExistsError, KoaMiddlewareError):
        raise
    except OSError as error:
        if error.errno in _FULL:
            hint = f"{room_is_made(path.parent)}; nothing was changed."
        elif error.errno in _FORBIDDEN:
            hint = f"Check the permissions of {path.parent}, or {elsewhere}; nothing was changed."
        else:
            hint = f"Check that {path.parent} exists and that its disk works; nothing was changed."
        reason = error.strerror or str(error)
        raise CacheError(f"{called or path} cannot be {action}: {reason}.", hint, path=path) from error


def room_is_made(folder: Path) -> str:
    """Say how a full disk gets room: of bytes, or of files where it can hold no more of them."""
    try:
        status = os.statvfs(folder)
        lacks_files = bool(status.f_files) and not status.f_favail
    except OSError:
        lacks_files = False
    what = "Remove some files" if lacks_files else "Free some space"
    return f"{what} on the disk of {folder}, for instance with koa-cal prune, or raise your quota"


def cannot_be_written(error: BaseException) -> bool:
    """Whether an error means that a place cannot be written now: it is full or forbids it; a lock is none of these."""
    while error.__cause__ is not None:
        error = error.__cause__
    said = str(getattr(error, "sqlite_errorname", "")).removeprefix("SQLITE_")
    if said:
        return said.startswith(_UNWRITABLE_DATABASE)
    return isinstance(error, OSError) and error.errno in _FULL | _FORBIDDEN


@contextlib.contextmanager
def new_file(path: Path, final: Path | None = None, **said: str) -> Iterator[IO[bytes]]:
    """Write a new file; it is on the disk at the end of the block, and removed when the block raises.

    Parameters
    ----------
    path : pathlib.Path
    final : pathlib.Path, optional
        The name that an error gives, where `path` is a temporary one.
    **said : str
        What an error says; see `cache_errors`.

    Raises
    ------
    CacheError
        When it cannot be written, for instance on a full disk.
    """
    try:
        with cache_errors(final or path, **said), path.open("xb") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


@contextlib.contextmanager
def whole_file(final: Path, *, replace: bool = False) -> Iterator[IO[bytes]]:
    """Write a file that gets its name when it is whole and on the disk; when the block raises, nothing is left.

    Parameters
    ----------
    final : pathlib.Path
        In a folder that exists. Until the end the bytes stand beside it, under a hidden name.
    replace : bool
        Whether it takes the place of a file of this name.

    Raises
    ------
    FileExistsError
        When there is one and it is not to be replaced.
    CacheError
        When it cannot be written.
    """
    temporary = hidden_name(final.parent)
    with new_file(temporary, final, elsewhere="write it elsewhere") as sink:
        yield sink
    try:
        move_into_place(temporary, final, replace=replace)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(final.parent)


def copy_stream(source: IO[bytes], sink: IO[bytes], kind: str = "sha256") -> str:
    """Copy what is left of a stream; gives its checksum, ``"<kind>:<hex>"``. Memory does not grow with its size."""
    digest = Digest(kind)
    while piece := source.read(WRITTEN_AT_ONCE):
        digest.update(piece)
        sink.write(piece)
    return str(digest)


def write_all(sink: RawIOBase, piece: bytes) -> None:
    """Write bytes to a file without a buffer."""
    rest = memoryview(piece)
    while rest:
        rest = rest[sink.write(rest[:WRITTEN_AT_ONCE]) :]


def move_into_place(temporary: Path, final: Path, *, replace: bool = False) -> None:
    """Give a file its final name in one step; `sync_folder` then makes the name last.

    Without `replace` it never takes the place of a file: a hard link fails where one is, on file systems that have
    links. From another disk the file is copied beside its place first.

    Raises
    ------
    FileExistsError
        When the name is taken and not to be replaced.
    CacheError
        When the file cannot be moved.
    """
    with cache_errors(final):
        try:
            _move(temporary, final, replace)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        beside = hidden_name(final.parent)
        with temporary.open("rb") as source, new_file(beside, final) as sink:
            copy_stream(source, sink)
        try:
            _move(beside, final, replace)
        except BaseException:
            beside.unlink()
            raise
        temporary.unlink()


def _move(temporary: Path, final: Path, replace: bool) -> None:
    if replace:
        temporary.replace(final)
        return
    try:
        os.link(temporary, final)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, "there is a file of this name", str(final)) from None
        temporary.rename(final)
    else:
        temporary.unlink()


def hidden_name(folder: Path) -> Path:
    """Give a name that no pattern of a pipeline matches, and by which a file that is left behind is known."""
    return folder / f".koa-{uuid.uuid4().hex}.{this_owner()}.part"


def left_beside(folder: Path, *, of_dead: bool) -> Iterator[Path]:
    """Give the hidden files that writers of `whole_file`, or movers from another disk, left in a folder.

    Parameters
    ----------
    folder : pathlib.Path
    of_dead : bool
        Also those of processes of this machine that have just died; else only those of a day ago.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            found = _HIDDEN.fullmatch(entry.name)
            if found and is_left(Path(entry.path), found[1], of_dead=of_dead):
                yield Path(entry.path)


def sweep_beside(folder: Path) -> None:
    """Remove the hidden files that were left in a folder a day ago; what is another user's stays until that one comes.

    Raises
    ------
    CacheError
        When the folder cannot be read.
    """
    with cache_errors(folder, "read"):
        for path in left_beside(folder, of_dead=False):
            with contextlib.suppress(OSError):
                path.unlink()


def is_left(path: Path, owner: str | None, *, of_dead: bool) -> bool:
    """Whether a temporary file of an owner, None where it is unknown, was left behind; see `left_beside`."""
    try:
        changed = max(each.lstat().st_mtime for each in [path, *path.rglob("*")])
    except FileNotFoundError:  # gone in the meantime
        return False
    return time.time() - changed > LEFTOVER_AFTER_S or (of_dead and owner is not None and is_dead(owner))


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    with cache_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
