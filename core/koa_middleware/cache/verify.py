"""Verifying a cache: every file against its record, what else lies there, and the database itself.

Threads hash, and no lock is held meanwhile. What they learn is written for many files at once, and only where it is
new. Others go on working, so what looks like a fault is judged once more at the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import LargeBinary, bindparam, column, literal, select

from ..database.chunks import in_chunks
from ..database.kept_apart import Conflict
from ..database.local import LocalDatabase
from ..database.row_forms import SpoiltRow
from ..database.verified_files import once_here
from ..disk.checksums import Signature
from ..disk.names import check_filename, folded
from ..disk.writing import cache_errors
from ..display import Report
from ..exceptions import CacheError, KoaMiddlewareError, UnsafeFilenameError, logger
from ..fetch.progress import Progress, shown_progress
from ..instrument.orm import ORMCalibration
from .leftovers import files_without_record, in_quarantine, left_in_archive, leftovers
from .look import Knowledge, fault_in_words
from .own_files import no_records
from .placing import Holdings
from .row_check import examined
from .shared import SharedCache
from .strays import same_content

R = TypeVar("R", bound=ORMCalibration)

_AT_ONCE = 500
"""Files whose signatures are written in one transaction, which then takes a few ms."""


@dataclass(repr=False)
class VerificationReport(Report):
    """What a verification found, and what a repair did about it.

    Attributes
    ----------
    checked : int
        Number of files that are here and were hashed.
    bad : dict
        File name to what is wrong with it.
    missing : list of str
        File names of LOCAL records whose file is not here.
    gone : list of str
        File names of REMOTE records whose file was here and is not any more; no fault, as it can be downloaded again.
    not_here : int
        Number of all REMOTE records whose file is not here; no fault.
    repaired : list of str
        Bad, missing or gone ones whose file is here again.
    unchecked : list of str
        Records without a checksum: their files have the recorded size, more is not known.
    without_record : list of str
        Names of files that no record of any instrument names; no fault.
    same_content : dict
        Name of such a file to the file names of the calibrations that have its content.
    leftovers : list of str
        Paths of what killed processes left, in the cache or where the archive is a folder there; no fault.
    quarantine : list of str
        Paths of what was moved aside; no fault.
    conflicts : list of Conflict
        Rows of the archive that are kept apart; no fault.
    database : list of str
        What SQLite finds wrong with the database, what of it cannot be read, and that it has no records beside files
        of the instrument.
    rows : dict
        File name, or id, to what is wrong with the values of its record.
    mended : list of str
        Those of `rows` that are in form again.
    actions : dict
        File name or path to what the repair did about it, or why it did nothing; with `dry_run`, what it would do.
    dry_run : bool
    """

    checked: int = 0
    bad: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    not_here: int = 0
    repaired: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    without_record: list[str] = field(default_factory=list)
    same_content: dict[str, list[str]] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)
    quarantine: list[str] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    database: list[str] = field(default_factory=list)
    rows: dict[str, str] = field(default_factory=dict)
    mended: list[str] = field(default_factory=list)
    actions: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"ok": self.ok, **vars(self), "conflicts": [conflict.to_dict() for conflict in self.conflicts]}

    @property
    def faults(self) -> int:
        """Number of faults that are left, after repair."""
        files = {*self.bad, *self.missing}.difference(self.repaired)
        return len(files) + len(self.rows.keys() - set(self.mended)) + len(self.database)

    @property
    def ok(self) -> bool:
        """Whether the database is sound and every file is what its record says, after repair."""
        return not self.faults


class Verifier(Generic[R]):
    """Verifies one cache.

    Parameters
    ----------
    holdings : Holdings
    known : LocalDatabase
        The holdings' own, or what stands under it too.
    shared : SharedCache
        Under it; its files are not verified.
    calibration_url : str or None
        Where the archive serves its files.

    Attributes
    ----------
    report : VerificationReport
    knowledge : Knowledge
        What is known of the files.
    faulty : list of tuple
        Records whose file is not what it should be, each with what is wrong, None where there is no file.
    spoilt_rows : list of SpoiltRow
    """

    def __init__(
        self, holdings: Holdings[R], known: LocalDatabase[R], shared: SharedCache, calibration_url: str | None
    ) -> None:
        self._holdings = holdings
        self._known = known
        self._cache = holdings.cache
        self._database = holdings.database
        self._shared = shared
        self._url = calibration_url
        self.report = VerificationReport()
        self.knowledge = Knowledge(self._database)
        self.faulty: list[tuple[R, str | None]] = []
        self.spoilt_rows: list[SpoiltRow] = []

    def run(self) -> VerificationReport:
        """Verify everything; one file that cannot be read stops no other.

        Raises
        ------
        ConfigurationError
            When the calibration URL cannot be one.
        CacheError
            When the folder of the files or the table cannot be read.
        """
        in_archive = left_in_archive(self._url)  # first, as an unusable URL is to be told before hours of hashing
        found, self.spoilt_rows = examined(self._database)
        self.report.database = [*found, *self._loss()]
        self.report.rows = {row.name: row.said for row in self.spoilt_rows}
        here, absent = self._divided()
        with shown_progress(sum(_size(record) for record in here), None, bar=True) as progress:
            suspected = list(self._suspected(here, progress))
        before = self._once_here()
        lost = [record for record in absent if record.origin == "LOCAL" or record.filename in before]
        self.report.not_here = len(absent) - len(lost)
        self._note_absent(list(self._judge_again([*suspected, *((record, None) for record in lost)])))
        self._look_around()
        self.report.leftovers += map(str, in_archive)
        return self.report

    def _loss(self) -> list[str]:
        """Say that a database has lost all its records."""
        try:
            found = no_records(self._holdings, self._known)
        except CacheError:  # which the look at its integrity says
            return []
        return [found.said] if found is not None and found.is_lost else []

    # -- files of records ----------------------------------------------------------------------------------------------

    def _records(self) -> Iterator[R]:
        """Give all records whose names can be read, in pieces: a long statement keeps others from writing."""
        table = self._holdings.orm_class.table()
        untold = [row.rowid for row in self.spoilt_rows if not row.tells_file]
        after = select(table).where(table.c.filename > bindparam("last", None), column("_rowid_").not_in(untold))
        after = after.where(table.c.filename < literal(b"", LargeBinary))  # which is after all text
        after = after.order_by(table.c.filename).limit(_AT_ONCE)
        last = ""
        while some := self._database.fetch(after, {"last": last}):
            yield from some
            last = some[-1].filename

    def _divided(self) -> tuple[list[R], list[R]]:
        """Give the records whose file seems to be here, and the others, by one look at the folder."""
        with cache_errors(self._cache.calibrations, "read"):
            names = {folded(name) for name in os.listdir(self._cache.calibrations)}  # noqa: PTH208 - a third of the time
        here: list[R] = []
        absent: list[R] = []
        for record in self._records():
            is_absent = folded(record.filename) not in names and _is_safe(record.filename)
            (absent if is_absent else here).append(record)
        return here, absent

    def _once_here(self) -> set[str]:
        with self._database.connect() as connection:
            return once_here(connection, self._holdings.orm_class)

    def _suspected(self, records: Sequence[R], progress: Progress | None) -> Iterator[tuple[R, str | None]]:
        """Hash the files of records; gives those with a fault, None for no file."""
        pool = ThreadPoolExecutor(thread_name_prefix="koa-verify")
        try:
            for some in in_chunks(records, _AT_ONCE):
                self.knowledge.read([], [record.filename for record in some])
                for record, fault in zip(some, pool.map(self._fault, some), strict=True):
                    if progress is not None and fault is not None:
                        progress(_size(record))
                    if fault == "":
                        self._note_good(record)
                    else:
                        yield record, fault
                self._save()
        finally:
            pool.shutdown(cancel_futures=True)

    def _fault(self, record: R) -> str | None:
        return fault_in_words(record, self._cache, self.knowledge)

    def _note_good(self, record: R) -> None:
        self.report.checked += 1
        if record.checksum is None:
            self.report.unchecked.append(record.filename)

    def _save(self) -> None:
        try:
            self.knowledge.save()
        except KoaMiddlewareError as error:  # as where only reading is possible: the next use hashes once more
            logger().warning("What was verified could not be noted. %s", error)

    def _judge_again(self, suspected: Sequence[tuple[R, str | None]]) -> Iterator[R]:
        """Look once more at what seemed wrong, by its present record; gives the records that have no file.

        Another process may have registered, published or removed it meanwhile.
        """
        column = self._holdings.orm_class.table().c.id
        for some in in_chunks(suspected, _AT_ONCE):
            with self._database.connect() as connection:
                found = self._holdings.find(connection, column.in_([record.id for record, _ in some]))
            present = {record.id: record for record in found}
            for record, fault in some:
                if record.id not in present:
                    continue
                now = present[record.id]
                said = fault if fault and self._is_unchanged(record, now) else self._fault(now)
                if said == "":
                    self._note_good(now)
                elif said is None:
                    yield now
                else:
                    self.report.checked += 1
                    self.report.bad[now.filename] = said
                    self.faulty.append((now, said))
        self._save()

    def _is_unchanged(self, before: R, now: R) -> bool:
        """Whether neither a record nor its spoilt file has changed since it was judged."""
        judged = self.knowledge.spoilt.get(now.filename)
        if judged is None or any(before[name] != now[name] for name in ("filename", "checksum", "file_size")):
            return False
        try:
            return Signature.of(self._cache.path(now.filename)) == judged
        except OSError:
            return False

    def _note_absent(self, records: Sequence[R]) -> None:
        """Note the records that have no file: LOCAL ones are faults, unless the shared cache has it."""
        before = self._once_here()
        for record in records:
            is_local = record.origin == "LOCAL"
            self.report.not_here += not is_local
            if (is_local or record.filename in before) and self._shared.path(record) is None:
                (self.report.missing if is_local else self.report.gone).append(record.filename)
                self.faulty.append((record, None))

    # -- what else there is --------------------------------------------------------------------------------------------

    def _look_around(self) -> None:
        report = self.report
        with self._faults_noted():  # another instrument's database, say
            report.without_record = files_without_record(self._holdings)
            report.same_content = same_content(self._holdings, report.without_record)
        with self._faults_noted():
            report.leftovers = [str(path) for path in leftovers(self._cache, of_dead=True)]
        with self._faults_noted():
            report.quarantine = [str(path) for path in in_quarantine(self._cache)]
        with self._faults_noted():
            report.conflicts = self._database.conflicts()

    @contextmanager
    def _faults_noted(self) -> Iterator[None]:
        """Note what cannot be read as a fault, and go on."""
        try:
            yield
        except CacheError as error:
            self.report.bad[str(error.path)] = error.message.removesuffix(".")


def _size(record: ORMCalibration) -> int:
    return record.file_size if isinstance(record.file_size, int) else 0


def _is_safe(filename: str) -> bool:
    try:
        check_filename(filename)
    except UnsafeFilenameError:
        return False
    return True
