"""Conditions on a column's value, whatever the frame's is: what is required, and what is excluded."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Column, ColumnElement, and_, not_, or_

from ..exceptions import HeaderError
from ..instrument.forms import is_mjd
from ..instrument.orm import ORMCalibration
from ..instrument.plain import is_text, shown
from ..instrument.times import is_observed
from ..instrument.values import normal_form
from .amounts import Range
from .criterion import (
    Columns,
    Condition,
    Criterion,
    Fault,
    Parameters,
    Words,
    frozen,
    has,
    holds_numbers,
    is_number,
    not_a_mapping,
    unit_of,
)

if TYPE_CHECKING:
    from .rule import Declared, Rule

#: The largest whole number that a database holds.
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class _Valued(Condition):
    """What a column's value is, or is not: one of some values, or within a range. 1 and True are two in text."""

    column: str
    wanted: Any = field(compare=False)
    typed: Hashable

    verb = ""

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:
        unusable = list(not_a_mapping(declared, cls.setting))
        yield from unusable
        for name, value in () if unusable else getattr(declared, cls.setting).items():
            yield from cls._unusable(name, value)

    @classmethod
    def _unusable(cls, name: str, value: Any) -> Iterator[Fault]:
        several = _several(value)
        if isinstance(value, Range):
            bounds = value.bounds
            if not bounds or not all(map(is_number, bounds)):
                said = f"{cls.verb} {value} of {name}, whose bounds are no numbers"
                yield Fault(cls.setting, said, "Give at_least, at_most or between numbers.")
            elif not all(isinstance(each, float) or abs(each) <= _LARGEST for each in bounds):
                said = f"{cls.verb} {value} of {name}, whose bounds are larger than a database's whole numbers"
                yield Fault(cls.setting, said, "Write a smaller number, or a float.")
            elif bounds[0] > bounds[-1]:
                said = f"{cls.verb} {value} of {name}, which no value is"
                yield Fault(cls.setting, said, "Write the lower bound first.")
        elif not several:
            said = f"{cls.verb} {value!r} of {name}, which no calibration has"
            yield Fault(cls.setting, said, f"Write the values that {name} may have, or leave it out.")
        elif not all(isinstance(each, Hashable) and not isinstance(each, Range) for each in several):
            yield Fault(
                cls.setting, f"{cls.verb} {value!r} of {name}", "Write one value, a tuple of values, or a range."
            )

    def faults(self, orm_class: type[ORMCalibration]) -> Iterator[Fault]:
        unknown = list(super().faults(orm_class))
        yield from unknown
        if unknown:
            return
        column = orm_class.table().c[self.column]
        if isinstance(self.wanted, Range):
            if not holds_numbers(column):
                said = f"{self.verb} {self.wanted} of {self.column}, which holds no numbers"
                yield Fault(self.setting, said, "Write the values themselves; text has no ranges.")
            elif is_mjd(column) and not all(is_observed(each) for each in self.wanted.bounds):
                said = f"{self.verb} {self.wanted} of {self.column}, which are no times of the years 1900 to 2099"
                yield Fault(self.setting, said, "Write them as MJD, which is the Julian Date less 2400000.5.")
            return
        for value in _several(self.wanted):
            yield from self._not_held(column, value)

    def _not_held(self, column: Column[Any], value: Any) -> Iterator[Fault]:
        try:
            form = normal_form(column, value, "the selector")
        except HeaderError as error:
            said = f"{self.verb} {value!r} of {self.column}, which the column cannot hold ({error.__cause__})"
            yield Fault(self.setting, said, "Write a value that it can hold.")
            return
        if isinstance(form, str) and not is_text(form):
            said = f"{self.verb} {shown(value)} of {self.column}, which is no text"
            yield Fault(self.setting, said, "Write it anew.")
        if form is None and value is not None:
            said = f"{self.verb} {value!r} of {self.column}, where it means that there is no value"
            yield Fault(self.setting, said, "Write None for that, or a value that the column can hold.")

    def fits(self, columns: Columns) -> ColumnElement[bool]:
        """Clause that is true where the column's value is one of these."""
        column = columns[self.column]
        if isinstance(self.wanted, Range):
            bounds = []
            if self.wanted.low is not None:
                bounds.append(column >= self.wanted.low)
            if self.wanted.high is not None:
                bounds.append(column <= self.wanted.high)
            return and_(*bounds)
        forms = self._forms(columns)
        known = [value for value in forms if value is not None]
        fits: ColumnElement[bool] = column == known[0] if len(known) == 1 else column.in_(known)
        return or_(column.is_(None), fits) if None in forms else fits

    def in_words(self, columns: Columns, between: str = " or ") -> str:
        """Give what stands for the values in messages."""
        if isinstance(self.wanted, Range):
            return str(self.wanted)
        return between.join("null" if value is None else str(value) for value in self._forms(columns))

    def admits(self, value: Any, columns: Columns) -> bool:
        """Whether a value, in its normal form, is one of these."""
        if not isinstance(self.wanted, Range):
            return value in self._forms(columns)
        low, high = self.wanted.low, self.wanted.high
        return is_number(value) and (low is None or low <= value) and (high is None or value <= high)

    def listed(self, columns: Columns) -> list[Any] | None:
        """Values that are named one by one, in their normal forms; None of a range."""
        return None if isinstance(self.wanted, Range) else self._forms(columns)

    def _forms(self, columns: Columns) -> list[Any]:
        return [normal_form(columns[self.column], value, "the selector") for value in _several(self.wanted)]


