"""Importing bundles: records with their files in one tar, for a machine without a network.

An import adds each record with its file, both or neither, under the rules of a registration. A conflict with a record
that is here is reported, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from sqlalchemy import Connection, update

from ..disk.checksums import Checksum, digest_of
from ..disk.room import check_room
from ..display import Report
from ..exceptions import (
    CacheError,
    DuplicateCalibrationError,
    KoaMiddlewareError,
    SourceFileError,
)
from ..fetch.progress import counted
from ..instrument.orm import ORMCalibration
from .bundle_columns import is_kept, keep_others, named_as_here, others_of
from .bundle_file import DAMAGE, Bundle, Entry, Opener, open_bundle
from .folder import Staged
from .placing import Holdings, Placed
from .provide import Provider

R = TypeVar("R", bound=ORMCalibration)


@dataclass(repr=False)
class BundleImport(Report):
    """What an import did; each list and mapping is of file names.

    Attributes
    ----------
    added : list of str
        Records that were not here, with their files.
    completed : list of str
        Records that were here without their files, or with spoilt ones.
    updated : list of str
        REMOTE records of which the bundle had a newer state.
    unchanged : list of str
    kept : list of str
        LOCAL records that were flagged here since: their quality stays, all else is equal.
    conflicts : dict
        File name to what stands in the way; nothing was changed for these.
    failed : dict
        File name to what is wrong with it in the bundle, or went wrong here.
    noticed : list of str
        What else is to be said, in sentences.
    """

    added: list[str] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    conflicts: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    noticed: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return vars(self).copy()

    @property
    def ok(self) -> bool:
        """Whether everything in the bundle is here now."""
        return not self.conflicts and not self.failed


class BundleImporter(Generic[R]):
    """Imports bundles.

    Parameters
    ----------
    files : Provider
    holdings : Holdings
        What they are added to.
    """

    def __init__(self, files: Provider[R], holdings: Holdings[R]) -> None:
        self._files = files
        self._holdings = holdings
        self._cache = holdings.cache
        self._database = holdings.database
        self._orm_class = holdings.orm_class

    def run(self, source: Path | BinaryIO) -> BundleImport:
        """Import a bundle; see `CalibrationStore.import_bundle`."""
        if isinstance(source, Path):
            return self._run(source, str(source))
        staged = self._cache.stage_stream(source)
        try:
            return self._run(staged.path, "standard input")
        finally:
            staged.path.unlink()

    def _run(self, path: Path, name: str) -> BundleImport:
        report = BundleImport()
        self._database.check_writable()
        with open_bundle(path, self._orm_class.instrument_name, name) as bundle:
            self.take(bundle, report)
        return report

    def take(self, bundle: Bundle, report: BundleImport, *, dry_run: bool = False) -> None:
        """Take in what a bundle holds, or only look what there would be to do; says in the report what came of it."""
        self._check_space(bundle.entries)
        for entry in counted(bundle.entries, len(bundle.entries), "file"):
            try:
                outcome = self._foresee(entry, bundle) if dry_run else self._take(entry, bundle)
            except DuplicateCalibrationError as error:
                report.conflicts[entry.filename] = error.message
            except KoaMiddlewareError as error:
                report.failed[entry.filename] = str(error)
            else:
                getattr(report, outcome).append(entry.filename)

    def _foresee(self, entry: Entry, bundle: Bundle) -> str:
        row = self._row(entry, named_as_here(self._orm_class, entry.columns, bundle.head.declared))
        with self._database.connect() as connection:
            here = self._standing(connection, row)
        if here is None:
            return "added"
        if _is_newer(row, here):
            return "updated"
        return _as_it_is(row, here) if self._files.is_whole(here) else "completed"

    def _take(self, entry: Entry, bundle: Bundle) -> str:
        values = named_as_here(self._orm_class, entry.columns, bundle.head.declared)
        row = self._row(entry, values)
        others = self._others(entry, values)
        with self._database.connect() as connection:
            here = self._standing(connection, row)
        is_known = here is not None and here.checksum == row["checksum"] and not _is_newer(row, here)
        if here is not None and is_known and self._files.is_whole(here):
            return _as_it_is(row, here)
        staged = self._stage(entry, row, bundle.open_file)
        outcome: list[str] = []

        def settle(connection: Connection) -> Placed[R]:
            outcome.append(self._settle_row(connection, row, staged))
            if outcome != ["completed"]:
                keep_others(connection, self._orm_class, row["id"], others, bundle.head.others)
            return self._holdings.put(connection, self._holdings.record(row), staged)

        try:
            placed = self._holdings.commit(settle)
        finally:
            staged.path.unlink(missing_ok=True)
        return "unchanged" if outcome == ["completed"] and not placed.is_new else outcome[0]

    def _row(self, entry: Entry, values: Mapping[str, Any]) -> dict[str, Any]:
        """Complete row of a record, which keeps its nulls."""
        row = self._orm_class.complete_row(values, f"the record of {entry.filename}")
        columns = self._orm_class.table().c
        given = {name: values[name] for name in row if name in values}
        return row | {name: None for name, value in given.items() if value is None and columns[name].nullable}

    def _others(self, entry: Entry, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values of a record whose columns the class does not know."""
        others = others_of(self._orm_class, values)
        for name, value in others.items():
            if not is_kept(value):
                raise _spoilt(entry, f"its {name} is no value of a column")
        return others

    def _standing(self, connection: Connection, row: dict[str, Any], staged: Staged | None = None) -> R | None:
        """Give the record that is here already; None where there is room for one.

        Checksums of two kinds are compared by the file, where it is staged.

        Raises
        ------
        DuplicateCalibrationError
            When something else has its id or file name, or its LOCAL record was changed.
        """
        columns = self._orm_class.table().c
        found = self._holdings.find(connection, columns.id == row["id"])
        found += self._holdings.named(connection, row["filename"])
        if not found:
            return None
        here = found[0]
        for name in ("id", "filename"):
            if here[name] != row[name]:
                raise _conflict(row, f"{here.filename} (id {here.id}) is here with another {name}")
        for name in ("checksum", "file_size"):
            if not _may_agree(here[name], row[name]) or (staged and self._is_other(here, row, staged)):
                raise _conflict(row, f"{here.filename} (id {here.id}) is here with another {name}")
        differing = _differing(row, here)
        if differing and {row["origin"], here.origin} != {"REMOTE"} and not _is_flagged_since(row, here):
            said = [f"its {name} is {here[name]} here and {row[name]} in the bundle" for name in differing]
            advice = (
                f"; koa-cal flag {here.filename} {row['quality']} --reason WHY says it anew here"
                if "quality" in differing
                else ""
            )
            raise _conflict(row, ", ".join(said) + advice)
        return here

    def _is_other(self, here: R, row: dict[str, Any], staged: Staged) -> bool:
        """Whether a file differs from that of a record whose checksum is of another kind than the row's."""
        is_known = here.checksum is not None or self._cache.path(here.filename).is_file()
        return is_known and here.checksum != row["checksum"] and not self._holdings.has_content(here, staged)

    def _stage(self, entry: Entry, row: dict[str, Any], open_file: Opener) -> Staged:
        """Copy a file out of the bundle and compare it with manifest and record."""
        try:
            with open_file(entry) as stream:
                staged = self._cache.stage_stream(stream)
        except CacheError:
            raise
        except DAMAGE as error:
            raise _spoilt(entry, f"it cannot be read ({error})") from error
        try:
            _compare(entry, row, staged)
        except BaseException:
            staged.path.unlink()
            raise
        return staged

    def _settle_row(self, connection: Connection, row: dict[str, Any], staged: Staged) -> str:
        """Insert or update the row; gives the report's list that it belongs to."""
        here = self._standing(connection, row, staged)
        table, stamp = self._orm_class.table(), row["last_updated"]
        if here is not None:
            if not _is_newer(row, here):
                return "completed"
            connection.execute(update(table).where(table.c.id == row["id"]).values(row))
            return "updated"
        if not self._holdings.is_free(connection, row["filename"], staged):
            raise _conflict(row, "a file of this name with other content is in the cache")
        self._database.insert(connection, [row])
        if row["origin"] == "REMOTE" and stamp is not None:
            row["last_updated"] = stamp
            connection.execute(update(table).where(table.c.id == row["id"]).values(last_updated=stamp))
        return "added"

    def _check_space(self, entries: list[Entry]) -> None:
        coming = sum(entry.size for entry in entries if not (self._cache.calibrations / entry.filename).is_file())
        for folder in self._cache.disks():
            check_room(folder, coming, "this bundle")


