"""Taking a LOCAL calibration away: its row goes, and its file is moved aside.

The row goes first: a process that is killed between the two leaves a file without a record, which is no fault. It comes
back where the file cannot be moved.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import column, delete, insert, select, table, text

from ..database.feed import note_withdrawal
from ..database.flags import this_user
from ..exceptions import CacheError, CalibrationNotFoundError, RemoteError
from ..instrument.orm import ORMCalibration
from .named import named_elsewhere
from .placing import Holdings

R = TypeVar("R", bound=ORMCalibration)


class Removal(NamedTuple):
    """A record that was taken away, or would be.

    Attributes
    ----------
    calibration : record
    moved_to : pathlib.Path or None
        Where its file is now; None where there was none, another instrument's record names it, or nothing was done.
    """

    calibration: Any
    moved_to: Path | None


class Remover(Generic[R]):
    """Takes calibrations away from one cache.

    Parameters
    ----------
    holdings : Holdings
    """

    def __init__(self, holdings: Holdings[R]) -> None:
        self._holdings = holdings

    def remove(self, record: R, *, dry_run: bool) -> Removal:
        """Take a record away; see `CalibrationStore.remove`."""
        if record.origin != "LOCAL":
            raise _of_the_archive(record)
        path = self._holdings.cache.path(record.filename)
        if dry_run:
            return Removal(record, None)
        try:
            removed = self._remove_row(record, path)
            try:
                return Removal(record, self._move_aside(path))
            except CacheError:
                self._put_back(removed)
                raise
        except KeyboardInterrupt:
            self._move_aside(path)  # where the row is gone already, and else nothing
            raise

    def _remove_row(self, record: R, path: Path) -> dict[str, Any]:
        """Remove a record's row; gives all of it, also what the class does not know."""
        own = self._holdings.orm_class.table()
        is_it = own.c.id == record.id
        with self._holdings.database.begin() as connection:
            if os.path.lexists(path):
                self._holdings.cache.check_quarantine()
            found = self._holdings.find(connection, is_it)
            if not found:
                said = f"The calibration {record.id!r} was removed meanwhile."
                raise CalibrationNotFoundError(said, "koa-cal list shows what there is.", asked={"id": record.id})
            if found[0].origin != "LOCAL":  # published meanwhile
                raise _of_the_archive(found[0])
            row = connection.execute(select(text("*")).select_from(own).where(is_it)).mappings().one()
            connection.execute(delete(own).where(is_it))
            note_withdrawal(connection, self._holdings.orm_class, this_user(), "removed here")
            return dict(row)

    def _put_back(self, row: dict[str, Any]) -> None:
        """Give a record its row again, as it was."""
        whole = table(self._holdings.orm_class.table().name, *map(column, row))
        with self._holdings.database.begin() as connection:
            connection.execute(insert(whole).values(row))

    def _move_aside(self, path: Path) -> Path | None:
        """Move a file to the quarantine, unless a record names it by now; no registration begins meanwhile."""
        with self._holdings.database.begin() as connection:
            is_named = self._holdings.named(connection, path.name) or path.name in named_elsewhere(
                connection, self._holdings
            )
            return None if is_named or not os.path.lexists(path) else self._holdings.cache.quarantine(path)


def _of_the_archive(record: ORMCalibration) -> RemoteError:
    return RemoteError(
        f"{record.filename} is a calibration of the archive ({record.origin}), so it cannot be removed here.",
        f"koa-cal flag {record.filename} bad --here --reason WHY keeps it from being chosen; koa-cal prune frees the "
        "room of its file.",
    )
