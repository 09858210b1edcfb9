"""Records made anew from what is known: what the class derives, and what the files' headers say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import update

from .cache.folder import Cache
from .database.local import LocalDatabase
from .exceptions import HeaderError, InvalidPluginError, SourceFileError
from .instrument.door import derive_into
from .instrument.hooks import overrides, values_by
from .instrument.orm import DERIVED, ORMCalibration
from .instrument.times import now_iso

#: What a refresh never changes.
FIXED = frozenset({"id", "filename", "origin", "cal_version", "quality", "checksum", "file_size", "last_updated"})


class Change(NamedTuple):
    """A value that changed."""

    before: Any
    after: Any


@dataclass
class RefreshReport:
    """What a refresh changed.

    Attributes
    ----------
    checked : int
        Number of LOCAL records.
    changed : dict
        By file name, the columns that got another value, each with a `Change`.
    failed : dict
        By file name, why a record stays as it is.
    not_here : list of str
        File names of records whose file was to be read and is not here.
    dry_run : bool
        Whether nothing was written.
    """

    checked: int = 0
    changed: dict[str, dict[str, Change]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    not_here: list[str] = field(default_factory=list)
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        changed = {
            name: {column: change._asdict() for column, change in columns.items()}
            for name, columns in self.changed.items()
        }
        return {**vars(self), "changed": changed}

    @property
    def ok(self) -> bool:
        """Whether every record could be made anew."""
        return not self.failed


def refresh(
    local: LocalDatabase[Any], cache: Cache, *, from_files: bool = False, dry_run: bool = False
) -> RefreshReport:
    """Make the LOCAL records anew, in one transaction.

    Columns that no keyword fills are derived anew, others filled where they are null. A record for which that fails
    stays as it is.

    Parameters
    ----------
    local : LocalDatabase
    cache : Cache
    from_files : bool
        Whether the headers of the files that are here are read again; what they say counts.
    dry_run : bool
        Whether nothing is written.

    Raises
    ------
    CacheError
        When the database cannot be written.
    """
    report = RefreshReport(dry_run=dry_run)
    found: list[tuple[str, dict[str, Any]]] = []
    for record in local.query(origin="LOCAL"):
        report.checked += 1
        try:
            said = _said_by_file(record, cache, report) if from_files else {}
            changes = _changes(record, said)
        except (HeaderError, InvalidPluginError, SourceFileError) as error:
            report.failed[record.filename] = error.message
            continue
        if changes:
            report.changed[record.filename] = {name: Change(record[name], value) for name, value in changes.items()}
            found.append((record.id, changes))
    if found and not dry_run:
        _write(local, found)
    return report


def _said_by_file(record: ORMCalibration, cache: Cache, report: RefreshReport) -> Mapping[str, Any]:
    path = cache.path(record.filename)
    if not path.is_file():
        report.not_here.append(record.filename)
        return {}
    return values_by(type(record), "values_from_file", record.filename, path)


def _changes(record: ORMCalibration, said: Mapping[str, Any]) -> dict[str, Any]:
    """Give the columns of a record that get another value, and these."""
    orm_class, before = type(record), record.to_dict()
    derived = set(orm_class.table().info[DERIVED])
    read = orm_class.normalise(said, record.filename) if said else {}
    kept = {name: value for name, value in before.items() if value is not None and name not in derived}
    values = kept | {name: value for name, value in read.items() if value is not None and name not in FIXED}
    if overrides(orm_class, "derive"):
        derive_into(orm_class, values, record.filename)
    return {name: value for name, value in values.items() if value != before[name] and name not in FIXED}


def _write(local: LocalDatabase[Any], found: list[tuple[str, dict[str, Any]]]) -> None:
    table = local.orm_class.table()
    with local.begin() as connection:
        for id_, changes in found:
            mine = update(table).where(table.c.id == id_, table.c.origin == "LOCAL")
            connection.execute(mine.values(**changes, last_updated=now_iso()))
