"""A selector's rule as SQL: the statement that picks, and the clauses that say why a record was refused.

The statement finds the nearest earlier and the nearest later admissible time by two probes of an index on
(cal_type, compared columns, time), then takes the rows at those times. Its cost does not depend on the size of the
table; ``ORDER BY abs(time - x)`` would read it all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Select, bindparam, func, or_, select

from ..exceptions import ConfigurationError, HeaderError
from ..instrument.forms import is_wildcard
from ..instrument.orm import ORMCalibration
from ..instrument.values import normal_form

#: Largest finite double: a time beyond it, or none, never wins.
_MAX = 1.7976931348623157e308

#: A largest age is inclusive to the resolution of a timedelta, 1 us, about that of a double at MJD 60000.
_RESOLUTION = timedelta(microseconds=1) / timedelta(days=1)


class Declaration(NamedTuple):
    """What of a selector goes into its statements; the attributes are those of `CalibrationSelector`."""

    cal_type: str
    match: tuple[str, ...]
    given: tuple[str, ...]
    match_if_known: tuple[str, ...]
    require: tuple[tuple[str, Any], ...]
    time: str

    @property
    def compared(self) -> tuple[str, ...]:
        """Columns that must be equal."""
        return (*self.match, *self.given)


class Refusal(NamedTuple):
    """One way in which a record is refused.

    Attributes
    ----------
    rule : str
        Name of the rule: a column, or an attribute of the selector.
    holds : sqlalchemy clause
        True of the records that it refuses.
    reason : callable
        Gives the reason in words, for a refused record.
    """

    rule: str
    holds: ColumnElement[bool]
    reason: Callable[[ORMCalibration], str]


class Plan(NamedTuple):
    """Prepared statements of a declaration on a table.

    Attributes
    ----------
    nearest, candidates : sqlalchemy statements
        The one best record; all admissible ones. Their parameters come from `parameters`.
    """

    declaration: Declaration
    orm_class: type[ORMCalibration]
    nearest: Select[Any]
    candidates: Select[Any]
    required: tuple[tuple[str, Any], ...]

    def parameters(self, asked: Mapping[str, Any], max_age: timedelta | None, direction: str) -> dict[str, Any]:
        """Parameters of the statements for a frame.

        Returns
        -------
        dict
            ``match_<column>`` for each compared column; ``time``, ``earliest`` and ``latest`` in days.

        Raises
        ------
        HeaderError
            When the frame lacks a value, or holds a wildcard, for the time or a column in `match`.
        """
        columns, source = self.orm_class.table().c, str(asked.get("filename") or "the input")
        of_type = normal_form(columns.cal_type, self.declaration.cal_type, "the selector")
        parameters: dict[str, Any] = {"cal_type": of_type}
        for name in self.declaration.compared:
            value = normal_form(columns[name], asked.get(name), source)
            if is_wildcard(value) or value != value:
                raise self._lacks(columns[name], asked.get(name), source)
            parameters[f"match_{name}"] = value
        for name in self.declaration.match_if_known:
            value = normal_form(columns[name], asked.get(name), source)
            parameters[f"match_{name}"] = None if is_wildcard(value) else value
        time = self.time_of(asked)
        age = _MAX if max_age is None else max_age / timedelta(days=1) + _RESOLUTION
        parameters["time"] = time
        parameters["earliest"] = time if direction == "after" else max(time - age, -_MAX)
        parameters["latest"] = time if direction == "before" else min(time + age, _MAX)
        return parameters

    def time_of(self, asked: Mapping[str, Any]) -> float:
        """Time of a frame, in days, by the column that the declaration names.

        Raises
        ------
        HeaderError
            When it has none.
        """
        column, source = self.orm_class.table().c[self.declaration.time], str(asked.get("filename") or "the input")
        value = normal_form(column, asked.get(column.key), source)
        if value is None:
            value = self.orm_class.normalise(asked, source).get(column.key)
        if value is None or not math.isfinite(value):
            raise self._lacks(column, asked.get(column.key), source)
        return float(value)

    def compared(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Give the values by which a frame is compared, for messages."""
        names = (*self.declaration.compared, *self.declaration.match_if_known)
        return {name: parameters[f"match_{name}"] for name in names} | {self.declaration.time: parameters["time"]}

    def refusals(self, parameters: Mapping[str, Any], max_age: timedelta | None, direction: str) -> list[Refusal]:
        """All ways of being refused, in the order in which they are told."""
        columns, time = self.orm_class.table().c, self.orm_class.table().c[self.declaration.time]
        refusals = [no_time(time)]
        for name in self.declaration.compared:
            refusals.append(_differs(columns[name], parameters[f"match_{name}"], "the frame's is"))
        for name in self.declaration.match_if_known:
            if parameters[f"match_{name}"] is not None:
                refusals.append(_differs(columns[name], parameters[f"match_{name}"], "the frame's is", null_fits=True))
        refusals += [_differs(columns[name], value, "required is") for name, value in self.required]
        refusals.append(bad_quality(columns.quality))
        if direction == "before":
            refusals.append(Refusal("direction", time > parameters["time"], lambda _: "only earlier ones are allowed"))
        if direction == "after":
            refusals.append(Refusal("direction", time < parameters["time"], lambda _: "only later ones are allowed"))
        if max_age is not None:
            outside = ~time.between(parameters["earliest"], parameters["latest"])
            limit = f"limit {max_age / timedelta(days=1):g} d"
            refusals.append(Refusal("max_age", outside, lambda _: limit))
        return refusals

    def _lacks(self, column: Column[Any], value: Any, source: str) -> HeaderError:
        keywords = column.info.get("keywords", ())
        found, said = "has no" if value is None else f"has {value!r} as its", " or ".join(keywords)
        return HeaderError(
            f"{source} {found} {column.key}{f' (keyword {said})' if said else ''}, by which the type "
            f"{self.declaration.cal_type} is chosen.",
            "Correct the header, or give the column's value.",
            column=column.key,
            keywords=keywords,
            source=source,
        )


