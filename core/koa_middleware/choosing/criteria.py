"""All that a selector declares, as criteria: the one list of their kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from ..instrument.orm import ORMCalibration
from .conditions import Equal, EqualIfKnown, NotBad, NotItself, OfType, Required, names_of
from .criterion import Criterion, Fault
from .frame import own_values
from .judged import qualities_of
from .limits import Direction, Finite, MaxAge

if TYPE_CHECKING:
    from .selector import CalibrationSelector, Database

R = TypeVar("R", bound=ORMCalibration)

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
