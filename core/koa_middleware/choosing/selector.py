"""Which calibration fits a frame: rules that plugins declare."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Protocol, cast

from sqlalchemy import Select
from sqlalchemy.orm import Session

from ..exceptions import CalibrationNotFoundError, ConfigurationError, FallbackWarning, warn
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration
from .explanation import Explanation, explain
from .statement import Declaration, Plan, Refusal, bad_quality, plan

DIRECTIONS = ("nearest", "before", "after")

_DECLARED = ("cal_type", "match", "given", "match_if_known", "require", "max_age", "direction", "time")


class Database(Protocol):
    """What a selector needs of a database."""

    @property
    def orm_class(self) -> type[ORMCalibration]:
        """The instrument's class."""

    def session_manager(self) -> AbstractContextManager[Session]:
        """Give a session, closed at the end."""


class CalibrationSelector:
    """A rule that picks the calibration of one type for a frame.

    A subclass declares the attributes below; keyword arguments of an instance override them. What cannot be
    declared is written by overriding a method.

    Attributes
    ----------
    cal_type : str
    match : tuple of str
        Columns that are equal in frame and calibration; the frame must have them.
    given : tuple of str
        Like `match`, but the caller gives the value, since no frame holds it. A type with such columns is chosen
        when it is asked for by name, or the values are there.
    match_if_known : tuple of str
        Columns that are equal where both sides have them.
    require : mapping
        Column values that the calibration must have; a tuple of values means any of them.
    max_age : datetime.timedelta or None
        Largest distance in time, inclusive.
    direction : str
        ``"nearest"``; ``"before"`` (at or before the frame) or ``"after"`` (at or after).
    time : str
        The column by which near is measured, in days.
    """

    cal_type: str = ""
    match: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    match_if_known: tuple[str, ...] = ()
    require: Mapping[str, Any] = MappingProxyType({})
    max_age: timedelta | None = None
    direction: str = "nearest"
    time: str = "mjd_start"

    def __init__(self, **overrides: Any) -> None:
        unknown = sorted(set(overrides) - set(_DECLARED))
        if unknown:
            raise self._misdeclared(unknown[0], f"has no setting {', '.join(unknown)}", ", ".join(_DECLARED))
        vars(self).update(overrides)
        if self.direction not in DIRECTIONS:
            raise self._misdeclared("direction", f"has the direction {self.direction!r}", ", ".join(DIRECTIONS))
        if not (self.max_age is None or (isinstance(self.max_age, timedelta) and self.max_age >= timedelta(0))):
            raise self._misdeclared("max_age", f"has the max_age {self.max_age!r}", "timedelta(days=...), None")
        for setting in ("match", "given", "match_if_known"):
            if isinstance(getattr(self, setting), str):
                found = getattr(self, setting)
                raise self._misdeclared(setting, f"has text as its {setting}", f"({found!r},), a tuple")

    def effective_input(self, input: Mapping[str, Any], db: Database) -> Mapping[str, Any]:  # noqa: ARG002
        """Give the values that the rule compares with: the frame's own, unless overridden."""
        return input

    def get_candidates(self, input: Mapping[str, Any], db: Database) -> list[Any]:
        """All records that the rule admits, best first."""
        prepared = self._plan(db)
        return _fetch(db, prepared.candidates, prepared.parameters(input, self.max_age, self.direction))

    def select_best(self, input: Mapping[str, Any], candidates: Iterable[Any]) -> Any:
        """Give the nearest candidate; of equally near ones the earlier, then the newest version, then the lowest id."""
        timed = (record for record in candidates if record[self.time] is not None and math.isfinite(record[self.time]))
        ranked = sorted(timed, key=lambda record: str(record["id"]))
        ranked.sort(key=lambda record: str(record["cal_version"]), reverse=True)
        ranked.sort(key=lambda record: float(record[self.time]))
        if not ranked:
            return None
        time = plan(cast("type[ORMCalibration]", type(ranked[0])), self.declaration()).time_of(input)
        return min(ranked, key=lambda record: abs(record[self.time] - time))

    def select_fallback(self, input: Mapping[str, Any], db: Database) -> Any:  # noqa: ARG002
        """Give another record where nothing fits the rule; there is none, unless overridden."""
        return None

    def select(self, input: Mapping[str, Any], db: Database) -> Any:
        """Give the record that fits best.

        Parameters
        ----------
        input : mapping
            The frame's column values.
        db : Database

        Raises
        ------
        CalibrationNotFoundError
            When nothing fits; says for what the nearest candidates were refused.
        HeaderError
            When the frame lacks a value that the rule compares.
        """
        compared = self.effective_input(input, db)
        record = self._choose(compared, db)
        if record is not None:
            return record
        record = self.select_fallback(_normal(input, db), db)
        if record is None or record.quality == "BAD":
            raise self._not_found(compared, db)
        record.is_fallback = True
        warn(
            f"No {self.cal_type or 'calibration'} fits the rule of {type(self).__name__}; "
            f"its fallback chose {record.filename}.",
            FallbackWarning,
        )
        return record

    def explain(self, input: Mapping[str, Any], db: Database, nearest: int = 20) -> Explanation:
        """Tell of the records of the type why they were refused or chosen; of the `nearest` ones, one by one.

        Raises
        ------
        HeaderError
            When the frame lacks a value that the rule compares.
        """
        try:
            winner = self.select(input, db)
        except CalibrationNotFoundError:
            winner = None
        return self._explain(self.effective_input(input, db), db, winner, nearest)

    def _choose(self, compared: Mapping[str, Any], db: Database) -> Any:
        if self._overrides("get_candidates") or self._overrides("select_best"):
            values = _normal(compared, db)
            candidates = [record for record in self.get_candidates(values, db) if record.quality != "BAD"]
            return self.select_best(values, candidates) if candidates else None
        prepared = self._plan(db)
        found = _fetch(db, prepared.nearest, prepared.parameters(compared, self.max_age, self.direction))
        return found[0] if found else None

    def _explain(self, compared: Mapping[str, Any], db: Database, winner: Any, nearest: int) -> Explanation:
        prepared = self._plan(db)
        parameters = prepared.parameters(compared, self.max_age, self.direction)
        refusals = prepared.refusals(parameters, self.max_age, self.direction)
        if self._overrides("get_candidates"):
            columns = db.orm_class.table().c
            admitted = columns.id.in_([record.id for record in self.get_candidates(_normal(compared, db), db)])
            refusals = [
                bad_quality(columns.quality),
                Refusal("get_candidates", ~admitted, lambda _: f"{type(self).__name__} does not admit it"),
            ]
        return explain(db, prepared, parameters, refusals, winner, nearest)

    def _not_found(self, compared: Mapping[str, Any], db: Database) -> CalibrationNotFoundError:
        explanation = self._explain(compared, db, None, nearest=3)
        asked = ", ".join(f"{name} {value}" for name, value in explanation.asked.items())
        if not explanation.total:
            found, hint = "the database holds none of that type", "koa-cal register brings some."
        else:
            reasons = "; ".join(f"{refused.record.filename}: {refused.reason}" for refused in explanation.candidates)
            found = f"of the {explanation.total} known, the nearest were refused ({reasons})"
            hint = "koa-cal explain tells of all."
        return CalibrationNotFoundError(
            f"No {self.cal_type or 'calibration'} fits {asked}: {found}.",
            hint,
            cal_type=self.cal_type,
            asked=explanation.asked,
            total=explanation.total,
            nearest=explanation.candidates,
        )

    def _overrides(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(CalibrationSelector, method)

    def declaration(self) -> Declaration:
        """What of this selector goes into its statements."""
        return Declaration(
            self.cal_type.strip().lower(),
            tuple(self.match),
            tuple(self.given),
            tuple(self.match_if_known),
            tuple((name, _hashable(value)) for name, value in self.require.items()),
            self.time,
        )

    def _plan(self, db: Database) -> Plan:
        return plan(db.orm_class, self.declaration())

    def _misdeclared(self, setting: str, fault: str, allowed: str) -> ConfigurationError:
        return ConfigurationError(
            f"{type(self).__name__} {fault}.", f"Use one of {allowed}.", setting=setting, variable=None
        )


def _normal(input: Mapping[str, Any], db: Database) -> dict[str, Any]:
    """Values in their normal forms, as a selector that is programmed gets them."""
    return {**input, **db.orm_class.normalise(input, str(input.get("filename") or "the input"))}


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | set | frozenset) else value


def _fetch(db: Database, statement: Select[Any], parameters: Mapping[str, Any]) -> list[ORMCalibration]:
    """Records of a statement; by the database's own short way where it has one."""
    fetch = getattr(db, "fetch", None)
    if fetch is not None:
        records: list[ORMCalibration] = fetch(statement, parameters)
        return records
    with db.session_manager() as session:
        build = record_builder(db.orm_class)
        return [build(row) for row in session.execute(statement, dict(parameters))]
