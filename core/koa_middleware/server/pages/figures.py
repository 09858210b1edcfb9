"""What is known of an instrument in numbers, kept for as long as counting it anew would cost too much."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import func, select

from ...database.feed import feed_table
from ...instrument.orm import ORMCalibration
from ...instrument.times import END_MJD, FIRST_MJD, iso_from_mjd
from ...store import CalibrationStore

T = TypeVar("T")

#: A number is used for this many times the time that counting took: a millisecond's for a tenth of a second.
_WORTH = 100


class OfType(NamedTuple):
    """The calibrations of a type.

    Attributes
    ----------
    cal_type : str
    number : int
    first, newest : str or None
        When they were observed, UTC; None where a damaged row has no time.
    """

    cal_type: str
    number: int
    first: str | None
    newest: str | None


class Entry(NamedTuple):
    """The newest entry of what happened: its number, what happened and when (UTC)."""

    number: int
    what: str
    at: str


class Disk(NamedTuple):
    """Files of the cache folder, of all its instruments, their bytes, and the bytes that are free."""

    files: int
    used: int
    free: int


class _Kept(Generic[T]):
    """Keeps what was counted of each store, in proportion to what that cost."""

    def __init__(self, count: Callable[[CalibrationStore[Any]], T]) -> None:
        self._count = count
        self._known: WeakKeyDictionary[CalibrationStore[Any], tuple[float, T]] = WeakKeyDictionary()

    def __call__(self, store: CalibrationStore[Any]) -> T:
        until, found = self._known.get(store, (0.0, None))
        began = time.monotonic()
        if found is None or began >= until:
            found = self._count(store)
            ended = time.monotonic()
            self._known[store] = (ended + _WORTH * (ended - began), found)
        return found


def _by_type(store: CalibrationStore[Any]) -> list[OfType]:
    columns = store.orm_class.table().c
    counting = select(
        columns.cal_type, func.count(), func.min(columns.mjd_start), func.max(columns.mjd_start)
    ).group_by(columns.cal_type)
    found = store.known_db.execute(counting.order_by(columns.cal_type))
    return [OfType(cal_type, number, _iso(first), _iso(last)) for cal_type, number, first, last in found]


def _iso(mjd: Any) -> str | None:
    if not isinstance(mjd, int | float):
        return None
    return iso_from_mjd(min(max(mjd, FIRST_MJD), END_MJD))


def _on_disk(store: CalibrationStore[Any]) -> Disk:
    files = used = 0
    with os.scandir(store.cache_dir / "calibrations") as entries:
        for entry in entries:
            if entry.is_file():
                files, used = files + 1, used + entry.stat().st_size
    return Disk(files, used, shutil.disk_usage(store.cache_dir).free)


def newest_of(types: Iterable[OfType]) -> str | None:
    """Give when the newest of some calibrations was observed; None where there are none."""
    return max((each.newest for each in types if each.newest is not None), default=None)


#: Give the types that there are; and what stands on the disk.
by_type, on_disk = _Kept(_by_type), _Kept(_on_disk)


def newest_entry(store: CalibrationStore[Any]) -> Entry | None:
    """Give the newest entry of what happened here; None where nothing did."""
    orm_class: type[ORMCalibration] = store.orm_class
    feed = feed_table(orm_class).c
    found = store.known_db.execute(select(feed.n, feed.op, feed.at).order_by(feed.n.desc()).limit(1))
    return Entry(*found[0]) if found else None