def no_time(time: Column[Any]) -> Refusal:
    """Refusal of records without a finite time."""
    return Refusal(time.key, or_(time.is_(None), ~time.between(-_MAX, _MAX)), lambda _: f"it has no {time.key}")


def bad_quality(quality: ColumnElement[Any]) -> Refusal:
    """Refusal of records that were flagged as bad."""
    return Refusal("quality", quality == "BAD", lambda _: "its quality is BAD")


def _differs(column: Column[Any], value: Any, whose: str, *, null_fits: bool = False) -> Refusal:
    different = ~column.in_(value) if isinstance(value, tuple) else column != value
    holds = different if null_fits else or_(column.is_(None), different)
    shown = " or ".join(map(str, value)) if isinstance(value, tuple) else value
    return Refusal(column.key, holds, lambda record: f"its {column.key} is {record[column.key]}, {whose} {shown}")


@lru_cache(maxsize=512)
def plan(orm_class: type[ORMCalibration], declaration: Declaration) -> Plan:
    """Prepare the statements of a declaration; those that differ in their type alone share them."""
    _check_columns(orm_class, declaration)
    return _plan_of_any_type(orm_class, declaration._replace(cal_type=""))._replace(declaration=declaration)


@lru_cache(maxsize=512)
def _plan_of_any_type(orm_class: type[ORMCalibration], declaration: Declaration) -> Plan:
    table, columns = orm_class.table(), orm_class.table().c
    time = columns[declaration.time]
    required = tuple((name, _required(columns[name], value)) for name, value in declaration.require)
    admits = [
        columns.cal_type == bindparam("cal_type", None),
        *(columns[name] == bindparam(f"match_{name}", None) for name in declaration.compared),
        *(columns[name].in_(v) if isinstance(v, tuple) else columns[name] == v for name, v in required),
        *(_same_if_known(columns[name]) for name in declaration.match_if_known),
        columns.quality != "BAD",
    ]
    asked = bindparam("time", None, type_=time.type)
    earliest, latest = bindparam("earliest", None, type_=time.type), bindparam("latest", None, type_=time.type)
    earlier = select(time).where(*admits, time.between(earliest, asked)).order_by(time.desc()).limit(1)
    later = select(time).where(*admits, time.between(asked, latest)).order_by(time).limit(1)
    order = (func.abs(time - asked), time, columns.cal_version.desc(), columns.id)
    return Plan(
        declaration,
        orm_class,
        nearest=select(table)
        .where(*admits, time.in_([earlier.scalar_subquery(), later.scalar_subquery()]))
        .order_by(*order)
        .limit(1),
        candidates=select(table).where(*admits, time.between(earliest, latest)).order_by(*order),
        required=required,
    )


def _check_columns(orm_class: type[ORMCalibration], declaration: Declaration) -> None:
    required = (name for name, _ in declaration.require)
    named = (*declaration.compared, *declaration.match_if_known, *required, declaration.time)
    unknown = sorted(set(named) - set(orm_class.column_names()))
    if unknown:
        raise ConfigurationError(
            f"The selector for {declaration.cal_type or 'no type'} names {', '.join(unknown)}, which is no column of "
            f"{orm_class.instrument_name}.",
            f"Its columns are {', '.join(orm_class.column_names())}.",
            setting="selector",
            variable=None,
        )


def _required(column: Column[Any], value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(normal_form(column, each, "the selector's require") for each in value)
    return normal_form(column, value, "the selector's require")


def _same_if_known(column: Column[Any]) -> ColumnElement[bool]:
    asked = bindparam(f"match_{column.key}", None, type_=column.type)
    return or_(asked.is_(None), column.is_(None), column == asked)
