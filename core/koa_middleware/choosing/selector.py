"""The rules that plugins declare: which calibration fits a frame."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Protocol, Self, cast

from sqlalchemy.orm import Session

from ..display import html_table
from ..exceptions import ConfigurationError, InvalidPluginError, did_you_mean
from ..instrument.orm import ORMCalibration
from ..instrument.plain import shown
from .amounts import By, Step
from .asking import admitted_by
from .bracket import Bracket
from .cases import every_case
from .criteria import faults, misdeclared
from .criterion import Fault, frozen
from .deciding import bracket_by, consider, explained, missed
from .declaration import check_class, not_usable
from .explanation import Explanation
from .limits import Finite
from .order import best_of
from .ruling import Ruling


class Database(Protocol):
    """What a selector needs of a database."""

    @property
    def orm_class(self) -> type[ORMCalibration]:
        """The instrument's class."""

    def session_manager(self) -> AbstractContextManager[Session]:
        """Give a session, closed at the end."""


class CalibrationSelector:
    """A rule that picks the calibration of one type for a frame.

    A subclass declares the attributes below; keyword arguments of an instance override them. In the place of any
    setting but `cal_type` and `time`, and of a single tolerance, `by` says what holds for a frame with a value. What
    cannot be declared is written by overriding a method.

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
    within : dict
        Column to the largest difference of calibration and frame, inclusive to one part in 10^9: in the column's unit,
        or as ``relative(0.1)`` of the frame's value. The frame must have it; a null refuses the calibration.
    require : dict
        Column to the value that the calibration must have; a tuple of values means any of them, None among them a
        null; or to ``at_least(x)``, ``at_most(x)``, ``between(a, b)``, which no null meets.
    exclude : dict
        Column to a value, values or a range, as in `require`, that the calibration must not have; any one of several
        columns excludes, a null does not.
    never_across : tuple of float
        Boundaries in days (MJD, UTC), ascending: none lies between frame and calibration. A boundary belongs to what
        begins at it.
    validity : tuple of str
        In the place of nearness, the columns of the first day of a calibration and of its end, which is the first day
        that is not its own any more, or None in the place of the second: until the next one begins. A null is open.
        The latest start wins.
    prefer : tuple of Step
        Steps that are tried in order; the first that gives an answer is used.
    anchor : str or None
        The type on which this one hangs: the time of the calibration that the frame gets of it stands for the frame's.
    match_anchor : tuple of str
        Columns that are equal in the calibration and in that one.
    max_age : datetime.timedelta or None
        Largest distance in time, inclusive.
    direction : str
        ``"nearest"``; ``"before"`` (at or before the frame) or ``"after"`` (at or after); ``"bracket"``, the nearest
        at or before and the nearest after, of which a single answer is the nearer one.
    same : tuple of str
        Columns in which both of a bracket agree.
    time : str
        The column by which near is measured, in days.
    """

    cal_type: str = ""
    match: tuple[str, ...] | By = ()
    given: tuple[str, ...] | By = ()
    match_if_known: tuple[str, ...] | By = ()
    within: Mapping[str, Any] | By = MappingProxyType({})
    require: Mapping[str, Any] | By = MappingProxyType({})
    exclude: Mapping[str, Any] | By = MappingProxyType({})
    never_across: tuple[float, ...] | By = ()
    validity: tuple[str, str | None] | By | None = None
    prefer: tuple[Step, ...] | By = ()
    anchor: str | By | None = None
    match_anchor: tuple[str, ...] | By = ()
    max_age: timedelta | By | None = None
    direction: str | By = "nearest"
    same: tuple[str, ...] | By = ()
    time: str = "mjd_start"

    _sound: Hashable = None  # settings that were checked
    _rulings: Mapping[Any, Any] = MappingProxyType({})  # by an instrument's class, with the settings that they are of

    def __init__(self, **overrides: Any) -> None:
        for name in sorted(set(overrides) - set(SETTINGS)):
            meant = "".join(f"Did you mean {each}? " for each in get_close_matches(name.lower(), SETTINGS, n=1))
            raise _error(self, Fault(name, f"has no setting {name}", f"{meant}Its settings are {', '.join(SETTINGS)}."))
        vars(self).update(overrides)
        declaration = _Declaration.of(self)
        if vars(type(self)).get("_sound") != declaration.settings:
            _check(declaration)
            type(self)._sound = declaration.settings

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_class(cls, CalibrationSelector, SETTINGS)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_rulings"}

    def get_candidates(self, input: Mapping[str, Any], db: Database) -> list[Any]:
        """All records that the rule admits: the one that it chooses, then the others, best first by each step."""
        return admitted_by(self, input, db)

    def select_best(self, input: Mapping[str, Any], candidates: Iterable[Any]) -> Any:
        """Give the nearest candidate; of equally near ones the earlier, then the newest version, then the lowest id.

        Where the rule has steps, intervals, an anchor or a bracket it is the first that `get_candidates` gives.
        """
        found = list(candidates)
        if self.prefer or self.validity or self.anchor or self.direction == "bracket":
            return next(iter(found), None)
        timed = [record for record in found if Finite.test(getattr(record, self.time))]
        if not timed:
            return None
        frame = self._ruling(cast("type[ORMCalibration]", type(timed[0]))).frame(input)
        return best_of(timed, self.time, frame.time(self.time))

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
        considered = consider(self, input, db)
        if considered.record is None:
            raise missed(self, considered, db)
        return considered.record

    def select_bracket(self, input: Mapping[str, Any], db: Database) -> Bracket:
        """Give the nearest record at or before the frame and the nearest after it, whatever `direction` says.

        Raises
        ------
        ConfigurationError
            When the rule knows no pairs: it goes by intervals, or a method chooses.
        CalibrationNotFoundError, HeaderError
            As in `select`; when nothing fits on either side.
        """
        return bracket_by(self, input, db)

    def explain(self, input: Mapping[str, Any], db: Database, nearest: int = 20) -> Explanation:
        """Say why the records of the type were refused or chosen: all in counts, the `nearest` ones one by one.

        Raises
        ------
        HeaderError
            When the frame lacks a value that the rule compares.
        ConfigurationError
            When `nearest` is no whole number, or below 0.
        """
        if not isinstance(nearest, int) or isinstance(nearest, bool) or not 0 <= nearest < 2**63:
            said = f"nearest is {shown(nearest)}."
            raise ConfigurationError(said, "Give a whole number, 0 or more.", setting="nearest")
        return explained(self, input, db, nearest)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.cal_type!r})"

    def _repr_html_(self) -> str:
        declared = zip(settings_of(self).items(), _DEFAULTS, strict=True)
        rows = [(name, value) for (name, value), default in declared if value is not default]
        return html_table(("setting", "value"), rows, title=type(self).__name__)

    def _overrides(self, method: str) -> bool:
        """Whether this selector's class has a method of its own in the place of the base's."""
        return getattr(type(self), method) is not getattr(CalibrationSelector, method)

    @property
    def _deciding(self) -> str | None:
        """Name of the method of one's own that takes one of what fits, or none."""
        return next((name for name in ("select", "select_best") if self._overrides(name)), None)

    def _ruling(self, orm_class: type[ORMCalibration]) -> Ruling:
        """Rules of this selector as it is declared now: its attributes may have changed since the last call."""
        settings = _frozen(self)
        owners = (self, type(self))  # the class, for an instance that was just made
        for owner in owners:
            prepared: tuple[Hashable, Ruling] | None = vars(owner).get("_rulings", {}).get(orm_class)
            if prepared is not None and prepared[0] == settings:
                return prepared[1]
        prepared = settings, _prepare(orm_class, _Declaration(type(self), settings, self))
        for owner in owners:
            owner._rulings = {**vars(owner).get("_rulings", {}), orm_class: prepared}
        return prepared[1]


