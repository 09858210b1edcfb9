"""Conditions on columns: one class for each kind."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, or_

from ..disk.compression import names_of_content
from ..exceptions import HeaderError
from ..instrument.judged import QualityHere
from ..instrument.orm import ORMCalibration
from ..instrument.plain import is_text, shown
from ..instrument.values import normal_form
from .criterion import Columns, Condition, Fault, Parameters, frozen, not_names, not_text
from .judged import SAID, in_words

if TYPE_CHECKING:
    from .frame import Frame
    from .selector import CalibrationSelector


#: Parameters that hold the names of the frame's own file.
_OWN_NAMES = tuple(f"own_filename{number}" for number in range(len(names_of_content(""))))


@dataclass(frozen=True)
class OfType(Condition):
    """Of the selector's type."""

    cal_type: str

    setting = "cal_type"
    probed = True

    @property
    def columns(self) -> tuple[str, ...]:
        return ("cal_type",)

    @classmethod
    def declared(cls, selector: CalibrationSelector) -> Iterable[Self]:
        return (cls(selector.cal_type.strip().lower()),)

    @classmethod
    def misdeclared(cls, selector: CalibrationSelector) -> Iterator[Fault]:
        return not_text(selector, "cal_type")

    def faults(self, orm_class: type[ORMCalibration]) -> Iterator[Fault]:
        if self.cal_type and orm_class.cal_types and self.cal_type not in orm_class.cal_types:
            said = f"has the cal_type {self.cal_type!r}, which {orm_class.__name__} does not have"
            yield Fault("cal_type", said, f"Its types are {', '.join(orm_class.cal_types)}.")

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        return columns["cal_type"] == bindparam("cal_type", None)

    def parameters(self, frame: Frame) -> Parameters:
        return {"cal_type": self.cal_type}

    def in_statement(self) -> OfType:
        return OfType("")

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        return f"its cal_type is {record.cal_type}"


@dataclass(frozen=True)
class _Compared(Condition):
    """A column in which frame and calibration are compared."""

    column: str
    setting: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @cached_property
    def _name(self) -> str:
        return f"{self.setting}_{self.column}"

    def _bound(self, columns: Columns) -> BindParameter[Any]:
        return bindparam(self._name, None, type_=columns[self.column].type)

    def asked(self, parameters: Parameters) -> Parameters:
        return {self.column: parameters[self._name]}

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        return f"its {self.column} is {record[self.column]}, the frame's is {parameters[self._name]}"


@dataclass(frozen=True)
class Equal(_Compared):
    """Equal in frame and calibration; the frame has the value, or the caller gives it."""

    probed = True

    @classmethod
    def declared(cls, selector: CalibrationSelector) -> Iterable[Self]:
        return [cls(name, setting) for setting in ("match", "given") for name in getattr(selector, setting)]

    @classmethod
    def misdeclared(cls, selector: CalibrationSelector) -> Iterator[Fault]:
        yield from not_names(selector, "match")
        yield from not_names(selector, "given")

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        return columns[self.column] == self._bound(columns)

    def parameters(self, frame: Frame) -> Parameters:
        return {self._name: frame.needed(self.column)}


@dataclass(frozen=True)
class EqualIfKnown(_Compared):
    """Equal where frame and calibration both have a value."""

    @classmethod
    def declared(cls, selector: CalibrationSelector) -> Iterable[Self]:
        return [cls(name, "match_if_known") for name in selector.match_if_known]

    @classmethod
    def misdeclared(cls, selector: CalibrationSelector) -> Iterator[Fault]:
        return not_names(selector, "match_if_known")

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        column, asked = columns[self.column], self._bound(columns)
        return or_(asked.is_(None), column.is_(None), column == asked)

    def parameters(self, frame: Frame) -> Parameters:
        return {self._name: frame.known(self.column)}


