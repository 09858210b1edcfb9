"""Conditions on the time: one class for each kind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Float, Integer, Numeric

from ..instrument.orm import ORMCalibration
from ..instrument.times import DAY_MS
from .criterion import Fault, Limit, Parameters, not_text

if TYPE_CHECKING:
    from .selector import CalibrationSelector

DIRECTIONS = ("nearest", "before", "after")

#: Days by which two times may differ that are the same to the millisecond.
SAME = 0.5 / DAY_MS

#: Largest finite double.
MAX = 1.7976931348623157e308

#: A largest age is inclusive to the resolution of a timedelta, 1 us, about that of a double at MJD 60000.
_RESOLUTION = timedelta(microseconds=1) / timedelta(days=1)


@dataclass(frozen=True)
class Finite(Limit):
    """The time is known and finite."""

    time: str

    setting = "time"

    @staticmethod
    def test(time: Any) -> bool:
        """Whether a calibration of this time may be chosen."""
        return time is not None and math.isfinite(time)

    @classmethod
    def declared(cls, selector: CalibrationSelector) -> Iterable[Self]:
        return (cls(selector.time),)

    @classmethod
    def misdeclared(cls, selector: CalibrationSelector) -> Iterator[Fault]:
        return not_text(selector, "time")

    def faults(self, orm_class: type[ORMCalibration]) -> Iterator[Fault]:
        unknown = list(super().faults(orm_class))
        yield from unknown
        if not unknown and not isinstance(orm_class.table().c[self.time].type, Float | Numeric | Integer):
            yield Fault("time", f"measures time by {self.time}, which holds no numbers", "Name a column of days.")

    def interval(self, asked: float) -> tuple[float, float]:
        return -MAX, MAX

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        return f"it has no {self.time}"


@dataclass(frozen=True)
class Direction(Limit):
    """On one side of the frame; the frame's own time is on both."""

    time: str
    direction: str

    setting = "direction"

    @property
    def rule(self) -> str:
        return self.setting

    @classmethod
    def declared(cls, selector: CalibrationSelector) -> Iterable[Self]:
        return () if selector.direction == "nearest" else (cls(selector.time, selector.direction),)

    @classmethod
    def misdeclared(cls, selector: CalibrationSelector) -> Iterator[Fault]:
        if not isinstance(selector.direction, str) or selector.direction not in DIRECTIONS:
            said = f"has the direction {selector.direction!r}"
            yield Fault("direction", said, f"Use one of {', '.join(DIRECTIONS)}.")

    def interval(self, asked: float) -> tuple[float, float]:
        return (asked - SAME, MAX) if self.direction == "after" else (-MAX, asked + SAME)

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        return f"only {'later' if self.direction == 'after' else 'earlier'} ones are allowed"


@dataclass(frozen=True)
class MaxAge(Limit):
    """Not farther from the frame than a limit, inclusive."""

    time: str
    limit: timedelta

    setting = "max_age"

    @property
    def rule(self) -> str:
        return self.setting

    @classmethod
    def declared(cls, selector: CalibrationSelector) -> Iterable[Self]:
        return () if selector.max_age is None else (cls(selector.time, selector.max_age),)

    @classmethod
    def misdeclared(cls, selector: CalibrationSelector) -> Iterator[Fault]:
        age: Any = selector.max_age
        if not (age is None or (isinstance(age, timedelta) and age >= timedelta(0))):
            yield Fault("max_age", f"has the max_age {age!r}", "Use timedelta(days=...), or None for no limit.")

    def interval(self, asked: float) -> tuple[float, float]:
        days = self.limit / timedelta(days=1) + _RESOLUTION
        return asked - days, asked + days

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        return f"limit {self.limit / timedelta(days=1):g} d"
