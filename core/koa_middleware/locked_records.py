"""The records of calibrations that a lock file names: by id, else by content; here, else in the archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .database.listed import records_by
from .database.local import LocalDatabase
from .disk.checksums import Checksum
from .exceptions import KoaMiddlewareError
from .instrument.detached import record_builder
from .instrument.orm import ORMCalibration
from .reports.lock.happened import happened
from .reports.lock.locked import LockedCalibration


class Sources(NamedTuple):
    """Where calibrations come from that the local database does not know.

    Attributes
    ----------
    sync : callable or None
        Brings the local database up to date with the archive; None where that cannot be asked.
    is_here : callable
        Whether a record's file is in the cache, with the recorded content.
    downloads : bool
        Whether files can be downloaded.
    set_aside : callable
        Gives the file of a name and checksum that lies in the quarantine; None where there is none.
    """

    sync: Callable[[], object] | None
    is_here: Callable[[Any], bool]
    downloads: bool
    set_aside: Callable[[str, str], Path | None]


class Located(NamedTuple):
    """What was found of some calibrations.

    Attributes
    ----------
    records : mapping
        By the file name in the lock.
    lost : mapping
        Why there is none, by that name.
    aside : mapping
        The files of those that lie in the quarantine, by that name.
    """

    records: Mapping[str, ORMCalibration]
    lost: Mapping[str, str]
    aside: Mapping[str, Path]


class LockedRecords:
    """Finds the records of calibrations of a lock file; each has the content that the lock says.

    Parameters
    ----------
    orm_class : type
    sources : Sources
    """

    def __init__(self, orm_class: type[ORMCalibration], sources: Sources) -> None:
        self._orm_class = orm_class
        self._sources = sources
        self._refusal: str | None = None  # what the archive said when it was asked; empty: it answered

    def locate(self, wanted: Sequence[LockedCalibration], database: LocalDatabase[Any]) -> Located:
        """Find records in a database; what is not there is looked for in the archive."""
        found = _known(wanted, database)
        if (others := _others(wanted, found)) and self._has_asked():
            found |= _known(others, database)
        lost: dict[str, str] = {}
        asked = {one.filename: one for one in wanted}
        for one in _others(wanted, found):
            record = _made_of(one, self._orm_class)
            if why := self._why_not(one, record, database):
                lost[one.filename] = why
            else:
                found[one.filename] = record
        aside = {name: self._sources.set_aside(name, asked[name].checksum) for name in lost}
        return Located(found, lost, {name: path for name, path in aside.items() if path is not None})

    def _has_asked(self) -> bool:
        """Ask the archive for what is new, once; tells whether it answered."""
        if self._refusal is None and self._sources.sync is not None:
            try:
                self._sources.sync()
            except KoaMiddlewareError as error:
                self._refusal = error.message.rstrip(".")
            else:
                self._refusal = ""
        return self._refusal == ""

    def _why_not(self, one: LockedCalibration, record: ORMCalibration, database: LocalDatabase[Any]) -> str:
        """Say why a calibration that no record is of cannot be had; empty where its file is here or can come."""
        if changed := _with_other_content(one, database):
            return f"{changed.filename} has other content now, {changed.checksum or 'without a checksum'}"
        if not one.checksum:
            return "not known here, and without a checksum in the lock by which a file could be told"
        if self._sources.is_here(record):
            return ""
        if not one.id:
            return "given by the user, and no calibration here has that content"
        if one.origin != "LOCAL" and self._sources.downloads:
            return ""
        if gone := [each for each in happened(database, [one.id]).get(one.id, ()) if each.op == "withdrawn"]:
            return f"withdrawn {gone[-1].when}{f' ({gone[-1].why})' if gone[-1].why else ''}"
        elsewhere = "made elsewhere and " if one.origin == "LOCAL" else ""  # it may have been published since
        return f"{elsewhere}not known here{f', and {self._refusal}' if self._refusal else ''}"


def record_for(one: LockedCalibration, database: LocalDatabase[Any]) -> ORMCalibration:
    """Give the record of a calibration of a lock; where none is known, one of what the lock says."""
    return _known([one], database).get(one.filename) or _made_of(one, database.orm_class)


def _known(wanted: Sequence[LockedCalibration], database: LocalDatabase[Any]) -> dict[str, Any]:
    """Find records that a database has, by id, else by content."""
    by_id = records_by(database, "id", [one.id for one in wanted if one.id])
    found = {one.filename: each for one in wanted for each in by_id.get(one.id, ()) if one.is_content_of(each)}
    others = [one for one in wanted if one.filename not in found and one.checksum]
    by_content: dict[tuple[str, str], list[Any]] = {}
    spelt = records_by(database, "checksum", [each for one in others for each in _spellings(one.checksum)])
    for checksum, records in spelt.items():
        for record in records:
            by_content.setdefault((record.cal_type, str(Checksum.parse(checksum))), []).append(record)
    for one in others:
        if same := by_content.get((one.cal_type, one.checksum)):
            found[one.filename] = min(same, key=lambda each: (each.filename != one.filename, each.id))
    return found


def _spellings(checksum: str) -> tuple[str, str]:
    return checksum, Checksum.parse(checksum).digits


def _others(wanted: Sequence[LockedCalibration], found: Mapping[str, Any]) -> list[LockedCalibration]:
    return [one for one in wanted if one.filename not in found]


def _with_other_content(one: LockedCalibration, database: LocalDatabase[Any]) -> ORMCalibration | None:
    found = database.query(id=one.id) + database.query(filename=one.filename)
    return found[0] if found else None


def _made_of(one: LockedCalibration, orm_class: type[ORMCalibration]) -> ORMCalibration:
    """Make a record of what a lock says of a calibration; all else of it is unknown."""
    known = {name: value for name, value in one._asdict().items() if value not in ("", None)}
    row = orm_class.in_form({"id": one.checksum, **known}, one.filename)
    return record_builder(orm_class)(list(row.values()))
