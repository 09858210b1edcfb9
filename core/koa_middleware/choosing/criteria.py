"""All that a selector declares, as criteria: the one list of their kinds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..instrument.orm import ORMCalibration
from .conditions import Equal, EqualIfKnown, NotBad, NotItself, OfType, Required, names_of
from .criterion import Criterion, Fault
from .frame import own_values
from .limits import Direction, Finite, MaxAge

if TYPE_CHECKING:
    from .selector import CalibrationSelector

#: In the order in which an explanation asks them, of the records of the type.
KINDS: tuple[type[Criterion], ...] = (
    OfType,
    NotItself,
    Finite,
    Equal,
    EqualIfKnown,
    Required,
    NotBad,
    Direction,
    MaxAge,
)


def criteria_of(selector: CalibrationSelector) -> tuple[Criterion, ...]:
    """All criteria that a selector declares."""
    return tuple(criterion for kind in KINDS for criterion in kind.declared(selector))


def misdeclared(selector: CalibrationSelector) -> list[Fault]:
    """Faults of a selector's settings that show without an instrument's class."""
    return [fault for kind in KINDS for fault in kind.misdeclared(selector)]


def faults(selector: CalibrationSelector, orm_class: type[ORMCalibration]) -> list[Fault]:
    """All faults of a selector's settings, for an instrument's class."""
    return misdeclared(selector) or [
        fault for criterion in criteria_of(selector) for fault in criterion.faults(orm_class)
    ]


def may_be_chosen(record: Any, frame: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Whether this is a record that was not flagged as bad, and not that of the frame itself."""
    if not isinstance(record, ORMCalibration) or not NotBad.test(record.quality):
        return False
    return not (("id" in frame or "filename" in frame) and is_itself(record, frame))


def is_itself(record: ORMCalibration, frame: Mapping[str, Any]) -> bool:
    """Whether a record is that of a frame."""
    own = own_values(frame)
    return record.id == own["own_id"] or record.filename in names_of(own["own_filename"])
