"""Which calibration fits a frame: the rules that plugins declare."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Protocol, Self, cast

from sqlalchemy import Select
from sqlalchemy.orm import Session

from ..exceptions import CalibrationNotFoundError, ConfigurationError, FallbackWarning, warn
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration
from .conditions import Admitted, NotBad, OfType
from .criteria import criteria_of, faults, is_itself, may_be_chosen, misdeclared
from .criterion import Criterion, Fault, frozen
from .explanation import Explanation, explain
from .limits import Finite
from .order import in_order
from .statement import Plan


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
    require : dict
        Column values that the calibration must have; a tuple of values means any of them, None a null.
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

    _sound: Hashable = None  # settings that were checked
    _plans: Mapping[Any, Any] = MappingProxyType({})  # by an instrument's class, with the settings that they are of

    def __init__(self, **overrides: Any) -> None:
        for name in sorted(set(overrides) - set(SETTINGS)):
            raise _error(self, Fault(name, f"has no setting {name}", f"Its settings are {', '.join(SETTINGS)}."))
        vars(self).update(overrides)
        declaration = _Declaration.of(self)
        if vars(type(self)).get("_sound") != declaration.settings:
            _check(declaration)
            type(self)._sound = declaration.settings

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_plans"}

    def effective_input(self, input: Mapping[str, Any], db: Database) -> Mapping[str, Any]:  # noqa: ARG002
        """Give the values that the rule compares with: the frame's own, unless overridden."""
        return input

    def get_candidates(self, input: Mapping[str, Any], db: Database) -> list[Any]:
        """All records that the rule admits, best first."""
        prepared = self._plan(db.orm_class)
        return _fetch(db, prepared.candidates, prepared.parameters(input))

    def select_best(self, input: Mapping[str, Any], candidates: Iterable[Any]) -> Any:
        """Give the nearest candidate; of equally near ones the earlier, then the newest version, then the lowest id."""
        timed = [record for record in candidates if Finite.test(record[self.time])]
        if not timed:
            return None
        asked = self._plan(cast("type[ORMCalibration]", type(timed[0]))).time_of(input)
        return in_order(timed, self.time, asked)[0]

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
            When nothing fits; says why the nearest candidates were refused.
        HeaderError
            When the frame lacks a value that the rule compares.
        """
        compared = self._compared(input, db)
        record = self._choose(compared, db)
        if may_be_chosen(record, compared):
            return record
        record = self._one("select_fallback", self.select_fallback(_normal(input, db), db))
        if not may_be_chosen(record, compared):
            raise self._not_found(compared, db)
        record.is_fallback = True
        warn(
            f"No {self.cal_type or 'calibration'} fits the rule of {type(self).__name__}; "
            f"its fallback chose {record.filename}.",
            FallbackWarning,
        )
        return record

    def explain(self, input: Mapping[str, Any], db: Database, nearest: int = 20) -> Explanation:
        """Say why the records of the type were refused or chosen: all in counts, the `nearest` ones one by one.

        Raises
        ------
        HeaderError
            When the frame lacks a value that the rule compares.
        """
        try:
            winner = choose(self, input, db)
        except CalibrationNotFoundError:
            winner = None
        return self._explain(self._compared(input, db), db, winner, nearest)

    def _compared(self, input: Mapping[str, Any], db: Database) -> Mapping[str, Any]:
        compared: Any = self.effective_input(input, db)
        if compared is input or isinstance(compared, Mapping | ORMCalibration):
            return compared  # type: ignore[return-value]
        raise self._returned("effective_input", compared, "It should return a mapping of column values.")

    def _candidates(self, values: Mapping[str, Any], db: Database) -> list[ORMCalibration]:
        candidates: Any = self.get_candidates(values, db)
        hint = "It should return a list of records."
        if not isinstance(candidates, Iterable):
            raise self._returned("get_candidates", candidates, hint)
        found = list(candidates)
        for each in found:
            if not isinstance(each, ORMCalibration):
                raise self._returned("get_candidates", each, hint, "among its records")
        return found

    def _one(self, method: str, record: Any) -> Any:
        if record is None or isinstance(record, ORMCalibration):
            return record
        raise self._returned(method, record, "It should return a record, or None.")

    def _returned(self, method: str, found: Any, hint: str, where: str = "") -> ConfigurationError:
        return ConfigurationError(
            f"The {method} of {type(self).__name__} returned {found!r}{where and f' {where}'}.",
            hint,
            setting=method,
            variable=None,
        )

    def _choose(self, compared: Mapping[str, Any], db: Database) -> Any:
        if self._overrides("get_candidates") or self._overrides("select_best"):
            values = _normal(compared, db)
            candidates = [record for record in self._candidates(values, db) if may_be_chosen(record, values)]
            return self._one("select_best", self.select_best(values, candidates)) if candidates else None
        prepared = self._plan(db.orm_class)
        found = _fetch(db, prepared.nearest, prepared.parameters(compared))
        if found and not may_be_chosen(found[0]):  # only in form, which an archive's statements do not see
            raise CalibrationNotFoundError(
                f"{found[0].filename} would be chosen, but the database holds its quality BAD under another spelling.",
                "Sync and choose from the local copy.",
                cal_type=self.cal_type,
                asked=compared,
            )
        return found[0] if found else None

    def _explain(self, compared: Mapping[str, Any], db: Database, winner: Any, nearest: int) -> Explanation:
        prepared = self._plan(db.orm_class)
        parameters = prepared.parameters(compared)
        criteria: list[Criterion] = [each for each in prepared.criteria if not isinstance(each, OfType)]
        if self._overrides("get_candidates"):
            candidates = self._candidates(_normal(compared, db), db)
            criteria = [NotBad(), Admitted(type(self).__name__, tuple(record.id for record in candidates))]
        return explain(db, prepared, parameters, criteria, winner, nearest)

    def _not_found(self, compared: Mapping[str, Any], db: Database) -> CalibrationNotFoundError:
        explanation = self._explain(compared, db, None, nearest=3)
        asked = ", ".join(f"{name} {value}" for name, value in explanation.asked.items())
        if not explanation.total:
            found, hint = "the database holds none of that type", "Add one with koa-cal register."
        else:
            reasons = "; ".join(f"{refused.record.filename}: {refused.reason}" for refused in explanation.candidates)
            found = f"of the {explanation.total} known, the nearest were refused ({reasons})"
            hint = "koa-cal explain lists them all."
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

    def _plan(self, orm_class: type[ORMCalibration]) -> Plan:
        """Statements of this selector as it is declared now: its attributes may have changed since the last call."""
        settings = frozen(_settings(self))
        owners = (self, type(self))  # the class, for an instance that was just made
        for owner in owners:
            prepared: tuple[Hashable, Plan] | None = vars(owner).get("_plans", {}).get(orm_class)
            if prepared is not None and prepared[0] == settings:
                return prepared[1]
        prepared = settings, _prepare(orm_class, _Declaration(type(self), settings, self))
        for owner in owners:
            owner._plans = {**vars(owner).get("_plans", {}), orm_class: prepared}
        return prepared[1]


#: The attributes that a selector declares.
SETTINGS = tuple(name for name in CalibrationSelector.__annotations__ if not name.startswith("_"))

_settings = attrgetter(*SETTINGS)


@dataclass(frozen=True)
class _Declaration:
    """What a selector declares now; equal ones share what is checked and prepared of it."""

    kind: type[CalibrationSelector]
    settings: Hashable
    selector: CalibrationSelector = field(compare=False)

    @classmethod
    def of(cls, selector: CalibrationSelector) -> Self:
        return cls(type(selector), frozen(_settings(selector)), selector)


@lru_cache(maxsize=512)
def _check(declaration: _Declaration) -> None:
    for fault in misdeclared(declaration.selector):
        raise _error(declaration.selector, fault)


@lru_cache(maxsize=512)
def _prepare(orm_class: type[ORMCalibration], declaration: _Declaration) -> Plan:
    selector = declaration.selector
    for fault in faults(selector, orm_class):
        raise _error(selector, fault)
    return Plan(orm_class, criteria_of(selector), selector.time)


def _error(selector: CalibrationSelector, fault: Fault) -> ConfigurationError:
    return ConfigurationError(
        f"{type(selector).__name__} {fault.said}.", fault.hint, setting=fault.setting, variable=None
    )


def selector_for(orm_class: type[ORMCalibration], given: Any) -> CalibrationSelector:
    """Give the selector that a user means: it, its class, or the cal type that the plugin has one for.

    Raises
    ------
    ConfigurationError
        When it is none of these.
    """
    if isinstance(given, type) and issubclass(given, CalibrationSelector):
        return given()
    if isinstance(given, CalibrationSelector):
        return given
    known = orm_class.selectors
    found: CalibrationSelector | None = known.get(given.strip().lower()) if isinstance(given, str) else None
    if found is None:
        raise ConfigurationError(
            f"The plugin of {orm_class.instrument_name} has no selector for {given!r}.",
            f"Use one of {', '.join(known)}, or pass a CalibrationSelector."
            if known
            else "Pass a CalibrationSelector.",
            setting="selector",
            variable=None,
        )
    return found


def choose(selector: CalibrationSelector, values: Mapping[str, Any], db: Database) -> Any:
    """Let a selector choose for a frame's column values; one that is programmed may not give what must not be chosen.

    Raises
    ------
    CalibrationNotFoundError, HeaderError
        As in `CalibrationSelector.select`.
    """
    programmed = type(selector).select is not CalibrationSelector.select
    record = selector.select(_normal(values, db) if programmed else values, db)
    if may_be_chosen(record, values):
        return record
    found = "nothing" if record is None else repr(record)
    if isinstance(record, ORMCalibration):
        fault = "which is the frame itself" if is_itself(record, values) else f"whose quality is {record.quality}"
        found = f"{record.filename}, {fault}"
    raise CalibrationNotFoundError(
        f"The select of {type(selector).__name__} returned {found}.",
        "It should return a record that may be chosen, or raise CalibrationNotFoundError.",
        cal_type=selector.cal_type,
        asked=values,
    )


def _normal(input: Mapping[str, Any], db: Database) -> dict[str, Any]:
    """Values in their normal forms, as a selector that is programmed gets them."""
    return {**input, **db.orm_class.normalise(input, str(input.get("filename") or "the input"))}


def _fetch(db: Database, statement: Select[Any], parameters: Mapping[str, Any]) -> list[ORMCalibration]:
    """Records of a statement; by the database's own short way where it has one."""
    fetch = getattr(db, "fetch", None)
    if fetch is not None:
        records: list[ORMCalibration] = fetch(statement, parameters)
        return records
    with db.session_manager() as session:
        build = record_builder(db.orm_class)
        return [build(row) for row in session.execute(statement, dict(parameters))]
