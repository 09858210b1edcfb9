"""Freeing space: the files of what the archive has, and what dead processes left behind.

A file goes only when this instrument's database names it as REMOTE, or knows it as verified for a REMOTE record that
was withdrawn since, and when no other table of the cache's databases names it. LOCAL files never go.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, delete, select

from ..database.local import LocalDatabase
from ..database.verified_files import signatures_table
from ..disk.checksums import Signature
from ..disk.writing import cache_errors
from ..exceptions import CacheError
from ..fetch.partial import abandoned
from ..instrument.orm import ORMCalibration
from .folder import Cache

R = TypeVar("R", bound=ORMCalibration)

IN_USE_S = 600.0
"""Seconds since its last use within which a file stays."""

LEFTOVER_AFTER_S = 86400.0
"""Seconds after which what stands in ``partial/`` without a living owner goes."""


@dataclass
class PruneReport:
    """What was removed, or would be.

    Attributes
    ----------
    removed : list of str
        File names, the one that was not used for longest first.
    size : int
        Of these, bytes.
    leftovers : list of str
        Names in ``partial/`` that dead processes left.
    leftover_size : int
        Bytes.
    in_use : list of str
        File names that would have gone, but are open, or were used in the last ten minutes.
    size_left : int
        Of this instrument's files that stay, LOCAL ones included, bytes.
    dry_run : bool
        Whether nothing was removed.
    """

    removed: list[str] = field(default_factory=list)
    size: int = 0
    leftovers: list[str] = field(default_factory=list)
    leftover_size: int = 0
    in_use: list[str] = field(default_factory=list)
    size_left: int = 0
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return vars(self).copy()


@dataclass(frozen=True)
class Limits:
    """What is to go; a file goes that any of the limits names, and without one none does.

    Attributes
    ----------
    max_size : int or None
        Bytes that this instrument's files may have afterwards.
    older_than_days : float or None
        Files that were not used for longer than so many days.
    cal_type : str or None
        Only this type; all of it where nothing else is said.
    """

    max_size: int | None = None
    older_than_days: float | None = None
    cal_type: str | None = None

    @property
    def given(self) -> bool:
        """Whether anything was said."""
        return (self.max_size, self.older_than_days, self.cal_type) != (None, None, None)


class _File(NamedTuple):
    """A file of this instrument; `used` is the time of its last use, seconds since 1970."""

    used: float
    filename: str
    size: int
    may_go: bool


class Pruner(Generic[R]):
    """Frees space in one cache.

    Parameters
    ----------
    cache : Cache
    database : LocalDatabase
    """

    def __init__(self, cache: Cache, database: LocalDatabase[R]) -> None:
        self._cache = cache
        self._database = database
        self._table = database.orm_class.table()

    def prune(self, limits: Limits, dry_run: bool) -> PruneReport:
        """Remove what the limits name, and leftovers; see `CalibrationStore.prune`."""
        report = PruneReport(dry_run=dry_run)
        now = time.time()
        # The write lock: no record becomes LOCAL, and none is registered, between the decision and the removal.
        with self._database.begin() as connection:
            files = self._files(connection, limits.cal_type)
            report.size_left = sum(file.size for file in files)
            opened = open_files(self._cache.calibrations) if limits.given else set()
            for file in self._chosen(files, limits, now, report):
                if file.filename in opened or now - file.used < IN_USE_S:
                    report.in_use.append(file.filename)
                    continue
                if not dry_run:
                    self._remove(connection, file.filename)
                report.removed.append(file.filename)
                report.size += file.size
                report.size_left -= file.size
        self._sweep(report, dry_run)
        return report

    def _chosen(self, files: list[_File], limits: Limits, now: float, report: PruneReport) -> Iterator[_File]:
        everything = limits.max_size is None and limits.older_than_days is None and limits.given
        for file in sorted(files):
            old = limits.older_than_days is not None and now - file.used > limits.older_than_days * 86400
            large = limits.max_size is not None and report.size_left > limits.max_size
            if file.may_go and (everything or old or large):
                yield file

    def _files(self, connection: Connection, cal_type: str | None) -> list[_File]:
        """Files of this instrument in the cache, those of other types and LOCAL ones as staying."""
        columns = self._table.c
        named = {
            filename: (origin, kind)
            for filename, origin, kind in connection.execute(select(columns.filename, columns.origin, columns.cal_type))
        }
        withdrawn = self._withdrawn(connection, named.keys())
        elsewhere = self._named_elsewhere()
        found = []
        for path in self._cache.calibrations.iterdir():
            origin, kind = named.get(path.name, ("REMOTE" if path.name in withdrawn else "", None))
            if origin and path.is_file() and not path.is_symlink():
                may_go = origin == "REMOTE" and path.name not in elsewhere and cal_type in (None, kind)
                state = path.stat()
                found.append(_File(max(state.st_atime, state.st_mtime), path.name, state.st_size, may_go))
        return found

    def _withdrawn(self, connection: Connection, named: Iterable[str]) -> set[str]:
        """Names of files that were verified for a REMOTE record which is gone, and are unchanged since."""
        columns = signatures_table(self._database.orm_class).c
        known = connection.execute(
            select(columns.filename, columns.size, columns.mtime_ns, columns.inode).where(columns.origin == "REMOTE")
        )
        left_out, found = set(named), set()
        for filename, *signature in known:
            path = self._cache.calibrations / filename
            if (
                filename not in left_out
                and path.name == filename
                and path.is_file()
                and Signature.of(path) == tuple(signature)
            ):
                found.add(filename)
        return found

    def _named_elsewhere(self) -> set[str]:
        """File names in all other tables of calibrations in the cache's databases."""
        names: set[str] = set()
        for path in sorted(self._cache.database.iterdir()):
            if path.is_file() and not path.name.endswith(("-journal", "-wal", "-shm")):
                own = self._table.name if path == self._database.path else None
                names.update(_names_in(path, own))
        return names

    def _remove(self, connection: Connection, filename: str) -> None:
        path = self._cache.path(filename)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise CacheError(
                f"{path} cannot be removed: {error.strerror}.",
                "Check the folder's permissions; what went before it is gone.",
                path=path,
            ) from error
        signatures = signatures_table(self._database.orm_class)
        connection.execute(delete(signatures).where(signatures.c.filename == filename))

    def _sweep(self, report: PruneReport, dry_run: bool) -> None:
        """Remove what dead processes left in ``partial/``."""
        for path in sorted({*abandoned(self._cache.partial, LEFTOVER_AFTER_S), *_staged(self._cache.partial)}):
            size = _size(path)
            if not dry_run:
                with cache_errors(path, "removed"):
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            report.leftovers.append(path.name)
            report.leftover_size += size


