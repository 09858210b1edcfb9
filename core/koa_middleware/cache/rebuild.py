"""Making a lost or spoilt database anew from all that is left.

The new one is built in ``partial/``. What is left of the old database comes first, then the copies beside it, the
archive, and the files. Then it takes the place of a spoilt one, which is set aside, in one step; or its rows go into
one that is whole and has none, in one transaction. A sound database that lacks records of files gets these alone.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import select

from ..database.backup import make_as_shared
from ..database.driver import GuardedConnection
from ..database.feed import feed_table, note_made_of_files
from ..database.judgements import judgements_table
from ..database.local import LocalDatabase
from ..database.merging import (
    add_for_files,
    add_missing,
    attached,
    newest_qualities,
    orphaned_judgements,
    set_qualities,
)
from ..database.rescue import names_by_id, rescue
from ..database.soundness import condition_of, is_lost
from ..database.sqlite import driver_of
from ..database.verified_files import Verified, remember_signatures
from ..exceptions import CacheError, KoaMiddlewareError
from ..fetch.progress import shown_progress
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration
from .folder import Cache
from .from_files import OwnFile, Versions, in_order, read_files
from .named import copies_beside, names_in
from .own_files import files_but, has_files_of, named_beside
from .placing import Holdings
from .rebuild_report import RebuildReport
from .replaced import replaced, seen_now
from .rows_left import correct_by_indexes, mend_all
from .strays import unnamed

R = TypeVar("R", bound=ORMCalibration)

Sync = Callable[[LocalDatabase[Any]], object]


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
        self._unnamed: set[str] = set()
        self._names: dict[str, str] = {}
        self._ids_by_name: dict[str, str] = {}
        self._are_ids_new = False
        self._of_copies: set[str] = set()
        self._of_archive: set[str] = set()
        self._of_files: set[str] = set()

    def run(self) -> RebuildReport:
        """Make it anew where it is lost or spoilt; see `CalibrationStore.rebuild`."""
        found = condition_of(self._path, self._orm_class)
        self._report.fault = found.fault or (self._gap() if found.rows else self._loss())
        if self._report.fault:
            self._check_writable()
            seen = seen_now(self._path)
            with self._cache.staging_folder() as folder:
                new = folder / self._path.name
                self._build(new)
                if found.fault:
                    self._report.set_aside = str(replaced(self._path, new, seen))
                elif found.rows:
                    self._complete(new)
                else:
                    self._pour(new)
        return self._report

    def _check_writable(self) -> None:
        try:
            self._cache.check_writable()
        except CacheError as error:
            said = f"The database {self._path} cannot be made anew from here: {self._report.fault}, and {error.message}"
            raise CacheError(said, "Let its owner run koa-cal rebuild.", path=self._path) from error

    def _gap(self) -> str:
        """Say that a sound database lacks records of files; empty where it has all."""
        with closing(LocalDatabase(self._orm_class, self._path)) as local:
            names, like = unnamed(Holdings(self._cache, local))
        for name, others in sorted(like.items()):
            self._report.noticed.append(f"{name} has the content of {others[0]}, so it gets no record of its own.")
        self._unnamed = names
        if not names:
            return ""
        return f"{len(names)} files are in no record" if len(names) > 1 else f"{next(iter(names))} is in no record"

    def _loss(self) -> str:
        """Say what is wrong with a database that has no records; empty where it is new."""
        lost = is_lost(self._path)
        self._is_emptied = not lost
        if not (has_files_of(self._orm_class, self._cache, self._path) or (lost and self._copies())):
            return ""
        return "it has no records" if not lost else "it is empty" if self._path.exists() else "it is missing"

    def _copies(self) -> dict[Path, str]:
        return copies_beside(self._path, self._orm_class)

    # -- building ------------------------------------------------------------------------------------------------------

    def _build(self, new: Path) -> None:
        if self._path.exists():
            make_as_shared(new, self._path)
        else:
            new.touch()
        whole = rescue(self._path, new, self._orm_class)
        self._names = {} if is_lost(self._path) else names_by_id(self._path, self._orm_class)
        self._ids_by_name = {name: id_ for id_, name in self._names.items()}
        with closing(LocalDatabase(self._orm_class, new)) as local:
            feed = feed_table(self._orm_class)
            has_history = feed.name in whole and bool(
                local.execute(select(feed.c.n).where(feed.c.op != "begun").limit(1))
            )
            self._is_history_known = has_history and not self._unnamed
            for told in (correct_by_indexes(local, self._path), mend_all(local, self._cache)):
                self._report.noticed += told.noticed
                self._report.lost |= told.lost
            self._report.from_old = len(local)
            old = set(self._ids(local))
            copied_at = self._add_copies(local, new.parent)
            copied = set(self._ids(local)) - old
            judged = self._settle_judgements(local, copied)
            self._add_archive(local)
            archived = set(self._ids(local)) - old - copied
            self._add_files(local, old | copied, judged)
            self._of_copies, self._of_archive = copied, archived
            self._of_files = set(self._ids(local)) - old - copied - archived
            self._tell_of_orphans(local)
            if whole and judgements_table(self._orm_class).name not in whole:
                said = "it cannot be read to its end; what was judged here over the archive's word may be missing"
                self._report.lost[judgements_table(self._orm_class).name] = said
            if not self._is_history_known:
                self._tell_of_judgements(local, old, copied, copied_at)

    def _tell_of_orphans(self, local: LocalDatabase[R]) -> None:
        """Say which judgements belong to lost records, and to which files where that is known."""
        with local.driver_connection() as connection:
            but_withdrawn = not self._is_emptied
            orphans = orphaned_judgements(connection, self._orm_class, but_withdrawn=but_withdrawn)
        for id_, said in orphans.items():
            may_be = "; it may be any of the files whose ids are new" if self._are_ids_new else ""
            self._report.lost[self._names.get(id_, id_)] = said if id_ in self._names else f"{said}{may_be}"

    def _ids(self, local: LocalDatabase[R]) -> list[str]:
        return [row[0] for row in local.execute(select(self._orm_class.table().c.id))]

    def _add_copies(self, local: LocalDatabase[R], folder: Path) -> str:
        """Add what the copies beside the database have, the newest first; gives the time of the newest."""
        newest = ""
        for copy, at in self._copies().items():
            staged = folder / copy.name
            try:
                staged.touch()
                with closing(sqlite3.connect(copy)) as source, closing(GuardedConnection(str(staged))) as sink:
                    source.backup(sink)
                LocalDatabase(self._orm_class, staged).close()
                with local.driver_connection() as connection, attached(connection, staged):
                    self._report.from_copies += self._add(connection)
                newest = newest or at
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
        """Give each file without a record one, and note which files are what their records say."""
        records = {record.filename: record for record in local.query()}
        named, faults = named_beside(self._path, self._orm_class)
        named |= set(names_in(local.path, but=self._orm_class.table().name))
        self._report.noticed += faults
        paths = sorted(files_but(self._cache, named - records.keys()))
        if self._unnamed:
            paths = [path for path in paths if path.name in self._unnamed]
        files = self._read(paths, {name: record.checksum for name, record in records.items()})
        versions = Versions(self._orm_class, (record.to_dict() for record in records.values()))
        rows, verified = [], []
        for file in in_order(each for each in files if each.path.name not in records and not each.is_of_another):
            try:
                told = self._settled(file, versions)
            except KoaMiddlewareError as error:
                self._report.lost[file.path.name] = f"it has no record: {error.message}"
                continue
            quality = judged.get(file.row["id"], file.row["quality"])
            file.row |= {"checksum": file.checksum, "file_size": file.signature.size, "quality": quality}
            rows.append(file.row)
            if told or not self._is_history_known:
                unknown = [] if self._is_history_known else ["what was judged of it here is not known"]
                said = ", ".join([*unknown, f"it is {file.row['origin']}", *told])
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
            note_made_of_files(connection, self._orm_class, [row["id"] for row in rows])
            verified += [self._verified(file) for file in files if file.row.get("checksum")]
            remember_signatures(connection, self._orm_class, verified)

    def _settled(self, file: OwnFile, versions: Versions) -> list[str]:
        """Settle id and version of a file's row; says where they come from, if not from the file."""
        known = self._ids_by_name.get(file.path.name)
        if file.error is not None:
            raise file.error
        if file.says_id or known is None:
            told = versions.settle(file, str(uuid.uuid4()))
            self._are_ids_new |= "its id is new" in told
            return told
        file.row["id"], file.says_id = known, True
        return ["its id is that of an index of the old database", *versions.settle(file, str(uuid.uuid4()))]

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
        if not self._unnamed and any(record.id in old for record in made_here):
            said = "it cannot be read to its end; who judged LOCAL records when and why may be missing"
            self._report.lost[feed_table(self._orm_class).name] = said

    # -- taking its place ----------------------------------------------------------------------------------------------

    def _pour(self, new: Path) -> None:
        """Put the new rows into a database that is whole and has none, in one transaction."""
        with (
            closing(LocalDatabase(self._orm_class, self._path)) as local,
            local.driver_connection() as connection,
            attached(connection, new),
        ):
            connection.execute("PRAGMA main.synchronous = EXTRA")  # as `begin_immediate` does
            self._add(connection)

    def _complete(self, new: Path) -> None:
        """Add the new rows of files without one to a database that has others, in one transaction."""
        with (
            closing(LocalDatabase(self._orm_class, self._path)) as local,
            local.driver_connection() as connection,
            attached(connection, new),
        ):
            connection.execute("PRAGMA main.synchronous = EXTRA")
            with _transaction(connection):
                added = add_for_files(connection, self._orm_class, self._unnamed)
            named = {record.filename for record in local.query()}
        report = self._report
        report.from_old, report.is_completed = 0, True
        report.from_copies, report.from_archive, report.from_files = (
            len(added & ids) for ids in (self._of_copies, self._of_archive, self._of_files)
        )
        away = dict.fromkeys(sorted(self._unnamed - named), "its record was withdrawn or removed here, and stays away")
        report.lost = away | {name: said for name, said in report.lost.items() if name in self._unnamed}

    def _add(self, connection: sqlite3.Connection) -> int:
        """Add what an attached database has, in one transaction; gives the number of records."""
        with _transaction(connection):
            return add_missing(connection, self._orm_class, but_withdrawn=not self._is_emptied)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _size(path: Path) -> int:
    with suppress(OSError):  # who reads it says so
        return path.stat().st_size
    return 0
