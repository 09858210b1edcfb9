"""What a condition on calibrations is.

The statement that picks, the explanation that says why a record was refused, the checks of what a plugin declares and
the check of its indexes all read criteria; no rule is written anywhere else.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sqlalchemy import Column, ColumnElement, Float, Integer, Numeric, bindparam, false, func, not_

from ..instrument.orm import ORMCalibration
from ..instrument.plain import article, brief, is_text, shown
from .amounts import Unchanged

if TYPE_CHECKING:
    from .frame import Frame
    from .rule import Declared, Rule

Columns = Mapping[str, Column[Any]]
Parameters = Mapping[str, Any]


class Fault(NamedTuple):
    """What an author misdeclared.

    Attributes
    ----------
    setting : str
    said : str
        What the selector does wrong: the rest of a sentence that begins with its name.
    hint : str
    """

    setting: str
    said: str
    hint: str


class Words(NamedTuple):
    """A part of a rule, as it is told of a calibration: "its `of` is `said`", or "it `said`" of the whole.

    Attributes
    ----------
    of : str
        The column that it is about, or empty.
    said : str
    """

    of: str
    said: str


class Criterion(ABC):
    """One condition on a calibration. Equal ones are the same condition.

    Attributes
    ----------
    setting : str
        The selector's attribute that declares it; empty where it always holds.
    binds_all : bool
        Whether it holds also of what a plugin's own `get_candidates` admits.
    by_time : bool
        Whether it compares the frame's time, so that a calibration `serves` some times of frames and others not.
    """

    setting: str
    binds_all = False
    by_time = False

    @classmethod
    @abstractmethod
    def declared(cls, rule: Rule) -> Iterable[Criterion]:
        """Criteria of this kind that a rule holds."""

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:  # noqa: ARG003
        """Faults of the settings that show without an instrument's class."""
        yield from ()

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns that it needs."""

    @property
    def rule(self) -> str:
        """Its name in explanations."""
        return self.columns[0]

    def faults(self, orm_class: type[ORMCalibration]) -> Iterator[Fault]:
        """Faults that show beside an instrument's class."""
        known = orm_class.column_names()
        for name in self.columns:
            if name not in known:
                yield Fault(
                    self.setting,
                    f"names the column {name}, which {orm_class.__name__} does not have",
                    f"Its columns are {', '.join(known)}.",
                )

    @abstractmethod
    def holds(self, columns: Columns) -> ColumnElement[bool]:
        """Clause that is true of the records that fit; its parameters are those of a `Plan`, and `bounds`."""

    def refuses(self, columns: Columns) -> ColumnElement[bool]:
        """Clause that is true of all other records, also where a null leaves `holds` undecided."""
        return not_(func.coalesce(self.holds(columns), false()))

    def bounds(self, parameters: Parameters) -> Parameters:  # noqa: ARG002
        """Parameters of `holds` beyond those of a `Plan`, which are given."""
        return {}

    def serves(self, found: Mapping[str, Any]) -> tuple[float, float]:  # noqa: ARG002
        """First and last time of a frame, in days, that a calibration with some values fits, both inclusive."""
        return -math.inf, math.inf

    @abstractmethod
    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        """Why a record is refused, in words."""

    def words(self, columns: Columns) -> Iterator[Words]:  # noqa: ARG002
        """What it asks of a calibration, in words; nothing where that holds of every rule."""
        yield from ()


class Condition(Criterion):
    """A condition whose clause is the same for all frames: their values are its bound parameters.

    Attributes
    ----------
    probed : bool
        Whether an index must find its column by equality.
    """

    probed = False

    @abstractmethod
    def clause(self, columns: Columns) -> ColumnElement[bool]:
        """Clause that is true of the records that fit."""

    def parameters(self, frame: Frame) -> Parameters:  # noqa: ARG002
        """Values of the bound parameters for a frame.

        Raises
        ------
        HeaderError
            When the frame lacks one.
        """
        return {}

    def asked(self, parameters: Parameters) -> Parameters:  # noqa: ARG002
        """The frame's values that are compared, by column, for messages."""
        return {}

    def in_statement(self) -> Condition:
        """Give the condition that stands for this one in a statement; those with the same clause share one."""
        return self

    def holds(self, columns: Columns) -> ColumnElement[bool]:  # noqa: D102
        return self.clause(columns)


