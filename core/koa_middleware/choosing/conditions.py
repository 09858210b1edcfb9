"""Conditions on columns: one class for each kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, or_

from ..disk.compression import names_of_content
from ..instrument.judged import QualityHere
from ..instrument.orm import ORMCalibration
from ..instrument.plain import brief, is_wildcard
from ..kept import kept_property
from .criterion import Columns, Condition, Fault, Parameters, Words, has, not_names, not_text
from .judged import SAID, in_words

if TYPE_CHECKING:
    from .frame import Frame
    from .rule import Declared, Rule


#: Parameters that hold the names of the frame's own file.
_OWN_NAMES = tuple(f"own_filename{number}" for number in range(len(names_of_content(""))))

#: The qualities of what may be chosen.
USABLE = ("GOOD", "UNKNOWN")


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
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return (cls(rule.cal_type),)

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:
        return not_text(declared, "cal_type")

    def faults(self, orm_class: type[ORMCalibration]) -> Iterator[Fault]:
        if self.cal_type and is_wildcard(self.cal_type):
            said = f"has the cal_type {self.cal_type!r}, which stands for none"
            yield Fault("cal_type", said, "Name the type.")
        elif self.cal_type and orm_class.cal_types and self.cal_type not in orm_class.cal_types:
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
    """A column in which a calibration is compared with the frame, or with another one."""

    column: str
    setting: str

    whose = "frame"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @kept_property
    def _name(self) -> str:
        return f"{self.setting}_{self.column}"

    def _bound(self, columns: Columns) -> BindParameter[Any]:
        return bindparam(self._name, None, type_=columns[self.column].type)

    def asked(self, parameters: Parameters) -> Parameters:
        return {self.column: parameters[self._name]}

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        asked = parameters[self._name]
        theirs = f"the {self.whose} has none" if asked is None else f"the {self.whose}'s is {brief(asked)}"
        return f"{has(record, self.column)}, {theirs}"


@dataclass(frozen=True)
class Equal(_Compared):
    """Equal in frame and calibration; the frame has the value, or the caller gives it."""

    probed = True

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return [cls(name, setting) for setting in ("match", "given") for name in getattr(rule, setting)]

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:
        yield from not_names(declared, "match")
        yield from not_names(declared, "given")
        yield from _of_one_file(declared, "match")

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        return columns[self.column] == self._bound(columns)

    def parameters(self, frame: Frame) -> Parameters:
        return {self._name: frame.needed(self.column)}

    def words(self, columns: Columns) -> Iterator[Words]:
        yield Words(self.column, "the frame's" if self.setting == "match" else "what the caller gives")


@dataclass(frozen=True)
class EqualIfKnown(_Compared):
    """Equal where frame and calibration both have a value."""

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return [cls(name, "match_if_known") for name in rule.match_if_known]

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:
        yield from not_names(declared, "match_if_known")
        yield from _of_one_file(declared, "match_if_known")

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        column, asked = columns[self.column], self._bound(columns)
        return or_(asked.is_(None), column.is_(None), column == asked)

    def parameters(self, frame: Frame) -> Parameters:
        return {self._name: frame.known(self.column)}

    def words(self, columns: Columns) -> Iterator[Words]:
        yield Words(self.column, "the frame's where both are known")


@dataclass(frozen=True)
class EqualsAnchor(_Compared):
    """Equal in the calibration and in the one that it hangs on."""

    setting: str = "match_anchor"

    whose = "anchor"
    probed = True

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return [cls(name) for name in rule.match_anchor]

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:
        yield from not_names(declared, "match_anchor")
        if declared.match_anchor and not declared.anchor:
            yield Fault("match_anchor", "has a match_anchor and no anchor", "Name the anchor's type, or leave it out.")

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        return columns[self.column] == self._bound(columns)

    def parameters(self, frame: Frame) -> Parameters:
        return {self._name: frame.anchored(self.column)}

    def words(self, columns: Columns) -> Iterator[Words]:
        yield Words(self.column, "the anchor's")


@dataclass(frozen=True)
class OfPair(_Compared):
    """Equal in both of a pair; the value is that of the pair."""

    setting: str = "same"

    whose = "pair"

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return ()

    @classmethod
    def misdeclared(cls, declared: Declared) -> Iterator[Fault]:
        yield from not_names(declared, "same")
        if declared.same and declared.validity:
            yield Fault("same", "has a same beside a validity, of which there are no pairs", "Leave one of them out.")

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        return columns[self.column].is_not_distinct_from(self._bound(columns))

    def parameters(self, frame: Frame) -> Parameters:
        return {}

    def asked(self, parameters: Parameters) -> Parameters:
        return {f"{self.column} of the pair": parameters[self._name]}

    def of_value(self, value: Any) -> Parameters:
        """Give the parameter for a pair's value."""
        return {self._name: value}


@dataclass(frozen=True)
class NotBad(Condition):
    """Of a quality that may be chosen, by what was judged here, or, where nothing was, by what the row says."""

    setting = ""
    binds_all = True

    @property
    def columns(self) -> tuple[str, ...]:
        return ("quality", "id")

    @staticmethod
    def test(quality: Any) -> bool:
        """Whether a calibration of this quality may be chosen: only of a word that says so."""
        return quality in USABLE

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[Self]:
        return (cls(),)

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        return QualityHere(columns["id"], columns["quality"]).in_(USABLE)

    def reason(self, record: ORMCalibration, parameters: Parameters) -> str:
        return f"its quality is {in_words(parameters.get(SAID, {}).get(record.id), record.quality)}"


@dataclass(frozen=True)
class NotItself(Condition):
    """Another calibration than the frame, which is known by its id and its file's name, compressed or not."""

    setting = ""
    binds_all = True
    rule = "itself"

    @property
    def columns(self) -> tuple[str, ...]:
        return ("id", "filename")

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[Self]:
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


def _of_one_file(declared: Declared, setting: str) -> Iterator[Fault]:
    """Fault of a setting that compares what no two files share."""
    compared = getattr(declared, setting)
    for name in ("id", "filename"):
        if isinstance(compared, tuple | list | set | frozenset) and name in compared:
            said = f"has {name} in its {setting}, in which no two files are equal"
            yield Fault(setting, said, "Leave it out.")


@lru_cache(maxsize=64)  # a frame is asked for each type
def names_of(own_filename: str | None) -> tuple[str, ...]:
    """Give the names that a frame's file may have, compressed or not; empty ones where it has none."""
    return ("",) * len(_OWN_NAMES) if own_filename is None else names_of_content(own_filename)


@lru_cache(maxsize=64)
def _named(own_filename: str | None) -> Parameters:
    return dict(zip(_OWN_NAMES, names_of(own_filename), strict=True))
