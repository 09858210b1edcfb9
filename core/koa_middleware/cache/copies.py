"""The archive's copies of the files that are here: which of them were seen.

A copy was seen when it was fetched with the recorded checksum, when it was uploaded from here and read back, or when it
was found in an archive that is a folder. Until then the file here may be the only one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from ..database.chunks import in_chunks
from ..database.verified_files import note_seen, select_unseen
from ..disk.checksums import Checksum, digest_of
from ..disk.reading import check_plain, path_of_url
from ..disk.writing import cache_errors, cannot_be_written
from ..exceptions import CacheError, DownloadError
from ..fetch.addresses import Address
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration
from .placing import Holdings

R = TypeVar("R", bound=ORMCalibration)


class Copies(Generic[R]):
    """What is known of the archive's copies of a cache's files.

    Parameters
    ----------
    holdings : Holdings
    calibration_url : str or None
        Where the archive serves its files.
    """

    def __init__(self, holdings: Holdings[R], calibration_url: str | None) -> None:
        self._cache = holdings.cache
        self._database = holdings.database
        self._orm_class = holdings.orm_class
        self._url = calibration_url

    def unseen(self, names: Iterable[str] | None = None) -> list[R]:
        """REMOTE records, all or those of some file names, whose file is here and whose copy was not seen."""
        with cache_errors(self._cache.calibrations, "read"), os.scandir(self._cache.calibrations) as entries:
            here = {entry.name for entry in entries}
        asked = sorted(here if names is None else here.intersection(names))
        statement, filename = select_unseen(self._orm_class), self._orm_class.table().c.filename
        build = record_builder(self._orm_class)
        with self._database.connect() as connection:
            rows = (row for some in in_chunks(asked) for row in connection.execute(statement.where(filename.in_(some))))
            return [build(row) for row in rows]

    def note(self, records: Iterable[R]) -> None:
        """Note that the copies of these records were seen."""
        with self._database.begin() as connection:
            note_seen(connection, self._orm_class, records)

    @property
    def can_come(self) -> bool:
        """Whether the archive's files can be downloaded at all: its address is set."""
        return self._url is not None

    @property
    def can_look(self) -> bool:
        """Whether the archive is a folder of this machine."""
        return self._url is not None and Address(self._url).scheme == "file"

    def look(self, records: Sequence[R]) -> list[R]:
        """Look for the copies of these records, where the archive is a folder; gives those that were not seen."""
        if self._url is None or not self.can_look:
            return list(records)
        address = Address(self._url)
        found = {record.id: record for record in records if self._is_in(address, record)}
        try:
            if found:
                self.note(found.values())
        except CacheError as error:  # on a full disk pruning goes on without what it cannot keep
            if not cannot_be_written(error):
                raise
            return list(records)
        return [record for record in records if record.id not in found]

    def _is_in(self, address: Address, record: R) -> bool:
        values = {**record.to_dict(), "instrument": self._orm_class.instrument_name}
        with suppress(DownloadError, OSError, ValueError):  # no address, no file, or no checksum to compare with
            return _is_copy(path_of_url(address.fill(values)), record, self._cache.path(record.filename))
        return False


def _is_copy(path: Path, record: ORMCalibration, own: Path) -> bool:
    """Whether a file of the archive has a record's content; it is not the very file that is here."""
    check_plain(path)
    if path.samefile(own) or record.file_size not in {None, path.stat().st_size}:
        return False
    recorded = Checksum.parse(record.checksum or "")
    return digest_of(path, recorded.kind) == str(recorded)


def is_elsewhere(url: str, path: Path) -> bool:
    """Whether a file came from another place than its own, which a file URL may name."""
    source = path_of_url(url) if url.startswith("file:") else None
    return source is None or not source.exists() or not source.samefile(path)