#: The attributes that a selector declares.
SETTINGS = tuple(name for name in CalibrationSelector.__annotations__ if not name.startswith("_"))

_settings = attrgetter(*SETTINGS)

_DEFAULTS = tuple(getattr(CalibrationSelector, name) for name in SETTINGS)


def settings_of(selector: CalibrationSelector) -> dict[str, Any]:
    """Settings of a selector by name, as they are now."""
    return dict(zip(SETTINGS, _settings(selector), strict=True))


def ruling_of(selector: CalibrationSelector, orm_class: type[ORMCalibration]) -> Ruling:
    """Rules that a selector makes for an instrument's class."""
    return selector._ruling(orm_class)


def anchors_of(selector: CalibrationSelector) -> list[str]:
    """Types on which a selector's choice hangs, in any of its cases."""
    named = [declared.anchor for declared in every_case(settings_of(selector))]
    return sorted({name.strip().lower() for name in named if name is not None})


def given_to(selector: CalibrationSelector) -> tuple[str, ...]:
    """Columns whose values the caller gives, in any of the selector's cases."""
    if not isinstance(selector.given, By):
        return tuple(selector.given)
    return tuple(dict.fromkeys(name for declared in every_case(settings_of(selector)) for name in declared.given))


def _frozen(selector: CalibrationSelector) -> Hashable:
    found = zip(_settings(selector), _DEFAULTS, strict=True)
    return tuple([... if value is default else frozen(value) for value, default in found])


@dataclass(frozen=True)
class _Declaration:
    """What a selector declares now; equal ones share what is checked and prepared of it."""

    kind: type[CalibrationSelector]
    settings: Hashable
    selector: CalibrationSelector = field(compare=False)

    @classmethod
    def of(cls, selector: CalibrationSelector) -> Self:
        return cls(type(selector), _frozen(selector), selector)


@lru_cache(maxsize=512)
def _check(declaration: _Declaration) -> None:
    for fault in misdeclared(settings_of(declaration.selector)):
        raise _error(declaration.selector, fault)


@lru_cache(maxsize=512)
def _prepare(orm_class: type[ORMCalibration], declaration: _Declaration) -> Ruling:
    selector = declaration.selector
    settings = settings_of(selector)
    for fault in faults(settings, orm_class):
        raise _error(selector, fault, orm_class.instrument_name)
    return Ruling(orm_class, settings)


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
        said = f"The plugin of {orm_class.instrument_name} has no selector for {shown(given)}."
        if known and isinstance(given, str):
            hint = f"{did_you_mean(given.strip(), known)}Use one of {', '.join(known)}."
        else:
            hint = f"Use one of {', '.join(known)}, or pass a CalibrationSelector." if known else ""
            hint = hint or "Pass a CalibrationSelector."
        raise ConfigurationError(said, hint, setting="selector", variable=None)
    return found
