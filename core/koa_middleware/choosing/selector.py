"""Which calibration fits a frame: the rules that plugins declare."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self, cast

from sqlalchemy.orm import Session

from ..exceptions import CalibrationNotFoundError, ConfigurationError, FallbackWarning, InvalidPluginError, logger, warn
from ..instrument.orm import ORMCalibration
from ..instrument.plain import shown
from .conditions import NotBad, names_of
from .criteria import criteria_of, faults, is_itself, may_be_chosen, misdeclared, not_bad
from .criterion import Fault, frozen
from .declaration import check_class, not_usable
from .explanation import Explanation, Programmed, explain
from .frame import frame_name, own_values
from .judged import in_words, last_said_of
from .limits import Finite
from .misses import not_found
from .order import best_of
from .programmed import as_held, check_candidate, its_errors, record_by, records_by, values_by, without_collection
from .statement import Plan, fetch


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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_class(cls, CalibrationSelector, SETTINGS)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_plans"}

    def effective_input(self, input: Mapping[str, Any], db: Database) -> Mapping[str, Any]:  # noqa: ARG002
        """Give the values that the rule compares with: the frame's own, unless overridden."""
        return input

    def get_candidates(self, input: Mapping[str, Any], db: Database) -> list[Any]:
        """All records that the rule admits, best first."""
        prepared = self._plan(db.orm_class)
        return fetch(db, prepared.candidates, prepared.parameters(input))

    def select_best(self, input: Mapping[str, Any], candidates: Iterable[Any]) -> Any:
        """Give the nearest candidate; of equally near ones the earlier, then the newest version, then the lowest id."""
        timed = [record for record in candidates if Finite.test(getattr(record, self.time))]
        if not timed:
            return None
        asked = self._plan(cast("type[ORMCalibration]", type(timed[0]))).time_of(input)
        return best_of(timed, self.time, asked)

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
        InvalidPluginError
            When a method that a plugin wrote fails.
        """
        considered = self._consider(input, db)
        if considered.record is None:
            raise not_found(self._explain(considered, db, nearest=3), self._deciding())
        return considered.record

    def explain(self, input: Mapping[str, Any], db: Database, nearest: int = 20) -> Explanation:
        """Say why the records of the type were refused or chosen: all in counts, the `nearest` ones one by one.

        Raises
        ------
        HeaderError
            When the frame lacks a value that the rule compares.
        """
        if not self._overrides("select"):
            return self._explain(self._consider(input, db), db, nearest)
        considered = self._choose(self._compared(input, db), db)
        try:
            winner = choose(self, input, db)
        except CalibrationNotFoundError:
            winner = None
        return self._explain(considered._replace(record=winner), db, nearest)

    def _overrides(self, method: str) -> bool:
        """Whether this selector's class has a method of its own in the place of the base's."""
        return getattr(type(self), method) is not getattr(CalibrationSelector, method)

    def _compared(self, input: Mapping[str, Any], db: Database) -> Mapping[str, Any]:
        if not self.cal_type.strip():
            said = f"{type(self).__name__} has no cal_type."
            raise ConfigurationError(said, "Say of which type the calibration is.", setting="cal_type", variable=None)
        return values_by(self, "effective_input", input, db) if self._overrides("effective_input") else input

    def _consider(self, input: Mapping[str, Any], db: Database) -> _Considered:
        """Choose by the rule, else by the fallback."""
        considered = self._choose(self._compared(input, db), db)
        if considered.record is not None and not is_itself(considered.record, considered.compared):
            return considered
        if not self._overrides("select_fallback"):
            return considered._replace(record=None)
        record = record_by(self, "select_fallback", _normal(input, db), db)
        if record is not None:
            record = as_held(self, "select_fallback", record, db)
        if record is None or not may_be_chosen(record, db, considered.compared):
            return considered._replace(record=None)
        record.is_fallback = True
        warn(
            f"No {self.cal_type} fits {frame_name(input, self.time)} by the rule of {type(self).__name__}; "
            f"its fallback chose {record.filename}.",
            FallbackWarning,
        )
        return considered._replace(record=record)

    def _choose(self, compared: Mapping[str, Any], db: Database) -> _Considered:
        prepared = self._plan(db.orm_class)
        if self._overrides("get_candidates") or self._overrides("select_best"):
            return self._choose_by_methods(compared, db)
        found = fetch(db, prepared.nearest, prepared.parameters(compared))
        if found and not NotBad.test(found[0].quality) and not may_be_chosen(found[0], db):
            # only in form, which an archive's statements do not see
            raise CalibrationNotFoundError(
                f"{found[0].filename} would be chosen, but the database holds its quality BAD under another spelling.",
                "Sync and choose from the local copy.",
                cal_type=self.cal_type,
                asked=compared,
            )
        return _Considered(compared, found[0] if found else None)

    def _choose_by_methods(self, compared: Mapping[str, Any], db: Database) -> _Considered:
        has_candidates, values = self._overrides("get_candidates"), _normal(compared, db)
        with without_collection():
            candidates = records_by(self, "get_candidates", db.orm_class, values, db)
            with its_errors(self, "get_candidates"):  # of records that cannot be compared
                admitted = frozenset([each.id for each in candidates]) if has_candidates else None
                fit = not_bad(candidates, db)
                own_id, own_name = own_values(compared).values()
                if own_id is not None or own_name is not None:
                    own_names = names_of(own_name)
                    fit = [each for each in fit if each.id != own_id and each.filename not in own_names]
                del candidates
                best = self._best_as_held(values, fit, compared, db)
            del fit
        return _Considered(compared, best, admitted)

    def _best_as_held(
        self, values: Mapping[str, Any], fit: list[Any], compared: Mapping[str, Any], db: Database
    ) -> Any:
        """Give the best of some records that the database, too, lets be chosen; None where there is none."""
        while fit:
            best = record_by(self, "select_best", values, fit)
            if best is None:
                return None
            if self._overrides("select_best"):
                check_candidate(self, best, fit)
            held = as_held(self, "get_candidates" if self._overrides("get_candidates") else "select_best", best, db)
            if may_be_chosen(held, db, compared):
                return held
            fit = [each for each in fit if each is not best and each.id != best.id]
        return None

    def _explain(self, considered: _Considered, db: Database, nearest: int) -> Explanation:
        prepared = self._plan(db.orm_class)
        parameters = prepared.parameters(considered.compared)
        programmed = Programmed(type(self).__name__, considered.admitted, self._deciding())
        return explain(db, prepared, parameters, programmed, considered.record, nearest)

    def _deciding(self) -> str | None:
        """Name of the method of one's own that takes one of what fits, or none."""
        return next((name for name in ("select", "select_best") if self._overrides(name)), None)

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


