"""The statements that pick calibrations, made of a rule's criteria.

The nearest one is found by its earlier and later admissible neighbour in time, by probes of an index on (cal_type,
compared columns, time); then the rows at those times are taken, to the millisecond. Where a probe cannot decide, as on
a tolerance, it walks the index outwards from the frame's time. Its cost does not depend on the size of the table;
``ORDER BY abs(time - x)`` would read it all. Of intervals the latest start is found likewise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, Float, Select, bindparam, func, select

from ..instrument.detached import record_builder
from ..instrument.door import columns_of
from ..instrument.orm import ORMCalibration
from ..kept import kept_property
from .conditions import OfPair, OfType
from .criteria import criteria_of
from .criterion import Condition, Criterion, Limit
from .frame import Frame
from .limits import MAX, SAME
from .order import LATEST_START, NEAREST, TieBreaker, order_by
from .rule import Rule

if TYPE_CHECKING:
    from .selector import Database

#: Rows of each side that are read to find a pair, before all are grouped.
NEIGHBOURS = 64


class Plan:
    """Prepared statements of a rule on a table.

    Parameters
    ----------
    orm_class : type
    rule : Rule
        It must be without faults beside that class.
    of_pair : bool
        Whether the columns of its `same` must have the values of a pair, which are parameters then.

    Attributes
    ----------
    answers : tuple of sqlalchemy statements
        Asked in turn: the first one that gives a row gives the best record. Their parameters come from `parameters`.
    candidates : sqlalchemy statement
        All admissible records, best first.
    """

    def __init__(self, orm_class: type[ORMCalibration], rule: Rule, of_pair: bool = False) -> None:
        self.orm_class = orm_class
        self.rule = rule
        self.time = rule.time
        self.columns = columns_of(orm_class)
        self.pair = tuple(OfPair(name) for name in rule.same) if of_pair else ()
        self.criteria = (*criteria_of(rule), *self.pair)
        self.conditions = tuple(each for each in self.criteria if isinstance(each, Condition))
        self.of_type = next(each for each in self.conditions if isinstance(each, OfType))
        self._limits = tuple(each for each in self.criteria if isinstance(each, Limit))
        self._asking = tuple(each for each in self.conditions if type(each).parameters is not Condition.parameters)
        in_statement = tuple(condition.in_statement() for condition in self.conditions)
        if rule.validity is None:
            self.answers, self.candidates = _by_nearness(orm_class, in_statement, rule.time)
        else:
            limited = rule.time if self._limits else None
            self.answers, self.candidates = _by_start(orm_class, in_statement, rule.validity[0], limited)

    @property
    def order(self) -> tuple[tuple[TieBreaker, ...], str]:
        """The tie-breakers, and the column of the time that they go by."""
        return (NEAREST, self.time) if self.rule.validity is None else (LATEST_START, self.rule.validity[0])

    @kept_property
    def by_time(self) -> tuple[Criterion, ...]:
        """The criteria that compare the frame's time."""
        return tuple(each for each in self.criteria if each.by_time)

    @property
    def probed(self) -> tuple[str, ...]:
        """Columns that an index must find by equality."""
        return tuple(name for condition in self.conditions if condition.probed for name in condition.columns)

    @kept_property
    def for_pair(self) -> Plan:
        """The same with the values of a pair."""
        return Plan(self.orm_class, self.rule, of_pair=True)

    def parameters(self, frame: Frame) -> dict[str, Any]:
        """Parameters of the statements for a frame.

        Returns
        -------
        dict
            Those of the conditions; ``time``, ``earliest`` and ``latest`` in days, and where they cut the time that
            is probed on both sides, ``until`` and ``since``.

        Raises
        ------
        HeaderError
            When the frame lacks a value that is compared.
        """
        parameters: dict[str, Any] = {}
        for condition in self._asking:
            parameters |= condition.parameters(frame)
        is_by_interval = self.rule.validity is not None and not self._limits
        time = frame.own_time(self.time) if is_by_interval else frame.time(self.time)
        earliest, latest = -MAX, MAX
        for limit in self._limits:
            first, last = frame.interval(limit, time)
            earliest, latest = max(earliest, first), min(latest, last)
        within = min(max(time, earliest), latest)  # of several frames the middle may be outside
        return _limited(parameters, within, earliest, latest)

    def asked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Give the values by which a frame is compared, for messages."""
        asked: dict[str, Any] = {}
        for condition in self.conditions:
            asked |= condition.asked(parameters)
        return asked | {self.time: parameters["time"]}

    @kept_property
    def outwards(self) -> Mapping[str, Select[Any]]:
        """By side, time and `same` of the nearest admissible rows, the nearest first."""
        when, admits, shown = self._of_same()
        rows = select(when, *shown).where(*admits).limit(NEIGHBOURS)
        return {"before": rows.order_by(when.desc()), "after": rows.order_by(when)}

    @kept_property
    def grouped(self) -> Mapping[str, Select[Any]]:
        """By side, the nearest time for each value of `same`."""
        when, admits, shown = self._of_same()
        nearest = {"before": func.max(when), "after": func.min(when)}
        return {side: select(time, *shown).where(*admits).group_by(*shown) for side, time in nearest.items()}

    def _of_same(self) -> tuple[Column[Any], list[ColumnElement[bool]], list[Column[Any]]]:
        when = self.columns[self.time]
        earliest, latest = (bindparam(name, None, type_=when.type) for name in ("earliest", "latest"))
        admits = [condition.in_statement().clause(self.columns) for condition in self.conditions]
        return when, [*admits, when.between(earliest, latest)], [self.columns[name] for name in self.rule.same]


def until_frame(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give the parameters for what is at or before the frame."""
    time = parameters["time"]
    return _limited(parameters, time, parameters["earliest"], min(parameters["latest"], time + SAME))


