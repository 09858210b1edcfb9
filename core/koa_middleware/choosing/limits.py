"""Conditions on the time: one class for each kind."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from ..instrument.orm import ORMCalibration
from ..instrument.plain import shown
from ..instrument.times import DAY_MS, is_observed, iso_from_mjd
from ..kept import kept_property
from .criterion import Columns, Fault, Limit, Parameters, Words, is_number, not_of_days, not_text

if TYPE_CHECKING:
    from .rule import Declared, Rule

DIRECTIONS = ("nearest", "before", "after", "bracket")

#: Days by which two times may differ that are the same to the millisecond.
SAME = 0.5 / DAY_MS

#: Largest finite double.
MAX = 1.7976931348623157e308

#: Boundaries that a rule in words names one by one.
_FEW = 3

#: A largest age is inclusive to the resolution of a timedelta, 1 us, about that of a double at MJD 60000.
_RESOLUTION = timedelta(microseconds=1) / timedelta(days=1)


def date_of(mjd: Any) -> str:
    """Give a time in days as messages show it: its date, with its minute where that is not midnight.

    What is no time, as a spoilt row may hold, is shown as it is.
    """
    if not isinstance(mjd, int | float):
        return shown(mjd)
    if not is_observed(mjd):
        return f"MJD {mjd:g}"
    return iso_from_mjd(mjd)[:16].removesuffix("T00:00")


@dataclass(frozen=True)
class Finite(Limit):
    """The time is known and finite."""

    time: str

    setting = "time"

    @staticmethod
    def test(time: Any) -> bool:
        """Whether a calibration of this time may be chosen."""
        return isinstance(time, int | float) and math.isfinite(time)

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return () if rule.validity and not rule.never_across else (cls(rule.time),)

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:
        return not_text(declared, "time")

    def faults(self, orm_class: type[ORMCalibration]) -> Iterator[Fault]:
        unknown = list(super().faults(orm_class))
        yield from unknown
        why = None if unknown else not_of_days(orm_class.table().c[self.time])
        if why is not None:
            yield Fault("time", f"measures time by {self.time}, {why}", "Name a column of days.")

    def interval(self, asked: float) -> tuple[float, float]:
        return -MAX, MAX

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        found = record[self.time]
        return f"it has no {self.time}" if found is None else f"its {self.time} is {shown(found)}"


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
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return (cls(rule.time, rule.direction),) if rule.direction in ("before", "after") else ()

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:
        if not isinstance(declared.direction, str) or declared.direction not in DIRECTIONS:
            said = f"has the direction {declared.direction!r}"
            yield Fault("direction", said, f"Use one of {', '.join(DIRECTIONS)}.")
        elif declared.validity and declared.direction != "nearest":
            said = f"has the direction {declared.direction} beside a validity, which leaves nothing to be near to"
            yield Fault("direction", said, "Leave one of them out.")

    def interval(self, asked: float) -> tuple[float, float]:
        return (asked - SAME, MAX) if self.direction == "after" else (-MAX, asked + SAME)

    def serves(self, found: Mapping[str, Any]) -> tuple[float, float]:
        time = found[self.time]
        return (-MAX, time + SAME) if self.direction == "after" else (time - SAME, MAX)

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        return f"only {'later' if self.direction == 'after' else 'earlier'} ones are allowed"

    def words(self, columns: Columns) -> Iterator[Words]:
        yield Words("", f"is at or {self.direction} the frame")


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
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return () if rule.max_age is None or rule.validity else (cls(rule.time, rule.max_age),)

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:
        age: Any = declared.max_age
        hint = "Use timedelta(days=...), or None for no limit."
        if not isinstance(age, timedelta | None):
            yield Fault("max_age", f"has the max_age {shown(age)}", hint)
        elif age is not None and age < timedelta(0):
            said = f"has the max_age {age / timedelta(days=1):g} d, which is negative"
            yield Fault("max_age", said, hint)

    def words(self, columns: Columns) -> Iterator[Words]:
        yield Words("", f"is at most {self.limit / timedelta(days=1):g} d away")

    def interval(self, asked: float) -> tuple[float, float]:
        days = self.limit / timedelta(days=1) + _RESOLUTION
        return asked - days, asked + days

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        limit = self.limit / timedelta(days=1)
        over = abs(record[self.time] - parameters["time"]) - limit
        unseen = over < (0.05 if limit + over >= 1 else 0.0005)  # in what is shown of the time itself
        return f"limit {limit:g} d" + (f", exceeded by {over * DAY_MS / 1000:.3g} s" if unseen else "")


@dataclass(frozen=True)
class NeverAcross(Limit):
    """On the frame's side of every boundary; a boundary belongs to what begins at it.

    Attributes
    ----------
    is_beside_interval : bool
        Whether calibrations are told with an interval, so that a reason names the time that was compared.
    """

    time: str
    boundaries: tuple[float, ...]
    is_beside_interval: bool = False

    setting = "never_across"

    @kept_property
    def _starts(self) -> tuple[float, ...]:
        """First times after each boundary."""
        return tuple([boundary - SAME for boundary in self.boundaries])

    @property
    def rule(self) -> str:
        return self.setting

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[Self]:
        boundaries = tuple(map(float, rule.never_across))
        return (cls(rule.time, boundaries, bool(rule.validity)),) if boundaries else ()

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:
        found: Any = declared.never_across
        if not isinstance(found, tuple | list) or not all(map(is_number, found)):
            said = f"has the never_across {shown(found)}"
            yield Fault("never_across", said, "Write a tuple of times in days, as MJD.")
            return
        for each in found:
            if not is_observed(each):
                said = f"has the boundary {each!r} in never_across, which is no time of the years 1900 to 2099"
                yield Fault("never_across", said, "Write it as MJD, which is the Julian Date less 2400000.5.")
                return
        for earlier, later in pairwise(found):
            if not earlier < later:
                said = f"has boundaries in never_across that do not ascend: {earlier:g}, {later:g}"
                yield Fault("never_across", said, "Write each once, in order of time.")
                return

    def words(self, columns: Columns) -> Iterator[Words]:
        dates, number = [*map(date_of, self.boundaries)], len(self.boundaries)
        if number == 1:
            which = f"the boundary {dates[0]}"
        elif number <= _FEW:
            which = f"the {number} boundaries {', '.join(dates)}"
        else:
            which = f"all {number} boundaries from {dates[0]} to {dates[-1]}"
        yield Words("", f"is on the frame's side of {which}")

    def interval(self, asked: float) -> tuple[float, float]:
        starts = self._starts
        place = bisect_right(starts, asked)
        first = starts[place - 1] if place else -MAX
        return first, math.nextafter(starts[place], -MAX) if place < len(starts) else MAX

    def divides(self, boundary: float, first: float, last: float) -> bool:
        """Whether a boundary lies between two times."""
        return first < boundary - SAME <= last

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        first, last = sorted((record[self.time], parameters["time"]))
        crossed = [each for each in self.boundaries if self.divides(each, first, last)]
        if self.is_beside_interval:
            return f"its {self.time} is {date_of(record[self.time])}, {self._between(crossed)}"
        return self._between(crossed)

    def _between(self, crossed: Sequence[float]) -> str:
        if len(crossed) == 1:
            return f"the boundary {date_of(crossed[0])} lies between"
        return f"{len(crossed)} boundaries lie between, the first at {date_of(crossed[0])}"