def _may_agree(here: Any, there: Any) -> bool:
    """Whether two checksums or sizes are equal, or cannot be compared because one is unknown or their kinds differ."""
    return here is None or there is None or here == there or (str(here)[:4] != str(there)[:4] and ":" in str(here))


def _differing(row: dict[str, Any], here: ORMCalibration) -> list[str]:
    left_out = {"last_updated", "checksum", "file_size"}  # of the content, which is compared by itself
    return [name for name, value in row.items() if name not in left_out and here[name] != value]


def _is_flagged_since(row: dict[str, Any], here: ORMCalibration) -> bool:
    """Whether a record that is here differs by a later flag alone."""
    return _differing(row, here) == ["quality"] and str(here.last_updated) > str(row["last_updated"])


def _as_it_is(row: dict[str, Any], here: ORMCalibration) -> str:
    """Give the report's list of a record that stays as it is."""
    return "kept" if here.origin == "LOCAL" and _is_flagged_since(row, here) else "unchanged"


def _is_newer(row: dict[str, Any], here: ORMCalibration) -> bool:
    """Whether the bundle has a newer state of a record that is here; the archive's clock stamped both."""
    return bool(_differing(row, here)) and str(row["last_updated"]) > str(here.last_updated)


def _compare(entry: Entry, row: dict[str, Any], staged: Staged) -> None:
    if (staged.checksum, staged.file_size) != (entry.checksum, entry.size):
        raise _spoilt(entry, f"its checksum is {staged.checksum}, but the manifest says {entry.checksum}")
    if row["file_size"] not in (None, staged.file_size):
        raise _spoilt(entry, f"it has {staged.file_size} bytes, but its record says {row['file_size']}")
    said = row["checksum"]
    if said not in (None, staged.checksum) and said != digest_of(staged.path, _kind(entry, said)):
        raise _spoilt(entry, f"its record says {said}, which is not its checksum")


def _kind(entry: Entry, said: str) -> str:
    try:
        return Checksum.parse(said).kind
    except ValueError as error:
        raise _spoilt(entry, f"its record says {said!r}, {error}") from error


def _spoilt(entry: Entry, fault: str) -> SourceFileError:
    return SourceFileError(
        f"{entry.filename!r} in the bundle is damaged: {fault}.", "Copy or export the bundle again.", path=None
    )


def _conflict(row: dict[str, Any], obstacle: str) -> DuplicateCalibrationError:
    return DuplicateCalibrationError(
        f"{row['filename']} was not imported: {obstacle}.",
        "Nothing was changed for this record.",
        filename=row["filename"],
        existing=row["filename"],
    )