def _names_in(database: Path, own: str | None) -> Iterator[str]:
    """Give the file names in the tables of calibrations of an SQLite file, but one's own."""
    try:
        with database.open("rb") as stream:
            if stream.read(16) != b"SQLite format 3\0":
                return
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=60.0)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                if table.endswith("_calibrations") and table != own:
                    quoted = table.replace('"', '""')
                    yield from (name for (name,) in connection.execute(f'SELECT filename FROM "{quoted}"'))  # noqa: S608
    except (sqlite3.Error, OSError) as error:
        raise CacheError(
            f"The database {database}, whose files may stand in this cache, cannot be read: {error}.",
            "Move it away if nobody uses it; nothing was removed.",
            path=database,
        ) from error


def _staged(folder: Path) -> Iterator[Path]:
    """Give staged files and staging folders that nothing has been written to for long."""
    for path in folder.iterdir():
        if len(path.name) == 32 and set(path.name) <= set("0123456789abcdef"):
            with suppress(FileNotFoundError):  # gone in the meantime
                changed = max(each.stat().st_mtime for each in [path, *path.rglob("*")])
                if time.time() - changed > LEFTOVER_AFTER_S:
                    yield path


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in [path, *path.rglob("*")] if each.is_file())


def open_files(folder: Path) -> set[str]:
    """Names of files in a folder that a process has open or mapped, as far as Linux tells this user.

    Of processes of other users and on other machines nothing is known, and on other systems of none.
    """
    start = f"{folder.resolve()}/"
    found: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        paths: list[str] = []
        with suppress(OSError):  # ended in the meantime, or of another user
            mapped = (process / "maps").read_text("utf-8", "replace").splitlines()
            paths += [line[line.find("/") :] for line in mapped if start in line]
            for link in (process / "fd").iterdir():
                with suppress(FileNotFoundError):  # closed in the meantime
                    paths.append(str(link.readlink()))
        found.update(path.removeprefix(start) for path in paths if path.startswith(start))
    return found
