"""The statement that picks the best calibration, made of a selector's criteria.

It finds the nearest earlier and the nearest later admissible time by probes of an index on (cal_type, compared
columns, time), then takes the rows at those times, to the millisecond. Its cost does not depend on the size of the
table; ``ORDER BY abs(time - x)`` would read it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, bindparam, func, select

from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration
from .conditions import OfType
from .criterion import Condition, Criterion, Limit
from .frame import Frame
from .limits import MAX, SAME
from .order import order_by

if TYPE_CHECKING:
    from .selector import Database


class Plan:
    """Prepared statements of a selector's criteria on a table.

    Parameters
    ----------
    orm_class : type
    criteria : tuple of Criterion
        They must be without faults beside that class.
    time : str
        The column by which near is measured, in days.

    Attributes
    ----------
    nearest, candidates : sqlalchemy statements
        The one best record; all admissible ones, best first. Their parameters come from `parameters`.
    """

    def __init__(self, orm_class: type[ORMCalibration], criteria: tuple[Criterion, ...], time: str) -> None:
        self.orm_class = orm_class
        self.criteria = criteria
        self.time = time
        self.columns = dict(orm_class.table().c.items())
        self.conditions = tuple(each for each in criteria if isinstance(each, Condition))
        self.of_type = next(each for each in self.conditions if isinstance(each, OfType))
        self._limits = tuple(each for each in criteria if isinstance(each, Limit))
        self._asking = tuple(each for each in self.conditions if type(each).parameters is not Condition.parameters)
        in_statement = tuple(condition.in_statement() for condition in self.conditions)
        self.nearest, self.candidates = _statements(orm_class, in_statement, time)

    @property
    def probed(self) -> tuple[str, ...]:
        """Columns that an index must find by equality."""
        return tuple(name for condition in self.conditions if condition.probed for name in condition.columns)

    def time_of(self, frame: Mapping[str, Any]) -> float:
        """Time of a frame, in days.

        Raises
        ------
        HeaderError
            When it has none.
        """
        return Frame(self.orm_class, self.columns, frame, self.of_type.cal_type).time(self.time)

    def parameters(self, frame: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of the statements for a frame's column values.

        Returns
        -------
        dict
            Those of the conditions; ``time``, ``earliest`` and ``latest`` in days.

        Raises
        ------
        HeaderError
            When the frame lacks a value that is compared.
        """
        values = Frame(self.orm_class, self.columns, frame, self.of_type.cal_type)
        parameters: dict[str, Any] = {}
        for condition in self._asking:
            parameters |= condition.parameters(values)
        time = values.time(self.time)
        earliest, latest = -MAX, MAX
        for limit in self._limits:
            first, last = limit.interval(time)
            earliest, latest = max(earliest, first), min(latest, last)
        parameters |= {"time": time, "earliest": earliest, "latest": latest}
        return parameters

    def asked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Give the values by which a frame is compared, for messages."""
        asked: dict[str, Any] = {}
        for condition in self.conditions:
            asked |= condition.asked(parameters)
        return asked | {self.time: parameters["time"]}


def fetch(db: Database, statement: Select[Any], parameters: Mapping[str, Any]) -> list[ORMCalibration]:
    """Give the records of a statement; by the database's own short way where it has one."""
    short_way = getattr(db, "fetch", None)
    if short_way is not None:
        records: list[ORMCalibration] = short_way(statement, parameters)
        return records
    with db.session_manager() as session:
        build = record_builder(db.orm_class)
        return [build(row) for row in session.execute(statement, dict(parameters))]


@lru_cache(maxsize=512)
def _statements(
    orm_class: type[ORMCalibration], conditions: tuple[Condition, ...], time: str
) -> tuple[Select[Any], Select[Any]]:
    table, columns = orm_class.table(), dict(orm_class.table().c.items())
    when = columns[time]
    admits = [condition.clause(columns) for condition in conditions]
    asked, earliest, latest = (bindparam(name, None, type_=when.type) for name in ("time", "earliest", "latest"))
    earlier = select(when).where(*admits, when.between(earliest, asked)).order_by(when.desc()).limit(1)
    later = select(when).where(*admits, when.between(asked, latest)).order_by(when).limit(1)
    order = order_by(columns, time, asked)
    first = func.coalesce(earlier.scalar_subquery() - 2 * SAME, asked)
    last = func.coalesce(later.scalar_subquery() + 2 * SAME, asked)
    at_those = when.between(first, last), (when + 0.0).between(earliest, latest)  # the sum keeps the index to the first
    nearest = select(table).where(*admits, *at_those).order_by(*order).limit(1)
    return nearest, select(table).where(*admits, when.between(earliest, latest)).order_by(*order)
