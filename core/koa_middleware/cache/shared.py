"""A read-only cache under the user's own, such as a system-wide one of the observatory.

Files are used where they stand, and the rows of its database are read under the user's own. Nothing is ever written
there; what is known of its files is kept in the user's own database, under their full paths.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from ..database.layered import LayeredDatabase
from ..database.local import LocalDatabase
from ..database.soundness import is_lost
from ..disk.names import check_filename
from ..disk.writing import cache_errors
from ..exceptions import CacheError, SchemaMismatchError, SharedCacheWarning, warn
from ..instrument.orm import ORMCalibration

R = TypeVar("R", bound=ORMCalibration)


def with_shared(own: LocalDatabase[R], shared: Path | None) -> LocalDatabase[R]:
    """Give a user's own database with the shared one's rows under it; without them where that one cannot be read.

    Parameters
    ----------
    own : LocalDatabase
    shared : pathlib.Path or None
        The shared cache's database; None where no shared cache is configured.
    """
    if shared is None:
        return own
    try:
        _check_there(shared)
        return LayeredDatabase(own, shared)
    except (CacheError, SchemaMismatchError) as error:
        warn(f"The calibrations of the shared cache are not known here. {error.message}", SharedCacheWarning)
        return own


def _check_there(shared: Path) -> None:
    """Check that a shared cache has a database with anything in it.

    Raises
    ------
    CacheError
    """
    root = shared.parent.parent
    advice = "Tell its keeper, or correct KOA_SHARED_CALIBRATION_CACHE."
    with cache_errors(shared, "read"):
        if not os.path.isdir(root):  # noqa: PTH112 - also where a folder above may not be entered
            found = "is no folder" if os.path.lexists(root) else "is missing"
            raise CacheError(f"{root} {found}; the work goes on without it.", advice, path=root)
        if not os.path.lexists(shared):
            raise CacheError(f"{root} has no database {shared.name}.", advice, path=shared)
        if is_lost(shared):
            raise CacheError(f"The database {shared} is empty.", advice, path=shared)


class SharedCache:
    """The files of a shared cache.

    Parameters
    ----------
    root : pathlib.Path or None
        Its folder; None: there is no shared cache, and nothing is ever found.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._warned: set[str] = set()

    def keys_of(self, filenames: Sequence[str]) -> list[str]:
        """Give the full paths that files of these names have here; none where there is no shared cache."""
        return [] if self._root is None else [f"{self._root}/calibrations/{name}" for name in filenames]

    def folders(self) -> list[Path]:
        """Give the folder of its files, where it is there."""
        folder = None if self._root is None else self._root / "calibrations"
        return [folder] if folder is not None and folder.is_dir() else []

    def path(self, record: ORMCalibration) -> Path | None:
        """Path of a record's file where there is one, whatever its content is."""
        if self._root is None:
            return None
        folder = self._root / "calibrations"
        path = folder / check_filename(record.filename)
        try:
            if path.is_file():
                return path
            if self._root.is_dir() and not folder.is_dir():  # where all is missing, the opening said so
                self.warn(f"The shared cache {self._root} has no folder of calibrations; the work goes on without it.")
        except OSError as error:
            self.warn(f"The shared cache {self._root} cannot be read: {error.strerror}; the work goes on without it.")
        return None

    def warn(self, message: str) -> None:
        """Say something, once."""
        if message not in self._warned:
            self._warned.add(message)
            warn(message, SharedCacheWarning)