class Limit(Criterion):
    """A condition on the time alone: an interval around the frame's.

    Attributes
    ----------
    time : str
        The column by which the selector measures time.
    """

    time: str

    by_time = True

    @abstractmethod
    def interval(self, asked: float) -> tuple[float, float]:
        """First and last time that fit a frame at `asked`, in days, both inclusive."""

    def serves(self, found: Mapping[str, Any]) -> tuple[float, float]:
        """First and last time of a frame; those that the calibration's own time fits, where both sides are alike."""
        return self.interval(found[self.time])

    @property
    def columns(self) -> tuple[str, ...]:  # noqa: D102
        return (self.time,)

    def holds(self, columns: Columns) -> ColumnElement[bool]:  # noqa: D102
        first, last = (bindparam(name, None, type_=Float()) for name in self._names)
        return columns[self.time].between(first, last)

    def bounds(self, parameters: Parameters) -> Parameters:  # noqa: D102
        return dict(zip(self._names, self.interval(parameters["time"]), strict=True))

    @property
    def _names(self) -> tuple[str, str]:
        return f"first_by_{self.setting}", f"last_by_{self.setting}"


def not_text(declared: Declared, setting: str) -> Iterator[Fault]:
    """Fault of a setting that should be text and is not."""
    found = getattr(declared, setting)
    if not is_text(found):
        yield Fault(setting, f"has the {setting} {shown(found)}", "Write it as text.")


def not_names(declared: Declared, setting: str) -> Iterator[Fault]:
    """Fault of a setting that should be a tuple of column names, or a list or a set, and is not."""
    found = getattr(declared, setting)
    if isinstance(found, str):
        yield Fault(setting, f"has text as its {setting}", f"Write ({found!r},), a tuple.")
    elif not isinstance(found, tuple | list | set | frozenset):
        yield Fault(setting, f"has a {setting} of the type {type(found).__name__}", "Write a tuple of column names.")
    elif not all(isinstance(name, str) for name in found):
        yield Fault(setting, f"has the {setting} {shown(found)}", "Write a tuple of column names.")


def not_a_mapping(declared: Declared, setting: str) -> Iterator[Fault]:
    """Fault of a setting that should be a dict of columns, and is not."""
    found = getattr(declared, setting)
    if not isinstance(found, dict | MappingProxyType):
        hint = "Write a dict of columns to values."
        yield Fault(setting, f"has {article(setting)} {setting} of the type {type(found).__name__}", hint)
    elif not all(isinstance(name, str) for name in found):
        yield Fault(setting, f"has the {setting} {shown(found)}", "Its keys are names of columns.")


def has(record: ORMCalibration, column: str) -> str:
    """Say which value a record has: "its lamp is thar", or "it has no lamp"."""
    value = record[column]
    return f"it has no {column}" if value is None else f"its {column} is {brief(value)}"


def is_number(value: Any) -> bool:
    """Whether this is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def holds_numbers(column: Column[Any]) -> bool:
    """Whether a column holds numbers that can be told apart by their distance."""
    return isinstance(column.type, Float | Numeric | Integer)


def not_of_days(column: Column[Any]) -> str | None:
    """Say why a column cannot hold times in days; None where it can."""
    if not holds_numbers(column):
        return "which holds no numbers"
    unit = column.info.get("unit", "d")
    return None if unit in _DAYS else f"which is in {unit}"


def unit_of(column: Column[Any]) -> str:
    """Give what follows a value of a column in a text: a blank and its unit, where it has one."""
    unit = column.info.get("unit", "")
    return f" {unit}" if unit else ""


#: Units in which a column of times may be declared.
_DAYS = ("d", "day", "days")

#: Types of which equal values have the same text.
_PLAIN = frozenset({bool, int, timedelta, Unchanged})

#: Values of which it pays to find out that all are of one type.
_MANY = 8


@lru_cache(maxsize=64)
def _fields_of(kind: Any) -> tuple[str, ...]:
    """Names of the fields of a dataclass, looked up once for all selections; none of another type."""
    return tuple(each.name for each in fields(kind)) if is_dataclass(kind) else ()


def frozen(setting: Any) -> Hashable:
    """Give what stands for a setting in a comparison: equal only where values, their types and their text are."""
    kind = type(setting)
    if kind is str or setting is None:
        return cast(Hashable, setting)
    if kind in _PLAIN:
        return kind, setting
    if kind is tuple or kind is list:
        if len(setting) > _MANY and set(map(type, setting)) == {float}:  # as of boundaries, of which there are hundreds
            return float, tuple(setting)
        return tuple([each if type(each) is str else frozen(each) for each in setting])
    if isinstance(setting, dict | MappingProxyType):
        return dict, *setting, *[frozen(value) for value in setting.values()]
    if isinstance(setting, set | frozenset):
        return frozenset(map(frozen, setting))
    if names := _fields_of(cast(Hashable, kind)):
        return kind, tuple([frozen(getattr(setting, name)) for name in names])
    return (kind, str(setting), setting) if isinstance(setting, Hashable) else (kind, repr(setting))
