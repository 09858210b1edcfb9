"""Files that a user lets be written: only one of the same kind, or an empty one, is replaced, and only when asked."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from ..exceptions import ConfigurationError, SourceFileError
from .writing import whole_file


class Kind(NamedTuple):
    """A kind of file.

    Attributes
    ----------
    name : str
        As messages call it, such as ``lock file``.
    command : str
        That writes it.
    check : callable
        Raises a `SourceFileError` for a file of another kind.
    """

    name: str
    command: str
    check: Callable[[Path], object]


def check_target(path: Path, kind: Kind, *, overwrite: bool) -> None:
    """Check that a file may be written here.

    Raises
    ------
    ConfigurationError
        When there is something that is not to be replaced.
    """
    try:
        status = path.lstat()
    except OSError:  # there is none, or what is wrong is told when it is written
        return
    if not stat.S_ISREG(status.st_mode):
        said = f"{path} is not a plain file, so no {kind.name} is written in its place."
        raise ConfigurationError(said, "Name a new file.", setting="path")
    if not overwrite:
        raise exists_already(path, kind)
    if status.st_size:
        try:
            kind.check(path)
        except SourceFileError as error:
            said = f"{path} is no {kind.name}, so none is written in its place."
            hint = f"Name a new file; only a {kind.name} or an empty file is overwritten."
            raise ConfigurationError(said, hint, setting="path") from error


@contextmanager
def target_file(path: Path, kind: Kind, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Give a file to write into, which takes its name when it is whole; see `check_target`.

    Raises
    ------
    ConfigurationError
    CacheError
        When it cannot be written.
    """
    try:
        with whole_file(path, replace=overwrite) as sink:
            yield sink
    except FileExistsError:
        raise exists_already(path, kind) from None


def exists_already(path: Path, kind: Kind) -> ConfigurationError:
    """Give the error for a name that is taken."""
    return ConfigurationError(
        f"There is a file {path} already.",
        f"Name another one, or say overwrite=True ({kind.command} --overwrite) to replace it.",
        setting="path",
    )
