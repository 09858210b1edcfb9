"""Making a lost or spoilt database anew, of all that is left.

The new one is built in ``partial/``. What is left of the old database comes first, then the copies beside it, the
archive, and the files. Then it takes the place of a spoilt one, which is set aside, in one step; or its rows go into
one that is whole and has none, in one transaction.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import delete, select

from ..database.backup import copies_of, make_as_shared
from ..database.driver import GuardedConnection
from ..database.feed import feed_table
from ..database.local import LocalDatabase
from ..database.merging import add_missing, attached, newest_qualities, orphaned_judgements, set_qualities
from ..database.rescue import rescue
from ..database.soundness import Condition, condition_of, is_lost
from ..database.sqlite import driver_of, quote
from ..database.verified_files import Verified, remember_signatures
from ..disk.checksums import Signature
from ..disk.writing import cache_errors, move_into_place, sync_folder
from ..exceptions import CacheError, KoaMiddlewareError
from ..fetch.progress import shown_progress
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration
from .folder import Cache
from .from_files import OwnFile, Versions, in_order, read_files
from .named import SPOILT, names_in
from .own_files import files_but, has_files_of, named_beside

R = TypeVar("R", bound=ORMCalibration)

Sync = Callable[[LocalDatabase[Any]], object]


@dataclass
class RebuildReport:
    """What a rebuilding did.

    Attributes
    ----------
    database : str
        Its path.
    fault : str
        What was wrong with it; empty where it is sound, and then nothing was changed.
    set_aside : str or None
        Path of the spoilt one.
    from_old, from_copies, from_archive, from_files : int
        Number of records that were read of the old database, of the copies beside it, of the archive, and of files
        alone.
    lost : dict
        What could not be recovered, by file name, or by id where the file name is lost too.
    noticed : list of str
        What else there is to know; sentences.
    """

    database: str
    fault: str = ""
    set_aside: str | None = None
    from_old: int = 0
    from_copies: int = 0
    from_archive: int = 0
    from_files: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    noticed: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return vars(self).copy()

    @property
    def ok(self) -> bool:
        """Whether all was recovered."""
        return not self.lost


class Rebuilder(Generic[R]):
    """Makes the database of an instrument anew.

    Parameters
    ----------
    cache : Cache
    orm_class : type
    path : pathlib.Path
        The database.
    sync : callable or None
        Brings a database up to date with the archive; None where there is none.
    """

    def __init__(self, cache: Cache, orm_class: type[R], path: Path, sync: Sync | None) -> None:
        self._cache = cache
        self._orm_class = orm_class
        self._path = path.resolve()
        self._sync = sync
        self._report = RebuildReport(str(path))
        self._is_emptied = False
        self._is_history_known = False

    def run(self) -> RebuildReport:
        """Make it anew where it is lost or spoilt; see `CalibrationStore.rebuild`."""
        found = condition_of(self._path, self._orm_class)
        self._report.fault = found.fault or self._loss(found)
        if self._report.fault:
            seen = _seen(self._path)
            with self._cache.staging_folder() as folder:
                new = folder / self._path.name
                self._build(new)
                if found.fault:
                    self._replace(new, seen)
                else:
                    self._pour(new)
        return self._report

    def _loss(self, found: Condition) -> str:
        """Say what is wrong with a database in which SQLite finds no fault; empty where it is sound."""
        if found.rows:
            return ""
        lost = is_lost(self._path)
        self._is_emptied = not lost
        if not (has_files_of(self._orm_class, self._cache, self._path) or (lost and copies_of(self._path))):
            return ""
        return "it has no records" if not lost else "it is empty" if self._path.exists() else "it is missing"

    # -- building ------------------------------------------------------------------------------------------------------

    def _build(self, new: Path) -> None:
        if self._path.exists():
            make_as_shared(new, self._path)
        else:
            new.touch()
        whole = rescue(self._path, new, self._orm_class)
        self._is_history_known = feed_table(self._orm_class).name in whole
        with closing(LocalDatabase(self._orm_class, new)) as local:
            self._drop_unusable(local)
            self._report.from_old = len(local)
            old = set(self._ids(local))
            copied_at = self._add_copies(local, new.parent)
            copied = set(self._ids(local)) - old
            judged = self._settle_judgements(local, copied)
            self._add_archive(local)
            self._add_files(local, old | copied, judged)
            with local.driver_connection() as connection:
                but_withdrawn = not self._is_emptied
                self._report.lost |= orphaned_judgements(connection, self._orm_class, but_withdrawn=but_withdrawn)
            if not self._is_history_known:
                self._tell_of_judgements(local, old, copied, copied_at)

    def _ids(self, local: LocalDatabase[R]) -> list[str]:
        return [row[0] for row in local.execute(select(self._orm_class.table().c.id))]

    def _drop_unusable(self, local: LocalDatabase[R]) -> None:
        """Remove rows whose values were spoilt such that they are none of their columns."""
        table = self._orm_class.table()
        build = record_builder(self._orm_class, raw=True)
        with local.begin() as connection:
            columns = ", ".join(map(quote, table.c.keys()))
            for row in driver_of(connection).execute(f"SELECT {columns} FROM {quote(table.name)}").fetchall():  # noqa: S608
                try:
                    self._orm_class.in_form(build(row).to_dict(), "the old database", derive=False)
                except (KoaMiddlewareError, ValueError, TypeError) as error:
                    connection.execute(delete(table).where(table.c.id == row[0]))
                    name = str(row[table.c.keys().index("filename")])
                    said = error.message if isinstance(error, KoaMiddlewareError) else str(error)
                    self._report.lost[name] = f"its row is spoilt: {said}"

    def _add_copies(self, local: LocalDatabase[R], folder: Path) -> str:
        """Add what the copies beside the database have, the newest first; gives the time of the newest."""
        newest = ""
        for copy in reversed(copies_of(self._path)):
            staged = folder / copy.name
            try:
                staged.touch()
                with closing(sqlite3.connect(copy)) as source, closing(GuardedConnection(str(staged))) as sink:
                    source.backup(sink)
                LocalDatabase(self._orm_class, staged).close()
                with local.driver_connection() as connection, attached(connection, staged):
                    self._report.from_copies += self._add(connection)
                newest = newest or copy.name.removeprefix(f"{self._path.name}.").removesuffix(".bak")
            except (sqlite3.Error, KoaMiddlewareError) as error:
                self._report.noticed.append(f"The copy {copy} cannot be used: {error}")
        return newest

    def _settle_judgements(self, local: LocalDatabase[R], copied: set[str]) -> dict[str, str]:
        """Give records of copies the quality that the history says; returns the qualities of all records there."""
        with local.begin() as connection:
            driver = driver_of(connection)
            newest = newest_qualities(driver, self._orm_class)
            set_qualities(driver, self._orm_class, {each: word for each, word in newest.items() if each in copied})
        return newest

    def _add_archive(self, local: LocalDatabase[R]) -> None:
        if self._sync is None:
            return
        before = len(local)
        try:
            self._sync(local)
        except KoaMiddlewareError as error:
            self._report.noticed.append(f"The archive could not be asked: {error.message} Run koa-cal sync later.")
        self._report.from_archive = max(0, len(local) - before)

    def _add_files(self, local: LocalDatabase[R], trusted: set[str], judged: dict[str, str]) -> None:
        """Give the files that have no record one, and note which files are what their records say."""
        records = {record.filename: record for record in local.query()}
        named, faults = named_beside(self._path)
        named |= set(names_in(local.path, but=self._orm_class.table().name))
        self._report.noticed += faults
        paths = sorted(files_but(self._cache, named - records.keys()))
        files = self._read(paths, {name: record.checksum for name, record in records.items()})
        versions = Versions(self._orm_class, (record.to_dict() for record in records.values()))
        rows, verified = [], []
        for file in in_order(each for each in files if each.path.name not in records and not each.is_of_another):
            try:
                if file.error is not None:
                    raise file.error
                told = versions.settle(file, str(uuid.uuid4()))
            except KoaMiddlewareError as error:
                self._report.lost[file.path.name] = f"it has no record: {error.message}"
                continue
            quality = judged.get(file.row["id"], file.row["quality"])
            file.row |= {"checksum": file.checksum, "file_size": file.signature.size, "quality": quality}
            rows.append(file.row)
            if told or not self._is_history_known:
                said = ", ".join(["what was judged of it here is not known", *told])
                self._report.lost[file.path.name] = f"its record is made of the file alone: {said}"
        for file in files:
            record = records.get(file.path.name)
            if record is not None and file.error is None:
                if record.checksum == file.checksum:
                    verified.append(Verified(record.filename, record, file.signature))
                elif record.checksum is not None and record.id not in trusted:
                    self._report.lost[record.filename] = "it is another file than the archive's record of its name says"
        self._report.from_files = len(rows)
        with local.begin() as connection:
            local.insert(connection, rows)
            verified += [self._verified(file) for file in files if file.row.get("checksum")]
            remember_signatures(connection, self._orm_class, verified)

    def _read(self, paths: list[Path], known: dict[str, str | None]) -> list[OwnFile]:
        """Read files, with a bar on a terminal."""
        found = []
        with shown_progress(sum(map(_size, paths)), None, bar=True) as progress:
            for file in read_files(self._orm_class, paths, known):
                found.append(file)
                if progress is not None:
                    progress(max(0, file.signature.size))
        return found

    def _verified(self, file: OwnFile) -> Verified:
        record = record_builder(self._orm_class)([file.row[name] for name in self._orm_class.column_names()])
        return Verified(record.filename, record, file.signature)

    def _tell_of_judgements(self, local: LocalDatabase[R], old: set[str], copied: set[str], at: str) -> None:
        """Say of which records judgements may be lost, since the history could not be read to its end."""
        made_here = local.query(origin="LOCAL")
        for record in made_here:
            if record.id in copied:
                said = f"it is as the copy of {at} has it; what was judged of it here since then is not known"
                self._report.lost.setdefault(record.filename, said)
        if any(record.id in old for record in made_here):
            said = "it cannot be read to its end; who judged LOCAL records when and why may be missing"
            self._report.lost[feed_table(self._orm_class).name] = said

    # -- taking its place ----------------------------------------------------------------------------------------------

    def _replace(self, new: Path, seen: Signature | None) -> None:
        """Set the spoilt file aside and put the new one in its place.

        Both have a name until the last step. A journal that SQLite did not use goes along: it would be taken for one of
        the new file.
        """
        with new.open("rb") as stream:
            os.fsync(stream.fileno())
        if _seen(self._path) != seen:
            said = f"The database {self._path} was changed while it was made anew."
            raise CacheError(said, "Try again when nobody uses it; nothing was changed.", path=self._path)
        aside = self._path.with_name(f"{self._path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}{SPOILT}")
        with cache_errors(self._path):
            try:
                os.link(self._path, aside)
            except OSError:  # where links do not work
                self._path.rename(aside)
            for end in ("-journal", "-wal", "-shm"):
                beside = self._path.with_name(self._path.name + end)
                if beside.exists():
                    beside.rename(aside.with_name(aside.name + end))
        move_into_place(new, self._path, replace=True)
        sync_folder(self._path.parent)
        self._report.set_aside = str(aside)

    def _pour(self, new: Path) -> None:
        """Put the new rows into a database that is whole and has none, in one transaction."""
        with (
            closing(LocalDatabase(self._orm_class, self._path)) as local,
            local.driver_connection() as connection,
            attached(connection, new),
        ):
            connection.execute("PRAGMA main.synchronous = EXTRA")  # as `begin_immediate` does
            self._add(connection)

    def _add(self, connection: sqlite3.Connection) -> int:
        """Add what an attached database has, in one transaction; gives the number of records."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            added = add_missing(connection, self._orm_class, but_withdrawn=not self._is_emptied)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return added


def _size(path: Path) -> int:
    with suppress(OSError):  # who reads it says so
        return path.stat().st_size
    return 0


def _seen(path: Path) -> Signature | None:
    return Signature.of(path) if path.exists() else None