@dataclass(frozen=True)
class Required(_Valued):
    """One of some values, or within a range, whatever the frame's is; of the values None is a null."""

    setting = "require"
    verb = "requires"

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return [cls(name, value, frozen(value)) for name, value in rule.require]

    @classmethod
    def _unusable(cls, name: str, value: Any) -> Iterator[Fault]:
        yield from super()._unusable(name, value)
        if name == "quality" and any(str(each).strip().upper() == "BAD" for each in _several(value)):
            said = f"requires {value!r} of quality, but what is BAD is never chosen"
            yield Fault("require", said, 'Write "GOOD", "UNKNOWN" or both, or leave quality out.')

    @property
    def is_one_value(self) -> bool:
        """Whether it is one value, which an index can find by equality."""
        return not isinstance(self.wanted, Range) and len(_several(self.wanted)) == 1

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        return self.fits(columns)

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        allowed = self.in_words(dict(record.table().c.items()))
        return f"{has(record, self.column)}, the rule requires {allowed}"

    def words(self, columns: Columns) -> Iterator[Words]:
        yield Words(self.column, f"{self.in_words(columns)}{unit_of(columns[self.column])}")


@dataclass(frozen=True)
class Excluded(_Valued):
    """None of some values, nor within a range, whatever the frame's is; a null never is."""

    setting = "exclude"
    verb = "excludes"

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return [cls(name, value, frozen(value)) for name, value in rule.exclude]

    @classmethod
    def _unusable(cls, name: str, value: Any) -> Iterator[Fault]:
        yield from super()._unusable(name, value)
        if None in _several(value):
            said = f"excludes None of {name}, but a null is never excluded"
            yield Fault("exclude", said, "Require the values that it may have.")

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        return or_(columns[self.column].is_(None), not_(self.fits(columns)))

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        refused = self.in_words(dict(record.table().c.items()))
        return f"{has(record, self.column)}, the rule excludes {refused}"

    def words(self, columns: Columns) -> Iterator[Words]:
        refused = self.in_words(columns, " nor ")
        negation = "neither" if len(_several(self.wanted)) > 1 else "not"
        yield Words(self.column, f"{negation} {refused}{unit_of(columns[self.column])}")


def contradictions(
    criteria: Iterable[Criterion], columns: Columns, possible: Mapping[str, Sequence[Any]]
) -> Iterator[Fault]:
    """Faults of what is required and excluded together, so that no value of a column is left.

    Parameters
    ----------
    criteria : iterable of Criterion
        Those of one rule, without faults of their own.
    columns : mapping
    possible : mapping
        Column to the only values that what is chosen has in it, whatever is required.
    """
    by_column: dict[str, list[_Valued]] = {}
    for each in criteria:
        if isinstance(each, _Valued):
            by_column.setdefault(each.column, []).append(each)
    for name, found in by_column.items():
        if not _leaves_a_value(found, columns, possible.get(name)):
            said = " and ".join(f"{each.verb} {each.in_words(columns)}" for each in found)
            yield Fault(found[-1].setting, f"{said} of {name}, which leaves no calibration", "Correct one of them.")


def _leaves_a_value(found: Sequence[_Valued], columns: Columns, possible: Sequence[Any] | None) -> bool:
    required = [each for each in found if isinstance(each, Required)]
    excluded = [each for each in found if isinstance(each, Excluded)]
    lists = [possible, *(each.listed(columns) for each in required)]
    values = next((each for each in lists if each is not None), None)
    if values is not None:
        return any(
            all(each.admits(value, columns) for each in required)
            and not any(each.admits(value, columns) for each in excluded)
            for value in values
        )
    lows = [each.wanted.low for each in required if each.wanted.low is not None]
    highs = [each.wanted.high for each in required if each.wanted.high is not None]
    return not lows or not highs or max(lows) <= min(highs)


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list | set | frozenset) else (value,)
