"""A read-only cache under the user's own, such as a system-wide one of the observatory.

Files are used where they stand. Nothing is ever written there; what is known of its files is kept in the user's own
database, under their full paths. Its database is not read: which calibration is chosen is the user's database's word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

from ..disk.names import check_filename
from ..exceptions import KoaMiddlewareError, SharedCacheWarning, warn
from ..instrument.orm import ORMCalibration
from .verify import Verifier

R = TypeVar("R", bound=ORMCalibration)


class SharedCache(Generic[R]):
    """The files of a shared cache.

    Parameters
    ----------
    root : pathlib.Path or None
        Its folder; None: there is no shared cache, and nothing is ever found.
    verifier : Verifier
        Of the user's own cache and database.
    """

    def __init__(self, root: Path | None, verifier: Verifier[R]) -> None:
        self._root = root
        self._verifier = verifier
        self._warned: set[str] = set()

    def find(self, record: R) -> tuple[Path | None, str]:
        """Give the path of a record's file, and what is wrong with it: nothing when it may be used.

        Without a file that can be read there is no path. A folder that is missing, as an unmounted one is, hinders
        nobody's work: a `SharedCacheWarning` says it once.
        """
        path = self.path(record)
        if path is None:
            return None, ""
        try:
            return path, self._verifier.fault(record, path, key=str(path))
        except KoaMiddlewareError:
            raise
        except OSError as error:
            self.warn(f"{path} cannot be read: {error.strerror}; it is not used.")
            return None, ""

    def path(self, record: R) -> Path | None:
        """Path of a record's file where one stands, whatever its content is."""
        if self._root is None:
            return None
        folder = self._root / "calibrations"
        path = folder / check_filename(record.filename)
        try:
            if path.is_file():
                return path
            if not folder.is_dir():
                self.warn(f"The shared cache {self._root} has no folder of calibrations; the work goes on without it.")
        except OSError as error:
            self.warn(f"The shared cache {self._root} cannot be read: {error.strerror}; the work goes on without it.")
        return None

    def warn(self, message: str) -> None:
        """Say something, once."""
        if message not in self._warned:
            self._warned.add(message)
            warn(message, SharedCacheWarning)
