"""Freeing space: files that the archive has, and what dead processes left behind.

A file goes only when the archive's copy was seen, when this instrument's database names it as REMOTE or knows it for
one whose record was withdrawn since, and when no other table of the cache's databases names it. LOCAL files never go.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, bindparam, delete, select

from ..database.verified_files import select_unseen, signatures_table
from ..disk.checksums import Signature
from ..disk.writing import cache_errors, cannot_be_written
from ..display import Report
from ..exceptions import CacheError
from ..instrument.orm import ORMCalibration
from .copies import Copies
from .leftovers import leftovers, remove
from .named import named_elsewhere
from .placing import Holdings
from .prune_decision import IN_USE_S, CachedFile, Choice, Limits, choose

R = TypeVar("R", bound=ORMCalibration)


@dataclass(repr=False)
class PruneReport(Report):
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
    unseen : list of str
        File names that would have gone, but whose copy in the archive was not seen, or could not come for want of a
        calibration URL.
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
    unseen: list[str] = field(default_factory=list)
    size_left: int = 0
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return vars(self).copy()


class Pruner(Generic[R]):
    """Frees space in one cache.

    Parameters
    ----------
    holdings : Holdings
    copies : Copies
    """

    def __init__(self, holdings: Holdings[R], copies: Copies[R]) -> None:
        self._holdings = holdings
        self._copies = copies
        self._cache = holdings.cache
        self._database = holdings.database
        self._table = holdings.orm_class.table()

    def prune(self, limits: Limits, dry_run: bool) -> PruneReport:
        """Remove what the limits name, and leftovers; see `CalibrationStore.prune`."""
        if limits.given and self._copies.can_look:
            self._look_for_copies(limits)
        choice = self._choose_and_remove(limits, dry_run)
        report = PruneReport(
            removed=[file.filename for file in choice.going],
            size=sum(file.size for file in choice.going),
            in_use=[file.filename for file in choice.in_use],
            unseen=[file.filename for file in choice.unseen],
            size_left=choice.size_left,
            dry_run=dry_run,
        )
        self._sweep(report)
        return report

    def _choose_and_remove(self, limits: Limits, dry_run: bool) -> Choice:
        are_removed = False
        try:
            # The write lock: no record becomes LOCAL, and none is registered, between the decision and the removal.
            with cache_errors(self._cache.calibrations, "read"), self._database.begin() as connection:
                opened = open_files(self._cache.calibrations) if limits.given else set()
                choice = choose(self._files(connection, opened), limits)
                for file in [] if dry_run else list(choice.going):
                    if not self._remove(file.filename):
                        choice.keep(file)
                are_removed = True
                if not dry_run:
                    self._forget(connection, [file.filename for file in choice.going])
        except CacheError as error:
            if not (are_removed and cannot_be_written(error)):
                raise  # else the disk is full all the same, and what is known of files that are gone harms nobody
        return choice

    def _look_for_copies(self, limits: Limits) -> None:
        """Look, before the lock is taken, for the archive's copies of files that could then go."""
        unseen = self._copies.unseen()
        if unseen:
            with cache_errors(self._cache.calibrations, "read"), self._database.connect() as connection:
                going = {file.filename for file in choose(self._files(connection, set()), limits).unseen}
            self._copies.look([record for record in unseen if record.filename in going])

    def _files(self, connection: Connection, opened: set[str]) -> Iterator[CachedFile]:
        """Give this instrument's files in the cache."""
        columns = self._table.c
        named = {
            filename: (origin, kind)
            for filename, origin, kind in connection.execute(select(columns.filename, columns.origin, columns.cal_type))
        }
        withdrawn = self._withdrawn(connection, named.keys())
        statement = select_unseen(self._database.orm_class).with_only_columns(columns.filename)
        unseen = set(connection.execute(statement).scalars())
        elsewhere, now = named_elsewhere(connection, self._holdings), time.time()
        for path in self._cache.calibrations.iterdir():
            origin, kind = named.get(path.name, ("REMOTE" if path.name in withdrawn else "", None))
            if origin and path.is_file() and not path.is_symlink():
                state = path.stat()
                yield CachedFile(
                    path.name,
                    state.st_size,
                    now - max(state.st_atime, state.st_mtime),
                    origin,
                    kind,
                    is_named_elsewhere=path.name in elsewhere,
                    is_open=path.name in opened,
                    copy_seen=self._copies.can_come and path.name not in unseen,
                )

    def _withdrawn(self, connection: Connection, named: Iterable[str]) -> set[str]:
        """Names of files whose record is gone, whose copy in the archive was seen, and that are unchanged since."""
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

    def _remove(self, filename: str) -> bool:
        """Remove a file, unless it was handed out while others were looked at."""
        path = self._cache.path(filename)
        try:
            if time.time() - path.stat().st_atime < IN_USE_S:
                return False
            path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise CacheError(
                f"{path} cannot be removed: {error.strerror}.",
                "Check the folder's permissions; the files before it were removed.",
                path=path,
            ) from error
        return True

    def _forget(self, connection: Connection, filenames: list[str]) -> None:
        signatures = signatures_table(self._database.orm_class)
        if filenames:
            gone = delete(signatures).where(signatures.c.filename == bindparam("gone"))
            connection.execute(gone, [{"gone": filename} for filename in filenames])

    def _sweep(self, report: PruneReport) -> None:
        """Remove what dead processes left."""
        for path in leftovers(self._cache):
            size = _size(path)
            if not report.dry_run:
                with cache_errors(path, "removed"):
                    remove(path)
            report.leftovers.append(path.name)
            report.leftover_size += size


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in [path, *path.rglob("*")] if each.is_file())


def open_files(folder: Path) -> set[str]:
    """Names of files in a folder that a process has open or mapped, as far as Linux tells this user.

    Of processes of other users and on other machines nothing is known, and on other systems of none.
    """
    start = f"{os.path.realpath(folder)}/"
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
