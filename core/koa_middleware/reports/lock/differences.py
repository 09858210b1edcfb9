"""Where another calibration would be chosen now than a lock file says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ...choosing.frame import frame_name
from ...exceptions import KoaMiddlewareError
from ...instrument.door import columns_of
from ...instrument.orm import ORMCalibration
from .lock_file import LockFile
from .locked import LockedCalibration, LockedChoice, LockedFrame
from .locking import sides_of


class Differing(NamedTuple):
    """A choice that would differ now.

    Attributes
    ----------
    frame : str
        What it is called.
    values : mapping
        Its values.
    cal_type : str
    side : str
        Of a pair ``"before"`` or ``"after"``; else empty.
    then : LockedCalibration or None
        What the lock says; None where nothing was found.
    now : ORMCalibration or None
        What would be chosen; None where nothing would be.
    error : KoaMiddlewareError or None
        Why nothing would be.
    shape : str
        What the rule gives now, where it gave a pair and would give one, or the reverse.
    """

    frame: str
    values: Mapping[str, Any]
    cal_type: str
    side: str
    then: LockedCalibration | None
    now: ORMCalibration | None
    error: KoaMiddlewareError | None = None
    shape: str = ""

    @property
    def instead(self) -> str:
        """What would be taken in the place of what, in words."""
        now = "nothing" if self.now is None else self.now.filename
        return f"instead of {'nothing' if self.then is None else self.then.filename}: {now}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "frame": self.frame,
            "cal_type": self.cal_type,
            "side": self.side or None,
            "then": None if self.then is None else self.then.filename,
            "now": None if self.now is None else self.now.filename,
        }


def values_of(frame: LockedFrame, orm_class: type[ORMCalibration]) -> dict[str, Any]:
    """Give a frame of a lock as a selection takes it; columns that the class does not have are left out."""
    columns = columns_of(orm_class)
    named = {"filename": frame.filename} if frame.filename else {}
    return {**named, **{name: value for name, value in frame.values.items() if name in columns}}


def differences(
    lock: LockFile, frame: LockedFrame, values: Mapping[str, Any], found: Mapping[str, Any]
) -> Iterator[Differing]:
    """Compare a lock's choices for a frame with those of now, by type.

    A type that is not among those found has no rule any more.
    """
    name = frame_name(values, "mjd_start")
    for cal_type in frame.cal_types:
        answer = found.get(cal_type)
        error = answer if isinstance(answer, KoaMiddlewareError) else None
        now = {} if answer is None else dict(sides_of(answer))
        then = _then(lock, frame.of_type(cal_type))
        if then and now and ("" in then) != ("" in now):
            shape = "a pair" if "" in then else "one calibration and no pair"
            yield Differing(
                name, values, cal_type, "", next(iter(then.values())), next(iter(now.values())), None, shape
            )
            continue
        for side in dict.fromkeys([*then, *now]):
            locked, record = then.get(side), now.get(side)
            if not _is_same(locked, record):
                yield Differing(name, values, cal_type, side, locked, record, error)


def _then(lock: LockFile, choices: tuple[LockedChoice, ...]) -> dict[str, LockedCalibration]:
    return {each.side: lock.by_filename[each.calibration] for each in choices if not each.missing}


def _is_same(locked: LockedCalibration | None, record: ORMCalibration | None) -> bool:
    if locked is None or record is None:
        return locked is None and record is None
    return locked.is_content_of(record)
