"""Paths as users give them, and files that can be read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from ..exceptions import SourceFileError

_KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFIFO: "it is a named pipe, not a file",
    stat.S_IFSOCK: "it is a socket, not a file",
    stat.S_IFCHR: "it is a device, not a file",
    stat.S_IFBLK: "it is a device, not a file",
}
_DATABASES: set[str] = set()


def leave_to_sqlite(path: Path) -> None:
    """Let nobody but SQLite open this database.

    POSIX cancels all locks that a process holds on a file when the process closes any descriptor of it
    (sqlite.org/howtocorrupt.html, 2.2).
    """
    _DATABASES.add(os.path.realpath(path))


def is_left_to_sqlite(path: Path) -> bool:
    """Tell whether nobody but SQLite may open this file in this process."""
    return os.path.realpath(path) in _DATABASES


def fault_of_kind(path: Path) -> str:
    """Say what a path is, where it is no plain file; empty where it is one."""
    kind = stat.S_IFMT(path.stat().st_mode)
    return "" if kind == stat.S_IFREG else _KINDS.get(kind, "it is not a file")


def check_plain(path: Path) -> None:
    """Check that a path is a file that may be opened, without opening it: opening a pipe waits for its writer.

    Raises
    ------
    OSError
        Its ``strerror`` says what the path is.
    """
    if fault := fault_of_kind(path):
        raise OSError(errno.EINVAL, fault, str(path))
    if is_left_to_sqlite(path):
        raise OSError(errno.EINVAL, "it is the database of a calibration cache", str(path))


def path_of_url(url: str) -> Path:
    """Give the path of a file URL, in which ``#`` and ``?`` are letters as others are."""
    rest = url.partition("://")[2]
    return Path(unquote(rest[rest.find("/") :]))


def user_path(given: str | os.PathLike[str]) -> Path:
    """Give a path whose ``~`` is expanded.

    Raises
    ------
    SourceFileError
        When it is empty, or there is no such user.
    """
    if isinstance(given, str) and not given.strip():
        raise SourceFileError(f"{given!r} cannot be read: the path is empty.", "Name a file that is there.", path=None)
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise SourceFileError(
            f"{given} cannot be read: {error}", "Check the user's name after the tilde.", path=Path(given)
        ) from error


def check_readable(path: Path) -> None:
    """Check that a file is there, can be read, and is not empty.

    Raises
    ------
    SourceFileError
    """
    with _source_errors(path):
        check_plain(path)
        with path.open("rb") as stream:
            empty = not stream.read(1)
    if empty:
        raise SourceFileError(f"{path} is empty.", "Write the file again.", path=path)


def open_source(path: Path) -> BinaryIO:
    """Open a file that a user gave.

    Raises
    ------
    SourceFileError
    """
    with _source_errors(path):
        check_plain(path)
        return path.open("rb")


@contextmanager
def _source_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: the path holds a NUL
        reason = error.strerror if isinstance(error, OSError) else str(error)
        forbidden = isinstance(error, PermissionError)
        hint = "Check the permissions of the file and its folder." if forbidden else "Name a file that is there."
        raise SourceFileError(f"{path} cannot be read: {reason}.", hint, path=path) from error
