"""Names for uploaded files, which they get while a publication's transaction is open, and lose when it fails."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..cache.named import named_elsewhere
from ..cache.placing import Holdings
from ..disk.checksums import Checksum, Signature, digest_of
from ..disk.writing import move_into_place, sync_folder
from ..exceptions import DuplicateCalibrationError, IntegrityError
from ..remote.protocol import Values


class Placing:
    """Gives uploads their names.

    Parameters
    ----------
    holdings : Holdings
        The server's own cache and its database.
    """

    def __init__(self, holdings: Holdings[Any]) -> None:
        self._holdings = holdings
        self._cache = holdings.cache
        self._placed: list[tuple[Path, Path, Signature]] = []

    @contextmanager
    def undone_on_failure(self) -> Iterator[None]:
        """Take the names away that were given in the block when it raises; the uploads stay."""
        before = len(self._placed)
        try:
            yield
        except BaseException:
            while len(self._placed) > before:
                _take_back(*self._placed.pop())
            raise

    def place(self, files: Mapping[str, str], rows: Mapping[str, Values]) -> list[str]:
        """Give files their records' names, all or none; gives the ids of those that are not here.

        Parameters
        ----------
        files : mapping
            Digits of a file's sha256, by the record's id.
        rows : mapping
            Rows as the archive has them, by the same ids.

        Raises
        ------
        IntegrityError
            When a file is not what its record says.
        DuplicateCalibrationError
            When its name belongs to another record of this server.
        """
        with self.undone_on_failure():
            return [id_ for id_, digits in files.items() if not self._place(digits, rows[id_])]

    def _place(self, digits: str, row: Values) -> bool:
        staged, final = self._cache.uploaded(digits), self._cache.path(row["filename"])
        is_there = self._cache.holds(row["filename"], f"sha256:{digits}")
        if not is_there and not staged.is_file():
            return False
        _check_record(final if is_there else staged, digits, row)
        if is_there:
            staged.unlink(missing_ok=True)
            return True
        if os.path.lexists(final):
            self._make_free(final, row)
        move_into_place(staged, final)
        self._placed.append((final, staged, Signature.of(final)))
        sync_folder(final.parent)
        return True

    def _make_free(self, final: Path, row: Values) -> None:
        """Move a file aside that belongs to no record."""
        with self._holdings.database.connect() as connection:
            named = self._holdings.named(connection, final.name)
            is_taken = any(record.origin == "LOCAL" for record in named)
            is_elsewhere = final.name in named_elsewhere(connection, self._holdings)
        is_written_otherwise = final not in final.parent.iterdir()  # on a disk that folds letter case
        if is_taken or is_elsewhere or is_written_otherwise:
            raise DuplicateCalibrationError(
                f"The archive's server has a file {final.name} of another record, so {row['id']} cannot get that name.",
                "Nothing was published; register the file under another name.",
                filename=final.name,
                existing=final.name,
                version=row["cal_version"],
            )
        self._cache.quarantine(final)


def _take_back(final: Path, staged: Path, placed: Signature) -> None:
    """Move a file back, unless the next publisher, whose turn it is by now, has moved it aside."""
    with suppress(FileNotFoundError):
        if Signature.of(final) == placed:
            move_into_place(final, staged, replace=True)


def _check_record(path: Path, digits: str, row: Values) -> None:
    if not row["checksum"]:
        return
    recorded = Checksum.parse(row["checksum"])
    found = f"sha256:{digits}" if recorded.kind == "sha256" else digest_of(path, recorded.kind)
    if found != str(recorded):
        raise IntegrityError(
            f"The file that came for {row['filename']} has the checksum {found}; its record says {recorded}.",
            "Nothing was published; register the right file.",
            path=path,
        )
