"""All that a selector declares, as criteria: the one list of their kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from ..instrument.door import columns_of
from ..instrument.orm import ORMCalibration
from ..instrument.plain import shown
from .amounts import Step, Unchanged
from .cases import every_case, faulty_cases, misdeclared_cases
from .conditions import USABLE, Equal, EqualIfKnown, EqualsAnchor, NotBad, NotItself, OfPair, OfType, names_of
from .criterion import Criterion, Fault, not_text
from .frame import own_values
from .judged import qualities_of
from .limits import Direction, Finite, MaxAge, NeverAcross
from .required import Excluded, Required, contradictions
from .rule import Declared, Rule, rules_of
from .validity import ValidAt
from .within import Within

if TYPE_CHECKING:
    from .selector import Database

R = TypeVar("R", bound=ORMCalibration)

#: In the order in which an explanation asks them, of the records of the type.
KINDS: tuple[type[Criterion], ...] = (
    OfType,
    NotItself,
    Finite,
    Equal,
    EqualIfKnown,
    EqualsAnchor,
    Required,
    Excluded,
    Within,
    ValidAt,
    NotBad,
    Direction,
    NeverAcross,
    MaxAge,
)


def criteria_of(rule: Rule) -> tuple[Criterion, ...]:
    """All criteria of a rule."""
    return tuple(criterion for kind in KINDS for criterion in kind.declared(rule))


def misdeclared(settings: Mapping[str, Any]) -> list[Fault]:
    """Faults of a selector's settings that show without an instrument's class."""
    found = list(misdeclared_cases(settings))
    for declared in () if found else every_case(settings):
        kinds: tuple[type[Criterion], ...] = (*KINDS, OfPair)
        found += [fault for kind in kinds for fault in kind.misdeclared(declared)]
        found += _misdeclared_anchor(declared)
        found += _misdeclared_steps(declared)
    return list(dict.fromkeys(found))


def faults(settings: Mapping[str, Any], orm_class: type[ORMCalibration]) -> list[Fault]:
    """All faults of a selector's settings, for an instrument's class."""
    found = misdeclared(settings) or list(faulty_cases(settings, orm_class))
    for declared in () if found else every_case(settings):
        for rule in rules_of(declared):
            criteria = *criteria_of(rule), *map(OfPair, rule.same)
            found += [fault for criterion in criteria for fault in criterion.faults(orm_class)]
            if not found:
                possible = {"cal_type": (rule.cal_type,), "quality": USABLE}
                found += contradictions(criteria, columns_of(orm_class), possible)
    return list(dict.fromkeys(found))


def _misdeclared_anchor(declared: Declared) -> Iterator[Fault]:
    if declared.anchor is not None:
        yield from not_text(declared, "anchor")


def _misdeclared_steps(declared: Declared) -> Iterator[Fault]:
    found: Any = declared.prefer
    if not isinstance(found, tuple | list) or not all(isinstance(step, Step) for step in found):
        yield Fault("prefer", f"has the prefer {shown(found)}", "Write a tuple of Step(...), in order of preference.")
        return
    for number, step in enumerate(found, 1):
        replaced = {name: value for name, value in vars(step).items() if not isinstance(value, Unchanged)}
        whole: Any = SimpleNamespace(**{**vars(declared), **replaced})
        for kind in (Required, Within, MaxAge, Direction):
            for fault in kind.misdeclared(whole) if kind.setting in replaced else ():
                yield Fault("prefer", f"in its step {number} {fault.said}", fault.hint)
        if step.direction == "bracket":
            hint = "Set the direction of the selector; a step limits one side."
            yield Fault("prefer", f"in its step {number} has the direction bracket", hint)


def may_be_chosen(record: Any, db: Database, frame: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Whether this is a record that is not bad, by this database, and not that of the frame itself."""
    if not isinstance(record, ORMCalibration) or is_itself(record, frame):
        return False
    return bool(not_bad([record], db))


def not_bad(records: Sequence[R], db: Database) -> list[R]:
    """Give those of some records that are not bad, by a database."""
    qualities = qualities_of(records, db)
    return [record for record, quality in zip(records, qualities, strict=True) if NotBad.test(quality)]


def is_itself(record: ORMCalibration, frame: Mapping[str, Any]) -> bool:
    """Whether a record is that of a frame."""
    if "id" not in frame and "filename" not in frame:
        return False
    own = own_values(frame)
    return record.id == own["own_id"] or record.filename in names_of(own["own_filename"])