def after_frame(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give the parameters for what is after the frame."""
    time = parameters["time"]
    return _limited(
        parameters, time, max(parameters["earliest"], math.nextafter(time + SAME, MAX)), parameters["latest"]
    )


def _limited(parameters: Mapping[str, Any], time: float, earliest: float, latest: float) -> dict[str, Any]:
    cut = {"until": min(time, latest), "since": max(time, earliest)}
    return {**parameters, "time": time, "earliest": earliest, "latest": latest, **cut}


def fetch(db: Database, statement: Select[Any], parameters: Mapping[str, Any]) -> list[ORMCalibration]:
    """Give the records of a statement; by the database's own short way where it has one."""
    short_way = getattr(db, "fetch", None)
    if short_way is not None:
        records: list[ORMCalibration] = short_way(statement, parameters)
        return records
    build = record_builder(db.orm_class)
    return [build(row) for row in fetch_rows(db, statement, parameters)]


def fetch_rows(db: Database, statement: Select[Any], parameters: Mapping[str, Any]) -> list[Any]:
    """Give the rows of a statement."""
    with db.session_manager() as session:
        return list(session.execute(statement, dict(parameters)))


@lru_cache(maxsize=512)
def _by_nearness(
    orm_class: type[ORMCalibration], conditions: tuple[Condition, ...], time: str
) -> tuple[tuple[Select[Any], ...], Select[Any]]:
    table, columns = orm_class.table(), columns_of(orm_class)
    when = columns[time]
    admits = [condition.clause(columns) for condition in conditions]
    names = "time", "earliest", "latest", "until", "since"
    asked, earliest, latest, until, since = (bindparam(name, None, type_=when.type) for name in names)
    earlier = select(when).where(*admits, when.between(earliest, until)).order_by(when.desc()).limit(1)
    later = select(when).where(*admits, when.between(since, latest)).order_by(when).limit(1)
    order = order_by(columns, time, asked)
    first = func.coalesce(earlier.scalar_subquery() - 2 * SAME, asked)
    last = func.coalesce(later.scalar_subquery() + 2 * SAME, asked)
    at_those = when.between(first, last), (when + 0.0).between(earliest, latest)  # the sum keeps the index to the first
    nearest = select(table).where(*admits, *at_those).order_by(*order).limit(1)
    return (nearest,), select(table).where(*admits, when.between(earliest, latest)).order_by(*order)


@lru_cache(maxsize=512)
def _by_start(
    orm_class: type[ORMCalibration], conditions: tuple[Condition, ...], start: str, limited: str | None
) -> tuple[tuple[Select[Any], ...], Select[Any]]:
    """Statements for intervals: the latest start, then what has no start; `limited` is a column of time, or none."""
    table, columns = orm_class.table(), columns_of(orm_class)
    begun = columns[start]
    admits = [condition.clause(columns) for condition in conditions]
    now = bindparam("valid_at", None, type_=Float())
    if limited is not None:
        when = columns[limited]
        earliest, latest = (bindparam(name, None, type_=when.type) for name in ("earliest", "latest"))
        admits.append((when + 0.0).between(earliest, latest))  # the sum keeps the index to the start
    order = order_by(columns, start, None, LATEST_START)
    newest = select(begun).where(*admits, begun.between(-MAX, now)).order_by(begun.desc()).limit(1)
    last = select(table).where(*admits, begun.between(newest.scalar_subquery() - 2 * SAME, now)).order_by(*order)
    open_ = select(table).where(*admits, begun.is_(None)).order_by(*order)
    return (last.limit(1), open_.limit(1)), select(table).where(*admits).order_by(*order)
