"""The archive's copies of the files that are here: which of them were seen.

A copy was seen when it was fetched with the recorded checksum, when it was uploaded from here and read back, or when it
was found in an archive that is a folder. Until then the file here may be the only one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from ..database.verified_files import note_seen, select_unseen
from ..disk.checksums import Checksum, digest_of
from ..disk.reading import check_plain, path_of_url
from ..exceptions import DownloadError
from ..fetch.addresses import Address
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
        wanted = None if names is None else set(names)
        found = self._database.fetch(select_unseen(self._orm_class), {})
        return [
            record
            for record in found
            if (wanted is None or record.filename in wanted) and self._cache.path(record.filename).is_file()
        ]

    def note(self, records: Iterable[R]) -> None:
        """Note that the copies of these records were seen."""
        with self._database.begin() as connection:
            note_seen(connection, self._orm_class, records)

    def look(self, records: Sequence[R]) -> None:
        """Look for the copies of these records, where the archive is a folder of this machine."""
        if self._url is None or not records:
            return
        address = Address(self._url)
        if address.scheme == "file" and (found := [record for record in records if self._is_in(address, record)]):
            self.note(found)

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
