"""A condition on the interval for which a calibration is valid, in the place of nearness in time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import BindParameter, ColumnElement, Float, and_, bindparam, or_

from ..instrument.orm import ORMCalibration
from ..instrument.plain import shown
from .criterion import Columns, Condition, Fault, Parameters, Words, not_of_days
from .limits import MAX, SAME, date_of

if TYPE_CHECKING:
    from .frame import Frame
    from .rule import Declared, Rule


@dataclass(frozen=True)
class ValidAt(Condition):
    """Valid at the frame's time: from its start on, before its end; a null is open.

    Attributes
    ----------
    start : str
        Column of the start, in days.
    end : str or None
        Column of the end; None: until the next one begins.
    time : str
        The column by which the frame's time is measured.
    """

    start: str
    end: str | None
    time: str

    setting = "validity"
    by_time = True

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.start,) if self.end is None else (self.start, self.end)

    @property
    def rule(self) -> str:
        return self.setting

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return (cls(*rule.validity, rule.time),) if rule.validity else ()

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:
        found: Any = declared.validity
        if found is None:
            return
        hint = 'Write two columns, such as ("valid_from", "valid_to"), or ("valid_from", None).'
        is_pair = isinstance(found, tuple | list) and len(found) == 2
        if not is_pair or not isinstance(found[0], str) or not isinstance(found[1], str | None):
            yield Fault("validity", f"has the validity {shown(found)}", hint)
        elif found[0] == found[1]:
            yield Fault("validity", f"has the start {found[0]} as the end of its validity too", hint)

    def faults(self, orm_class: type[ORMCalibration]) -> Iterator[Fault]:
        unknown = list(super().faults(orm_class))
        yield from unknown
        for name in () if unknown else self.columns:
            why = not_of_days(orm_class.table().c[name])
            if why is not None:
                yield Fault("validity", f"has a validity by {name}, {why}", "Name a column of days.")

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        start = columns[self.start]
        begun = or_(start.is_(None), start <= self._now())
        if self.end is None:
            return begun
        end = columns[self.end]
        return and_(begun, or_(end.is_(None), end > self._now()))

    def parameters(self, frame: Frame) -> Parameters:
        return {"valid_at": frame.own_time(self.time) + SAME}

    def serves(self, found: Mapping[str, Any]) -> tuple[float, float]:
        start, end = found[self.start], None if self.end is None else found[self.end]
        first = -MAX if start is None else start - SAME
        return first, MAX if end is None else math.nextafter(end - SAME, -MAX)

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        return f"not at the frame's time, {date_of(parameters['valid_at'])}"

    def interval_of(self, record: ORMCalibration) -> str:
        """Give the interval of a calibration in words."""
        start, end = (None if name is None else record[name] for name in (self.start, self.end))
        if end is None:
            return "always valid" if start is None else f"valid from {date_of(start)} on"
        return f"valid until {date_of(end)}" if start is None else f"valid {date_of(start)} to {date_of(end)}"

    def words(self, columns: Columns) -> Iterator[Words]:
        end = "until the next one begins" if self.end is None else f"before its {self.end}"
        yield Words("", f"is valid at the frame's time: from its {self.start} on, {end}")

    @staticmethod
    def _now() -> BindParameter[float]:
        return bindparam("valid_at", None, type_=Float())
