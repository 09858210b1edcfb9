"""Paths as users give them, and files that can be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..exceptions import SourceFileError


def user_path(given: str | os.PathLike[str]) -> Path:
    """Give a path whose ``~`` is expanded.

    Raises
    ------
    SourceFileError
        When there is no such user.
    """
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
    with _source_errors(path), path.open("rb") as stream:
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
        return path.open("rb")


@contextmanager
def _source_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: the path holds a NUL
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceFileError(
            f"{path} cannot be read: {reason}.", "Check the path and its permissions.", path=path
        ) from error
