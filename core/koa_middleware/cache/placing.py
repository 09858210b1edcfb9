"""A calibration's file and its row, together or not at all.

A file is staged first. Then, under the database's write lock, the row is settled and inserted, the file is moved to its
name, and the row is committed. A process killed between the last two leaves a file without a row; the next
registration of that content adopts it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection, select

from ..database.file_names import has_name
from ..database.local import LocalDatabase
from ..database.verified_files import Verified, remember_signatures
from ..disk.checksums import Checksum, Signature
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration
from .folder import Cache, Staged

R = TypeVar("R", bound=ORMCalibration)


class Placed(NamedTuple, Generic[R]):
    """A record and its file.

    Attributes
    ----------
    path : pathlib.Path
    record : record
    is_new : bool
        Whether the file was moved there; false where it was there already.
    """

    path: Path
    record: R
    is_new: bool


class Holdings(Generic[R]):
    """The calibrations that are here: files in a cache, and their rows in a database.

    Parameters
    ----------
    cache : Cache
    database : LocalDatabase
    """

    def __init__(self, cache: Cache, database: LocalDatabase[R]) -> None:
        self.cache = cache
        self.database = database
        self.orm_class = database.orm_class

    def commit(self, settle: Callable[[Connection], Placed[R]]) -> Placed[R]:
        """Settle a row and a file in one transaction; when it fails at its end, the file goes again.

        Ctrl-C may come when the row is committed already, and then the file stays.
        """
        placed: Placed[R] | None = None
        try:
            with self.database.begin() as connection:
                placed = settle(connection)
        except BaseException:
            if placed is not None and placed.is_new:
                self._take_back(placed.path)
            raise
        return placed

    def _take_back(self, path: Path) -> None:
        """Remove a file that no row names; nobody registers it meanwhile."""
        with self.database.begin() as connection:
            if not self.named(connection, path.name):
                path.unlink(missing_ok=True)

    def put(self, connection: Connection, record: R, staged: Staged) -> Placed[R]:
        """Move a staged file to its record's name, unless it is there with that content.

        Other content that is there is moved aside.
        """
        path = self.cache.path(record.filename)
        missing = not staged.is_content_of(path)
        if missing and os.path.lexists(path):
            self.cache.quarantine(path)
        if missing:
            self.cache.place(staged, record.filename)
        self.cache.note_use(path)
        try:
            verified = Verified(record.filename, record, Signature.of(path))
            remember_signatures(connection, self.orm_class, [verified])
        except BaseException:
            if missing:
                path.unlink()
            raise
        return Placed(path, record, missing)

    def is_free(self, connection: Connection, filename: str, staged: Staged | None) -> bool:
        """Whether no row has this name, and no file either but one of the same content."""
        if self.named(connection, filename):
            return False
        path = self.cache.path(filename)
        return not os.path.lexists(path) or (staged is not None and staged.is_content_of(path))

    def has_content(self, record: R, staged: Staged) -> bool:
        """Whether a staged file has a record's content: by its checksum, or without one by the file that is here."""
        try:
            recorded = Checksum.parse(record.checksum or "")
        except ValueError:
            return staged.is_content_of(self.cache.path(record.filename))
        found = Checksum.parse(staged.checksum)
        return str(recorded) == (staged.checksum if recorded.kind == found.kind else staged.digest(recorded.kind))

    def named(self, connection: Connection, filename: str) -> list[R]:
        """Give the records of a file name; names that some disk takes for one are one."""
        return self.find(connection, has_name(self.orm_class.table(), filename))

    def find(self, connection: Connection, clause: Any) -> list[R]:
        """Give the records that a clause names."""
        build = record_builder(self.orm_class)
        return [build(row) for row in connection.execute(select(self.orm_class.table()).where(clause))]

    def record(self, row: Mapping[str, Any]) -> R:
        """Give the record of a complete row."""
        return record_builder(self.orm_class)([row[name] for name in self.orm_class.column_names()])
