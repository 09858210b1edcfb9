"""Which of the calibrations that fit is the best: one list of tie-breakers, for SQL and for Python."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, func

from ..instrument.times import DAY_MS

R = TypeVar("R")

#: Stands for the column by which a selector measures time.
TIME = "time"


@dataclass(frozen=True)
class TieBreaker:
    """One step of the order; a null comes last. Times count to the millisecond.

    Attributes
    ----------
    column : str
        Its name, or `TIME`.
    from_frame : bool
        Whether the distance from the frame's time counts, not the value itself.
    descending : bool
    """

    column: str
    from_frame: bool = False
    descending: bool = False

    def clause(self, columns: Mapping[str, Column[Any]], time: str, asked: Any) -> ColumnElement[Any]:
        """Give the step as a term of ORDER BY."""
        value: ColumnElement[Any] = columns[time if self.column == TIME else self.column]
        if self.column == TIME:
            value = func.round(value * DAY_MS)
        if self.from_frame:
            value = func.abs(value - func.round(asked * DAY_MS))
        return (value.desc() if self.descending else value.asc()).nulls_last()

    def sort(self, records: list[Any], time: str, asked: float) -> list[Any]:
        """Sort by this step alone; equal records keep their places."""
        column = time if self.column == TIME else self.column
        known = [record for record in records if record[column] is not None]
        known.sort(key=lambda record: self._key(record[column], asked), reverse=self.descending)
        return known + [record for record in records if record[column] is None]

    def _key(self, value: Any, asked: float) -> Any:
        if self.from_frame:
            return distance(value, asked)
        return in_ms(value) if self.column == TIME else value


#: The newest version, then the lowest id: what decides between calibrations of one time.
_EQUALS = (TieBreaker("cal_version", descending=True), TieBreaker("id"))

#: Nearest in time, then earlier, then as equals.
NEAREST = (TieBreaker(TIME, from_frame=True), TieBreaker(TIME), *_EQUALS)

#: Of intervals the one that begins last; an open start counts as the earliest.
LATEST_START = (TieBreaker(TIME, descending=True), *_EQUALS)


def order_by(
    columns: Mapping[str, Column[Any]], time: str, asked: Any, ties: tuple[TieBreaker, ...] = NEAREST
) -> tuple[ColumnElement[Any], ...]:
    """Terms of ORDER BY, the best calibration first.

    Parameters
    ----------
    columns : mapping
        The table's columns by name.
    time : str
        The column by which a selector measures time.
    asked : float or SQL expression
        The frame's time, in days; of intervals None.
    ties : tuple of TieBreaker
    """
    return tuple(tie.clause(columns, time, asked) for tie in ties)


def order_of_equals(columns: Mapping[str, Column[Any]]) -> tuple[ColumnElement[Any], ...]:
    """Terms of ORDER BY for calibrations of one and the same time."""
    return tuple(tie.clause(columns, TIME, None) for tie in _EQUALS)


def distance(time: float, asked: float) -> float:
    """Give how far a time is from a frame's, in milliseconds; both in days."""
    return abs(in_ms(time) - in_ms(asked))


def in_ms(days: float) -> float:
    """Give a time in whole milliseconds."""
    return float(round(days * DAY_MS)) if math.isfinite(days * DAY_MS) else days


def best_of(records: Sequence[R], time: str, asked: float) -> R:
    """Give the one of some records, each with a time, that `in_order` puts first."""
    distances = [distance(getattr(record, time), asked) for record in records]
    nearest = min(distances)
    return in_order([record for record, d in zip(records, distances, strict=True) if d == nearest], time, asked)[0]


def in_order(records: Iterable[R], time: str, asked: float, ties: tuple[TieBreaker, ...] = NEAREST) -> list[R]:
    """Sort records as `order_by` does, the best one first."""
    found = list(records)
    for tie in reversed(ties):
        found = tie.sort(found, time, asked)
    return found
