"""Taking a LOCAL calibration away: its row goes, and its file is moved aside.

The row goes first: a process that is killed between the two leaves a file without a record, which is no fault.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import delete

from ..database.feed import note_withdrawal
from ..database.flags import this_user
from ..exceptions import CalibrationNotFoundError, RemoteError
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
        self._remove_row(record)
        return Removal(record, self._move_aside(path))

    def _remove_row(self, record: R) -> None:
        table = self._holdings.orm_class.table()
        with self._holdings.database.begin() as connection:
            found = self._holdings.find(connection, table.c.id == record.id)
            if not found:
                said = f"The calibration {record.id!r} was removed meanwhile."
                raise CalibrationNotFoundError(said, "koa-cal list shows what there is.", asked={"id": record.id})
            if found[0].origin != "LOCAL":  # published meanwhile
                raise _of_the_archive(found[0])
            connection.execute(delete(table).where(table.c.id == record.id))
            note_withdrawal(connection, self._holdings.orm_class, this_user(), "removed here")

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
        f"koa-cal flag {record.filename} bad --here keeps it from being chosen; "
        "koa-cal prune frees the room of its file.",
    )