@dataclass(frozen=True)
class Required(Condition):
    """One of some values, whatever the frame's is: None is a null; 1 and True are two in a column of text."""

    column: str
    values: tuple[Any, ...] = field(compare=False)
    typed: Hashable

    setting = "require"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @classmethod
    def declared(cls, selector: CalibrationSelector) -> Iterable[Self]:
        return [cls(name, _several(value), frozen(value)) for name, value in selector.require.items()]

    @classmethod
    def misdeclared(cls, selector: CalibrationSelector) -> Iterator[Fault]:
        found: Any = selector.require
        if not isinstance(found, dict | MappingProxyType):
            yield Fault(
                "require", f"has a require of the type {type(found).__name__}", "Write a dict of columns to values."
            )
            return
        for name, value in found.items():
            several = _several(value)
            if not several:
                said = f"requires {value!r} of {name}, which no calibration has"
                yield Fault("require", said, f"Write the values that {name} may have, or leave it out.")
            elif not all(isinstance(each, Hashable) for each in several):
                yield Fault("require", f"requires {value!r} of {name}", "Write one value, or a tuple of values.")
            elif name == "quality" and any(str(each).strip().upper() == "BAD" for each in several):
                said = f"requires {value!r} of quality, but what is BAD is never chosen"
                yield Fault("require", said, 'Write "GOOD", "UNKNOWN" or both, or leave quality out.')

    def faults(self, orm_class: type[ORMCalibration]) -> Iterator[Fault]:
        unknown = list(super().faults(orm_class))
        yield from unknown
        for value in () if unknown else self.values:
            try:
                form = normal_form(orm_class.table().c[self.column], value, "the selector")
                if isinstance(form, str) and not is_text(form):
                    yield Fault(
                        "require", f"requires {shown(value)} of {self.column}, which is no text", "Write it anew."
                    )
                if form is None and value is not None:
                    said = f"requires {value!r} of {self.column}, where it means that there is no value"
                    yield Fault("require", said, "Write None for that, or a value that the column can hold.")
            except HeaderError as error:
                said = f"requires {value!r} of {self.column}, which the column cannot hold ({error.__cause__})"
                yield Fault("require", said, "Write a value that it can hold.")

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        column, forms = columns[self.column], self._forms(columns)
        known = [value for value in forms if value is not None]
        fits: ColumnElement[bool] = column == known[0] if len(known) == 1 else column.in_(known)
        return or_(column.is_(None), fits) if None in forms else fits

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        allowed = " or ".join(map(str, self._forms(dict(record.table().c.items()))))
        return f"its {self.column} is {record[self.column]}, the rule requires {allowed}"

    def _forms(self, columns: Columns) -> list[Any]:
        return [normal_form(columns[self.column], value, "the selector") for value in self.values]


@dataclass(frozen=True)
class NotBad(Condition):
    """Not bad by what was judged here, nor, where nothing was, by what the row says."""

    setting = ""
    binds_all = True

    @property
    def columns(self) -> tuple[str, ...]:
        return ("quality", "id")

    @staticmethod
    def test(quality: Any) -> Any:
        """Whether a calibration of this quality may be chosen; of a column, the clause that says so."""
        return quality != "BAD"

    @classmethod
    def declared(cls, selector: CalibrationSelector) -> Iterable[Self]:
        return (cls(),)

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        clause: ColumnElement[bool] = self.test(QualityHere(columns["id"], columns["quality"]))
        return clause

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        return f"its quality is {in_words(parameters.get(SAID, {}).get(record.id), record.quality)}"


@dataclass(frozen=True)
class NotItself(Condition):
    """Another calibration than the frame, which is known by its id and its file's name, compressed or not."""

    setting = ""
    binds_all = True

    @property
    def columns(self) -> tuple[str, ...]:
        return ("id", "filename")

    @property
    def rule(self) -> str:
        return "itself"

    @classmethod
    def declared(cls, selector: CalibrationSelector) -> Iterable[Self]:
        return (cls(),)

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        id_, filename = (columns[name] for name in self.columns)
        own_id, *names = (bindparam(name, None, type_=filename.type) for name in ("own_id", *_OWN_NAMES))
        return and_(id_.is_distinct_from(own_id), *(filename != name for name in names))

    def parameters(self, frame: Frame) -> Parameters:
        own = frame.itself
        return {"own_id": own["own_id"], **_named(own["own_filename"])}

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        return "it is the frame itself"


@lru_cache(maxsize=64)  # a frame is asked for each type
def names_of(own_filename: str | None) -> tuple[str, ...]:
    """Give the names that a frame's file may have, compressed or not; empty ones where it has none."""
    return ("",) * len(_OWN_NAMES) if own_filename is None else names_of_content(own_filename)


@lru_cache(maxsize=64)
def _named(own_filename: str | None) -> Parameters:
    return dict(zip(_OWN_NAMES, names_of(own_filename), strict=True))


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list | set | frozenset) else (value,)
