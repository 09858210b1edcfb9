"""A condition on the distance of a calibration's value from the frame's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import BindParameter, ColumnElement, Float, bindparam

from ..instrument.orm import ORMCalibration
from .amounts import Relative
from .criterion import (
    Columns,
    Condition,
    Fault,
    Parameters,
    Words,
    has,
    holds_numbers,
    is_number,
    not_a_mapping,
    unit_of,
)

if TYPE_CHECKING:
    from .frame import Frame
    from .rule import Declared, Rule

#: Part of the larger value by which a tolerance is exceeded without harm.
_RESOLUTION = 1e-9


@dataclass(frozen=True)
class Within(Condition):
    """Not farther from the frame's value than a tolerance, inclusive to one part in 10^9 of the larger value.

    Attributes
    ----------
    column : str
    tolerance : float or Relative
        In the column's unit, or as a fraction of the frame's value.
    """

    column: str
    tolerance: Any

    setting = "within"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return [cls(name, tolerance) for name, tolerance in rule.within]

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:
        unusable = list(not_a_mapping(declared, "within"))
        yield from unusable
        for name, tolerance in () if unusable else declared.within.items():
            amount = tolerance.fraction if isinstance(tolerance, Relative) else tolerance
            if not is_number(amount) or amount < 0:
                said = f"has the tolerance {tolerance!r} of {name}"
                yield Fault("within", said, "Write a number of its unit, or relative(0.1) for 10 % of the frame's.")
            elif isinstance(tolerance, Relative) and amount > 1:
                said = f"has the tolerance {tolerance!r} of {name}, which is {100 * amount:g} %"
                yield Fault("within", said, "Write the fraction: relative(0.3) is 30 % of the frame's.")
            elif name in (declared.match or ()):
                said = f"has a tolerance of {name}, which is in its match too"
                yield Fault("within", said, "Leave it out of one of them.")

    def faults(self, orm_class: type[ORMCalibration]) -> Iterator[Fault]:
        unknown = list(super().faults(orm_class))
        yield from unknown
        if not unknown and not holds_numbers(orm_class.table().c[self.column]):
            yield Fault("within", f"has a tolerance of {self.column}, which holds no numbers", "Use match for text.")

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        return columns[self.column].between(self._bound("low"), self._bound("high"))

    def parameters(self, frame: Frame) -> Parameters:
        asked = [float(value) for value in frame.each(self.column)]
        bounds = [self.reach(each) for each in asked]
        low, high = max(first for first, _ in bounds), min(last for _, last in bounds)
        return {self._name: sum(asked) / len(asked), f"{self._name}_low": low, f"{self._name}_high": high}

    def reach(self, asked: float) -> tuple[float, float]:
        """Lowest and highest value that are within the tolerance of a frame's."""
        return _bounds(asked, self._amount(asked))

    def words(self, columns: Columns) -> Iterator[Words]:
        if isinstance(self.tolerance, Relative):
            amount = f"{100 * self.tolerance.fraction:g} %"
        else:
            amount = f"{self.tolerance:g}{unit_of(columns[self.column])}"
        yield Words(self.column, f"within {amount} of the frame's")

    def asked(self, parameters: Parameters) -> Parameters:
        return {self.column: parameters[self._name]}

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        found, asked = record[self.column], parameters[self._name]
        unit = unit_of(record.table().c[self.column])
        amount = f"{_written(asked)} \u00b1 {_written(self._amount(asked))}{unit}"
        if found is None:
            return f"{has(record, self.column)}, the frame's is {amount}"
        return f"its {self.column} is {_written(found)}{unit}, the frame's is {amount}"

    @property
    def _name(self) -> str:
        return f"within_{self.column}"

    def _bound(self, end: str) -> BindParameter[float]:
        return bindparam(f"{self._name}_{end}", None, type_=Float())

    def _amount(self, asked: float) -> float:
        if isinstance(self.tolerance, Relative):
            return abs(asked) * self.tolerance.fraction
        return float(self.tolerance)


def _written(value: Any) -> str:
    """Give a value with as many digits as tell it from one beyond a tolerance, not those of its binary form."""
    return f"{value:.10g}" if is_number(value) else str(value)


def _bounds(asked: float, tolerance: float) -> tuple[float, float]:
    """Give the lowest and the highest value that are within a tolerance of the asked one."""
    return -_highest(-asked, tolerance), _highest(asked, tolerance)


def _highest(asked: float, tolerance: float) -> float:
    """Give the highest x for which x - asked <= tolerance + resolution * max(abs(x), abs(asked))."""
    highest = asked + tolerance
    if abs(highest) <= abs(asked):
        return highest + _RESOLUTION * abs(asked)
    return highest / (1 - _RESOLUTION)
