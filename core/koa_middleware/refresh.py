"""Records made anew from what is known: what the class derives, and what the files' headers say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, update

from .cache.folder import Cache
from .cache.look import Knowledge, fault_of
from .database.local import LocalDatabase
from .display import Report
from .exceptions import IntegrityError, KoaMiddlewareError
from .instrument.hooks import values_by
from .instrument.orm import DERIVED, ORMCalibration
from .instrument.times import now_iso

#: What a refresh never changes.
FIXED = frozenset({"id", "filename", "origin", "cal_version", "quality", "checksum", "file_size", "last_updated"})


class Change(NamedTuple):
    """A value that changed."""

    before: Any
    after: Any


@dataclass(repr=False)
class RefreshReport(Report):
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

    Columns that no keyword fills are derived anew, others filled where they are null. A record for which that fails,
    or whose file is not what it says, stays as it is.

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
    knowledge, records = Knowledge(local), local.query(origin="LOCAL")
    if from_files:
        knowledge.read([], [record.filename for record in records])
    found: dict[str, tuple[ORMCalibration, dict[str, Any]]] = {}
    for record in records:
        report.checked += 1
        try:
            said = _said_by_file(record, cache, knowledge, report) if from_files else {}
            changes = _changes(record, said)
        except KoaMiddlewareError as error:
            report.failed[record.filename] = error.message
            continue
        if changes:
            found[record.id] = record, changes
    gone: set[str] = set()
    if not dry_run:
        knowledge.save()
        gone = _write(local, {id_: changes for id_, (_, changes) in found.items()})
    for id_, (record, changes) in found.items():
        if id_ in gone:
            report.failed[record.filename] = "it was published or removed meanwhile"
        else:
            report.changed[record.filename] = {name: Change(record[name], value) for name, value in changes.items()}
    return report


def _said_by_file(
    record: ORMCalibration, cache: Cache, knowledge: Knowledge[Any], report: RefreshReport
) -> Mapping[str, Any]:
    """Give what a record's file says; nothing where it is not here.

    Raises
    ------
    IntegrityError
        When it is not the file that was registered.
    """
    path = cache.path(record.filename)
    fault = fault_of(record, path, record.filename, knowledge)
    if fault is None:
        report.not_here.append(record.filename)
        return {}
    if fault:
        raise IntegrityError(f"its file is not what its record says: {fault}", path=path)
    return values_by(type(record), "values_from_file", record.filename, path)


def _changes(record: ORMCalibration, said: Mapping[str, Any]) -> dict[str, Any]:
    """Give the columns of a record that get another value, and these.

    Raises
    ------
    HeaderError, InvalidPluginError
        When a value cannot be one of its column, or the class does not have the type.
    """
    orm_class, before = type(record), record.to_dict()
    derived: tuple[str, ...] = orm_class.table().info[DERIVED]
    kept = {name: value for name, value in before.items() if value is not None and name not in derived}
    read = {name: value for name, value in said.items() if value is not None and name not in FIXED}
    values: dict[str, Any] = orm_class.normalise(kept | read, record.filename)
    orm_class.complete_row(values, record.filename)
    return {name: value for name, value in values.items() if name not in FIXED and value not in (None, before[name])}


def _write(local: LocalDatabase[Any], found: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Write values by column, by the records' ids; gives the ids of records that are not LOCAL any more.

    Records that get values in the same columns are written in one bulk statement.
    """
    if not found:
        return set()
    table = local.orm_class.table()
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    with local.begin() as connection:
        ours = set(connection.execute(select(table.c.id).where(table.c.origin == "LOCAL")).scalars())
        for id_, changes in found.items():
            if id_ in ours:
                by_columns.setdefault(tuple(changes), []).append({"own_id": id_, **changes})
        for names, rows in by_columns.items():
            statement = update(table).where(table.c.id == bindparam("own_id"))
            values: dict[str, Any] = {name: bindparam(name) for name in names}
            connection.execute(statement.values(**values, last_updated=now_iso()), rows)
    return found.keys() - ours