class _Considered(NamedTuple):
    """What a selection came to.

    Attributes
    ----------
    compared : mapping
        The values by which the frame was compared.
    record : ORMCalibration or None
        The chosen one.
    admitted : frozenset of str or None
        Ids of what the plugin's own `get_candidates` gave; None where it has none.
    """

    compared: Mapping[str, Any]
    record: Any
    admitted: frozenset[str] | None = None


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
        raise _error(selector, fault, orm_class.instrument_name)
    return Plan(orm_class, criteria_of(selector), selector.time)


def _error(
    selector: CalibrationSelector, fault: Fault, instrument: str = ""
) -> ConfigurationError | InvalidPluginError:
    """Give the error for a misdeclared setting: of the class its author's, of the instance its maker's."""
    if fault.setting in vars(selector) or fault.setting not in SETTINGS:
        said = f"{type(selector).__name__} {fault.said}."
        return ConfigurationError(said, fault.hint, setting=fault.setting, variable=None)
    return not_usable(type(selector), fault, instrument)


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
            f"The plugin of {orm_class.instrument_name} has no selector for {shown(given)}.",
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
    if not selector._overrides("select"):
        return selector.select(values, db)
    record = record_by(selector, "select", _normal(values, db), db)
    found = "nothing"
    if record is not None:
        record = as_held(selector, "select", record, db)
        if may_be_chosen(record, db, values):
            return record
        said = in_words(last_said_of(db, [record.id]).get(record.id), record.quality)
        fault = "which is the frame itself" if is_itself(record, values) else f"whose quality is {said}"
        found = f"{record.filename}, {fault}"
    raise CalibrationNotFoundError(
        f"The select of {type(selector).__name__} returned {found}.",
        "It should return a record that may be chosen, or raise CalibrationNotFoundError.",
        cal_type=selector.cal_type,
        asked=values,
    )


def log_choice(selector: CalibrationSelector, values: Mapping[str, Any], record: ORMCalibration) -> None:
    """Write a line of the choice of a record for a frame's column values into the log."""
    log = logger()
    if log.isEnabledFor(logging.INFO):
        how = ", by fallback" if record.is_fallback else ""
        log.info("%s for %s: %s%s", record.cal_type, frame_name(values, selector.time), record.filename, how)


def _normal(input: Mapping[str, Any], db: Database) -> dict[str, Any]:
    """Values in their normal forms, as a selector that is programmed gets them."""
    return {**input, **db.orm_class.normalise(input, str(input.get("filename") or "the input"))}
