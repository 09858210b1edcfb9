"""Mending what a verification found, and saying what was done about each fault, or why not.

A file that cannot come again stays where it is, and so does every file that may be a user's. A file without a row is
registered again only when its header says which calibration it is, and nothing here says that it was taken away.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy import select

from ..database.feed import feed_table
from ..database.sqlite import driver_of
from ..database.verified_files import signatures_table
from ..exceptions import IntegrityError, KoaMiddlewareError
from ..instrument.hooks import values_by
from ..instrument.orm import ORMCalibration
from .decision import Decision, NotToBeHad, to_come
from .leftovers import remove
from .placing import Holdings
from .prefetch import Provided
from .provide import Provider
from .row_mending import Mended, RowMender
from .verify import Verifier

R = TypeVar("R", bound=ORMCalibration)


class Repairer(Generic[R]):
    """Mends one cache.

    Parameters
    ----------
    holdings : Holdings
    provider : Provider
    register : callable
        Registers a file; gives the record.
    dry_run : bool
        Whether it only says what it would do.
    """

    def __init__(
        self, holdings: Holdings[R], provider: Provider[R], register: Callable[[Path], R], *, dry_run: bool
    ) -> None:
        self._holdings = holdings
        self._orm_class = holdings.orm_class
        self._provider = provider
        self._register = register
        self._dry_run = dry_run

    def repair(self, found: Verifier[R]) -> None:
        """Mend what a verification found; its report tells the rest."""
        found.report.dry_run = self._dry_run
        self._bring_again(found)
        self._mend_rows(found)
        for name in found.report.without_record:
            found.report.actions[name] = self._stray(found, name) or self._register_again(self._path(name))
        for path in found.report.leftovers:
            found.report.actions[path] = self._remove(Path(path))

    # -- files of records ----------------------------------------------------------------------------------------------

    def _bring_again(self, found: Verifier[R]) -> None:
        """Bring the files that are spoilt or missing, where there is one elsewhere."""
        records = [record for record, _ in found.faulty]
        decisions = [self._provider.decide_repair(*each, found.knowledge) for each in found.faulty]
        outcomes = self._planned(decisions) if self._dry_run else self._provider.repair(records, decisions)
        for record, outcome in zip(records, outcomes, strict=True):
            report, name = found.report, record.filename
            if isinstance(outcome, str):
                report.actions[name] = outcome
            elif isinstance(outcome, Provided):
                is_own = outcome.path == self._path(name)
                report.actions[name] = "downloaded again" if is_own else f"{outcome.path} is used"
                report.repaired.append(name)
            elif isinstance(outcome, IntegrityError):  # which says no more than the fault
                report.actions[name] = outcome.hint
            elif name in report.missing:
                report.actions[name] = self._missing(found, name)
            else:
                aside = (
                    ""
                    if name not in report.bad or os.path.lexists(self._path(name))
                    else "it was moved to the quarantine; "
                )
                report.actions[name] = f"{aside}it could not be downloaded again: {outcome.message}"
                if name in report.bad:
                    report.bad[name] += f"; {report.actions[name]}"

    def _planned(self, decisions: Sequence[Decision]) -> list[str | Provided | KoaMiddlewareError]:
        return [
            decision.error
            if isinstance(decision, NotToBeHad)
            else "would be downloaded again"
            if to_come(decision)
            else "the shared cache's file would be used"
            for decision in decisions
        ]

    def _path(self, name: str) -> Path:
        return self._holdings.cache.calibrations / name

    def _missing(self, found: Verifier[R], name: str) -> str:
        """Say what brings a LOCAL file back."""
        for other, names in found.report.same_content.items():
            if name in names:
                return f"{self._path(other)} has its content; move it to {name}"
        return "it is LOCAL, so only registering the same file again brings it back"

    # -- rows that are not in form -------------------------------------------------------------------------------------

    def _mend_rows(self, found: Verifier[R]) -> None:
        """Mend the rows whose values are all known."""
        if not found.spoilt_rows:
            return
        database = self._holdings.database
        with database.driver_connection() as connection:
            mended = RowMender(connection, self._orm_class, self._holdings.cache).mended(found.spoilt_rows)
        whole = [each for each in mended if each.values is not None and not each.lost]
        left = [each for each in mended if each not in whole]
        if whole and not self._dry_run:
            with database.begin() as connection:
                mender = RowMender(driver_of(connection), self._orm_class, self._holdings.cache)
                left += mender.write(whole)
        for each in mended:
            name, before = each.row.name, found.report.actions.get(each.row.name)
            if each not in left and not self._dry_run:
                found.report.mended.append(name)
            said = self._said_of(each, is_left=each in left)
            found.report.actions[name] = f"{before}; {said}" if before else said

    def _said_of(self, mended: Mended, *, is_left: bool) -> str:
        if mended.values is None:
            return mended.lost
        if mended.lost:
            return f"koa-cal rebuild would mend it so: {mended.lost}"
        if is_left:
            return "it could not be mended, as it was changed meanwhile or another row has its name"
        return f"would be mended: {mended.said}" if self._dry_run else mended.said

    # -- files without a record ----------------------------------------------------------------------------------------

    def _stray(self, found: Verifier[R], name: str) -> str:
        """Say which calibration's content a file has; empty where it has none's."""
        names = found.report.same_content.get(name, [])
        for other in names:
            if other in found.report.missing or other in found.report.gone:
                return f"left where it is: it is {other}, renamed; move it back"
        return f"left where it is: it has the content of {names[0]}, which is registered" if names else ""

    def _register_again(self, path: Path) -> str:
        """Register a file that no row names, where that is safe; gives what was done."""
        try:
            doubt = self._doubt(path)
            if doubt:
                return f"left where it is: {doubt}"
            if self._dry_run:
                return "would be registered again"
            record = self._register(path)
        except KoaMiddlewareError as error:
            return f"left where it is: {error.message}"
        return f"registered again as {record.origin}, with the id {record.id} and the quality {record.quality}"

    def _doubt(self, path: Path) -> str:
        """Say why a file may not be a calibration that was registered here; empty where it is one.

        Raises
        ------
        SourceFileError, HeaderError
            When it cannot be read, or is no calibration of this instrument.
        """
        if path.is_symlink() or not path.is_file():
            return "it is no file"
        values = values_by(self._orm_class, "values_from_file", str(path), path)
        row = self._orm_class.complete_row(values, str(path))
        if not len(self._holdings.database):
            return "the database has no record at all; koa-cal rebuild makes them anew, with what was said of them"
        if not values.get("id"):
            known = "koa-cal rebuild takes the record that a copy of the database has"
            return f"its header has no id (CALID); {known}, koa-cal register {path} gives it a new id"
        if row["origin"] != "LOCAL":
            return "its header says that it is the archive's; koa-cal sync brings its record"
        return self._known_as(path.name, row["id"])

    def _known_as(self, name: str, id: str) -> str:
        """Say what the database knows of a file name or an id that a new row would have."""
        table, files = self._orm_class.table().c, signatures_table(self._orm_class).c
        feed = feed_table(self._orm_class).c
        with self._holdings.database.connect() as connection:
            if self._holdings.find(connection, table.id == id):
                return f"another record has the id of its header, {id}"
            was_here = select(files.filename).where(files.filename == name)
            had_a_record = select(feed.n).where(feed.id == id)
            if connection.execute(was_here).first() or connection.execute(had_a_record.limit(1)).first():
                return "its record was withdrawn or removed"
        apart = [one for one in self._holdings.database.conflicts() if id == one.id or name == one.filename]
        return "a row of the archive that is kept apart has its name or id" if apart else ""

    # -- leftovers -----------------------------------------------------------------------------------------------------

    def _remove(self, path: Path) -> str:
        if self._dry_run:
            return "would be removed"
        try:
            remove(path)
        except OSError as error:
            return f"could not be removed: {error.strerror}"
        return "removed"
