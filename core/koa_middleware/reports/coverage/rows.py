"""The calibrations that fit a frame's values, whenever it is taken, by each step of a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, select

from ...choosing.answering import Ask
from ...choosing.asking import run
from ...choosing.conditions import EqualsAnchor, NotBad
from ...choosing.criterion import Condition
from ...choosing.frame import Frame
from ...choosing.limits import Finite
from ...choosing.statement import Plan
from ...instrument.door import columns_of
from ...instrument.judged import QualityHere
from ...instrument.orm import ORMCalibration

if TYPE_CHECKING:
    from ...choosing.selector import Database

Row = Mapping[str, Any]

#: First and last time of frames, in days, that a row serves.
Served = tuple[float, float, Row]

#: What is told of each calibration.
_TOLD = ("id", "filename", "datetime_obs", "quality")


class Rows:
    """Reads rows for frames' values; the same ones once.

    Parameters
    ----------
    db : Database
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._read: dict[tuple[Any, ...], list[Row]] = {}
        self._served: dict[int, list[Served]] = {}

    def of(self, plan: Plan, frame: Frame, also: tuple[str, ...] = ()) -> list[Row]:
        """Give the rows of a plan that fit a frame but for its time, its anchor, and their quality.

        Parameters
        ----------
        plan : Plan
        frame : Frame
        also : tuple of str
            Columns that are wanted besides those which the plan looks at.

        Raises
        ------
        HeaderError
            When the frame lacks a value that is compared.
        """
        conditions = [each for each in plan.conditions if not is_asked_later(each)]
        parameters: dict[str, Any] = {}
        for condition in conditions:
            parameters |= condition.parameters(frame)
        key = plan, also, tuple(parameters.values())
        if key not in self._read:
            shared = tuple(each.in_statement() for each in conditions)
            names, statement = _statement(plan.orm_class, shared, _needed(plan, also))
            found = run(self._db, Ask(statement, parameters, rows=True))
            self._read[key] = [dict(zip(names, row, strict=True)) for row in found]
        return self._read[key]

    def served(self, plan: Plan, rows: list[Row]) -> list[Served]:
        """Give what those rows of a plan serve whose quality may be chosen; `rows` come from `of`."""
        if id(rows) not in self._served:  # which are kept as long as this is
            found = ((served_by(plan, row), row) for row in usable(rows))
            self._served[id(rows)] = [(*served, row) for served, row in found if served is not None]
        return self._served[id(rows)]


def is_asked_later(condition: Condition) -> bool:
    """Whether a condition is about a frame's time, its anchor, or the quality, of which records are told too."""
    return condition.by_time or isinstance(condition, EqualsAnchor | NotBad)


def usable(rows: Sequence[Row]) -> Iterator[Row]:
    """Give the rows whose quality may be chosen."""
    return (row for row in rows if NotBad.test(row["quality"]))


def served_by(plan: Plan, row: Row) -> tuple[float, float] | None:
    """First and last time of a frame, in days, that a row serves by a plan; None where there is no such time."""
    first, last = float("-inf"), float("inf")
    for criterion in plan.by_time:
        if isinstance(criterion, Finite) and not Finite.test(row[plan.time]):
            return None
        one, other = criterion.serves(row)
        first, last = max(first, one), min(last, other)
    return (first, last) if first <= last else None


def _needed(plan: Plan, also: tuple[str, ...]) -> tuple[str, ...]:
    rule = plan.rule
    validity = tuple(name for name in rule.validity or () if name)
    return tuple(dict.fromkeys((*_TOLD, rule.time, *validity, *rule.same, *rule.match_anchor, *also)))


@lru_cache(maxsize=512)
def _statement(
    orm_class: type[ORMCalibration], conditions: tuple[Condition, ...], names: tuple[str, ...]
) -> tuple[tuple[str, ...], Select[Any]]:
    columns = columns_of(orm_class)
    here = QualityHere(columns["id"], columns["quality"]).label("quality")
    wanted = [here if name == "quality" else columns[name] for name in names]
    return names, select(*wanted).where(*(each.clause(columns) for each in conditions))
