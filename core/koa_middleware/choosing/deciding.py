"""How a selector comes to its answer: by its rules, by its own methods, by its fallback."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..exceptions import (
    CalibrationNotFoundError,
    ConfigurationError,
    FallbackWarning,
    InvalidPluginError,
    logger,
    warn,
)
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration
from .answering import Ask, Asking, Found, Sides, answer, best, sides
from .bracket import Bracket
from .choice import Choice
from .conditions import names_of
from .criteria import is_itself, may_be_chosen, not_bad
from .explanation import Explanation
from .frame import Frame, frame_name, own_values
from .judged import in_words, last_said_of
from .judging import Programmed, step_of
from .limits import Finite
from .misses import Part, missing, moment_asked, not_found
from .order import distance
from .programmed import as_held, check_candidate, its_errors, record_by, records_by, without_collection
from .rule import Declared
from .ruling import Ruling
from .statement import Plan, fetch, fetch_rows
from .telling import explain

if TYPE_CHECKING:
    from .selector import CalibrationSelector, Database


@dataclass(slots=True)
class Considered:
    """What a selection came to.

    Attributes
    ----------
    frame : Frame
    plans : tuple of Plan
        One for each step.
    record : ORMCalibration or None
        The chosen one; of a bracket the nearer.
    bracket : Bracket or None
    step : int or None
        Number of the step that gave the record.
    as_pair : bool
        Whether a pair was asked for.
    admitted : frozenset of str or None
        Ids of what the plugin's own `get_candidates` gave; None where it has none.
    """

    frame: Frame
    plans: tuple[Plan, ...]
    record: Any = None
    bracket: Bracket | None = None
    step: int | None = None
    as_pair: bool = False
    admitted: frozenset[str] | None = None


class Prepared:
    """What a batch of choices needs more than once: each selector's rules, and each frame's values.

    Parameters
    ----------
    orm_class : type
    own : mapping
        By cal type, records that the user gave in the place of what the rules choose.
    """

    def __init__(
        self, orm_class: type[ORMCalibration], own: Mapping[str, ORMCalibration] = MappingProxyType({})
    ) -> None:
        self.own = own
        self._orm_class = orm_class
        self._rulings: dict[int, tuple[CalibrationSelector, Ruling]] = {}
        self._frames: dict[int, Frame] = {}

    def ruling(self, selector: CalibrationSelector) -> Ruling:
        """Give a selector's rules, as they were when they were first asked for."""
        if id(selector) not in self._rulings:
            self._rulings[id(selector)] = selector, selector._ruling(self._orm_class)
        return self._rulings[id(selector)][1]

    def frame(self, ruling: Ruling, given: Mapping[str, Any]) -> Frame:
        """Give a frame that rules are asked for; the values of one and the same mapping are looked at once."""
        if id(given) in self._frames:  # which holds it, so that no other one has this id
            return self._frames[id(given)].for_type(ruling.cal_type)
        made = self._frames[id(given)] = ruling.frame(given)
        return made


def consider(selector: CalibrationSelector, input: Mapping[str, Any], db: Database) -> Considered:
    """Choose by the rule, else by the fallback."""
    check_type(selector)
    if is_programmed(selector):
        considered = _by_methods(selector, input, db)
    else:
        considered = answer(asking(selector, input, db, Prepared(db.orm_class)), lambda ask: run(db, ask))
    return fallen_back(selector, considered, input, db)


def is_programmed(selector: CalibrationSelector) -> bool:
    """Whether a method of one's own takes part in the choice among the candidates."""
    return selector._overrides("get_candidates") or selector._overrides("select_best")


def is_declared(selector: CalibrationSelector) -> bool:
    """Whether no method of one's own takes part in any choice."""
    return (
        not is_programmed(selector) and not selector._overrides("select") and not selector._overrides("select_fallback")
    )


def check_type(selector: CalibrationSelector) -> None:
    """Check that a selector has a type.

    Raises
    ------
    ConfigurationError
    """
    if not selector.cal_type.strip():
        said = f"{type(selector).__name__} has no cal_type."
        raise ConfigurationError(said, "Say of which type the calibration is.", setting="cal_type", variable=None)


def run(db: Database, ask: Ask) -> list[Any]:
    """Give the rows of what is asked, or its records; by the database's own short way where it has one."""
    if not ask.rows:
        return fetch(db, ask.statement, ask.parameters)
    short_way = getattr(db, "fetch_many", None)
    if short_way is None:
        return fetch_rows(db, ask.statement, ask.parameters)
    rows: list[Any] = short_way(ask.statement, [ask.parameters], rows=True)[0]
    return rows


def asking(
    selector: CalibrationSelector,
    input: Mapping[str, Any],
    db: Database,
    prepared: Prepared,
    *,
    as_pair: bool = False,
    hanging: tuple[str, ...] = (),
) -> Asking[Considered]:
    """Ask for what a selector's declared rule gives.

    Parameters
    ----------
    prepared : Prepared
        What was prepared for others of the same batch.
    as_pair : bool
        Whether a pair is wanted, whatever the direction is.
    hanging : tuple of str
        The types that hang on this one.

    Raises
    ------
    CalibrationNotFoundError
        When there is no calibration on which it hangs.
    HeaderError
    """
    ruling = prepared.ruling(selector)
    frame = prepared.frame(ruling, input)
    declared, plans = ruling.settled(frame)
    if declared.anchor is not None:
        frame.anchor = yield from _anchor(selector, declared, frame, db, prepared, hanging)
    if as_pair or declared.direction == "bracket":
        if declared.validity:
            raise _no_pairs(selector, "it goes by intervals")
        found = yield from sides(plans, frame)
        pair = Bracket(*[_taken(selector, side, frame) for side in found])
        nearer = _nearer(selector, found, pair)
        step = None if nearer is None else nearer.choice.step
        return Considered(frame, plans, nearer, pair, step, as_pair=True)
    single = yield from best(plans, frame)
    if single is None:
        return Considered(frame, plans)
    return Considered(frame, plans, _taken(selector, single, frame), step=single.plan.rule.step)


def _check_asked(frame: Frame, selector: CalibrationSelector, declared: Declared) -> None:
    if declared.validity:
        frame.own_time(selector.time)
    for name in (*declared.match, *declared.given, *declared.within):
        frame.needed(name)


def _nearer(selector: CalibrationSelector, found: Sides, pair: Bracket) -> Any:
    """Give the record of a pair that is nearer to the time from which it was measured, of equally near the earlier."""
    sides_found = [(side, record) for side, record in zip(found, pair, strict=True) if side is not None]
    if not sides_found:
        return None
    return min(sides_found, key=lambda each: distance(getattr(each[1], selector.time), each[0].time))[1]


def _anchor(
    selector: CalibrationSelector,
    declared: Declared,
    frame: Frame,
    db: Database,
    prepared: Prepared,
    hanging: tuple[str, ...] = (),
) -> Asking[Any]:
    """Ask for the calibration on which the chosen one hangs; the frame must have what is compared besides."""
    _check_asked(frame, selector, declared)
    name = str(declared.anchor).strip().lower()
    anchor, chain = db.orm_class.selectors.get(name), (*hanging, selector.cal_type.strip().lower())
    if anchor is None or name in chain:
        fault = "of which there is no selector" if anchor is None else f"which hangs on {selector.cal_type}"
        raise InvalidPluginError(
            f"The selector {type(selector).__name__} has the anchor {name}, {fault}.",
            "Name a type whose selector does not hang on this one.",
            instrument=db.orm_class.instrument_name,
            distribution="",
        )
    try:
        if name in prepared.own:
            record = prepared.own[name]
        elif not is_declared(anchor):
            record = choose(anchor, frame.given, db)
        else:
            considered = yield from asking(anchor, frame.given, db, prepared, hanging=chain)
            record = considered.record
            if record is None:
                raise (yield from missing(considered, programmed_of(anchor, considered), db))
        if record[selector.time] is None and (declared.never_across or not declared.validity):
            said = f"{record.filename} has no {selector.time}."
            raise CalibrationNotFoundError(said, "Register it with that value.", cal_type=name)
    except CalibrationNotFoundError as error:
        raise CalibrationNotFoundError(
            f"No {selector.cal_type} can be chosen, since it hangs on the frame's {name}: {error.message}",
            error.hint,
            cal_type=selector.cal_type,
            asked=error.asked,
            total=error.total,
            nearest=error.nearest,
        ) from error
    return record


def _taken(selector: CalibrationSelector, found: Found | None, frame: Frame) -> Any:
    """Give the record of what was found, with what it was chosen for."""
    if found is None:
        return None
    record = found.record
    step = found.plan.rule.step
    if step is not None and step > 1:
        record.is_fallback = True
    note_choice(selector, record, frame, step, found.time if frame.anchor is None else None)
    return record


def note_choice(
    selector: CalibrationSelector, record: Any, frame: Frame, step: int | None, asked: float | None = None
) -> None:
    """Write into a record what it was chosen for; `asked` is the frame's own time, where that is known already."""
    time = getattr(record, selector.time)
    if asked is None:
        asked = frame.own_time_if_known(selector.time)
    delta = None if asked is None or not Finite.test(time) else time - asked
    name = frame.name(selector.time)
    record._choice = Choice(selector.cal_type.strip().lower(), name, type(selector).__name__, step, delta)


def given_by_user(selector: CalibrationSelector, record: ORMCalibration, input: Mapping[str, Any]) -> ORMCalibration:
    """Give a record that the user gave for a frame, as a fresh object that says so."""
    taken = record_builder(type(record))([record[name] for name in record.column_names()])
    frame = selector._ruling(type(record)).frame(input)
    note_choice(selector, taken, frame, None)
    taken._choice = taken.choice._replace(given_by_user=True)
    return taken


def fallen_back(
    selector: CalibrationSelector, considered: Considered, input: Mapping[str, Any], db: Database
) -> Considered:
    """Warn of what is not the first preference; where nothing fits the rule, let the selector's own fallback choose."""
    frame = considered.frame
    if considered.record is not None and not is_itself(considered.record, frame.given):
        for record in considered.bracket or (considered.record,):
            if record is not None and record.is_fallback:
                warn_of_step(selector, record, input)
        return considered
    considered.record = considered.bracket = None
    if not selector._overrides("select_fallback"):
        return considered
    record = record_by(selector, "select_fallback", _normal(input, db), db)
    if record is not None:
        record = as_held(selector, "select_fallback", record, db)
    if record is None or not may_be_chosen(record, db, frame.given):
        return considered
    record.is_fallback = True
    note_choice(selector, record, frame, None)
    considered.record = record
    warn(
        f"No {selector.cal_type} fits {frame_name(input, selector.time)} by the rule of {type(selector).__name__}; "
        f"its fallback chose {record.filename}.",
        FallbackWarning,
    )
    return considered


def warn_of_step(selector: CalibrationSelector, record: Any, input: Mapping[str, Any]) -> None:
    """Warn of a record that a later preference gave."""
    if record.is_fallback and record.choice is not None and record.choice.step is not None:
        warn(
            f"No {selector.cal_type} fits {frame_name(input, selector.time)} by the first preference of "
            f"{type(selector).__name__}; step {record.choice.step} chose {record.filename}.",
            FallbackWarning,
        )


def _by_methods(selector: CalibrationSelector, input: Mapping[str, Any], db: Database) -> Considered:
    ruling = selector._ruling(db.orm_class)
    frame = ruling.frame(input)
    declared, plans = ruling.settled(frame)
    considered = Considered(frame, plans)
    has_candidates, values = selector._overrides("get_candidates"), _normal(input, db)
    if declared.anchor is not None and not has_candidates:  # on which the candidates hang
        frame.anchor = answer(_anchor(selector, declared, frame, db, Prepared(db.orm_class)), lambda ask: run(db, ask))
    with without_collection():
        candidates = records_by(selector, "get_candidates", db.orm_class, values, db)
        with its_errors(selector, "get_candidates"):  # of records that cannot be compared
            considered.admitted = frozenset([each.id for each in candidates]) if has_candidates else None
            fit = not_bad(candidates, db)
            own_id, own_name = own_values(input).values()
            if own_id is not None or own_name is not None:
                own_names = names_of(own_name)
                fit = [each for each in fit if each.id != own_id and each.filename not in own_names]
            del candidates
            considered.record = _best_as_held(selector, values, fit, input, db)
        del fit
    record = considered.record
    if record is not None:
        considered.step = step_of(record)
        record.is_fallback = record.is_fallback or (considered.step or 1) > 1
        note_choice(selector, record, frame, considered.step)
    return considered


def _best_as_held(
    selector: CalibrationSelector, values: Mapping[str, Any], fit: list[Any], input: Mapping[str, Any], db: Database
) -> Any:
    """Give the best of some records that the database, too, lets be chosen; None where there is none."""
    while fit:
        best_one = record_by(selector, "select_best", values, fit)
        if best_one is None:
            return None
        if selector._overrides("select_best"):
            check_candidate(selector, best_one, fit)
        method = "get_candidates" if selector._overrides("get_candidates") else "select_best"
        held = as_held(selector, method, best_one, db)
        if may_be_chosen(held, db, input):
            held._choice = _own_choice(selector, best_one)
            return held
        fit = [each for each in fit if each is not best_one and each.id != best_one.id]
    return None


def _own_choice(selector: CalibrationSelector, record: Any) -> Choice | None:
    """Give what a record is a candidate for, by this selector's declared rule."""
    choice: Choice | None = record.choice
    return choice if choice is not None and choice.rule == type(selector).__name__ else None


def admitted_by(selector: CalibrationSelector, input: Mapping[str, Any], db: Database) -> list[Any]:
    """All records that a selector's declared rule admits: the one that it chooses, then the best first by each step."""

    def admitted() -> Asking[list[Any]]:
        ruling = selector._ruling(db.orm_class)
        frame = ruling.frame(input)
        declared, plans = ruling.settled(frame)
        if declared.anchor is not None:
            frame.anchor = yield from _anchor(selector, declared, frame, db, Prepared(db.orm_class))
        found: dict[str, Any] = {}
        for plan in plans:
            records = yield Ask(plan.candidates, plan.parameters(frame))
            for record in records:
                if found.setdefault(record.id, record) is record and plan.rule.step is not None:
                    note_choice(selector, record, frame, plan.rule.step)
        chosen = None
        if declared.direction == "bracket":
            pair = yield from sides(plans, frame)
            chosen = _nearer(selector, pair, Bracket(*[side and side.record for side in pair]))
        return sorted(found.values(), key=lambda record: chosen is None or record.id != chosen.id)

    return answer(admitted(), lambda ask: run(db, ask))


def admitted(selector: CalibrationSelector, input: Mapping[str, Any], db: Database) -> list[Any]:
    """All records that may be chosen for a frame, the chosen one first; or what a method of its own gives."""
    check_type(selector)
    if not selector._overrides("get_candidates"):
        return admitted_by(selector, input, db)
    found = records_by(selector, "get_candidates", db.orm_class, _normal(input, db), db)
    return [record for record in not_bad(found, db) if not is_itself(record, input)]


def bracket_by(selector: CalibrationSelector, input: Mapping[str, Any], db: Database) -> Bracket:
    """Give the pair of records around a frame; see `CalibrationSelector.select_bracket`."""
    check_type(selector)
    if is_programmed(selector) or selector._overrides("select"):
        raise _no_pairs(selector, "a method of its own chooses")
    considered = answer(asking(selector, input, db, Prepared(db.orm_class), as_pair=True), lambda ask: run(db, ask))
    if considered.record is None or considered.bracket is None:
        raise missed(selector, considered, db)
    for record in filter(None, considered.bracket):
        warn_of_step(selector, record, input)
    return considered.bracket


def _no_pairs(selector: CalibrationSelector, why: str) -> ConfigurationError:
    said = f"{type(selector).__name__} knows no pairs: {why}."
    return ConfigurationError(said, "Ask for the one record that fits.", setting="selector", variable=None)


def missed(selector: CalibrationSelector, considered: Considered, db: Database) -> CalibrationNotFoundError:
    """Give the error for a selection that came to nothing; says why the nearest candidates were refused."""
    programmed = programmed_of(selector, considered)
    if not programmed.takes_part:
        return answer(missing(considered, programmed, db), lambda ask: run(db, ask))
    told = explain(db, considered, programmed, nearest=3)
    fit = told.counts.get(programmed.deciding or "")
    said = f"{fit} of the {told.total} known fit, but its {programmed.deciding} takes none" if fit else ""
    parts = [Part("", told.candidates)]
    return not_found(told.cal_type, told.asked, told.total, parts, said, as_of=moment_asked(db))


def programmed_of(selector: CalibrationSelector, considered: Considered) -> Programmed:
    """Give what a selector's own methods did."""
    return Programmed(type(selector).__name__, considered.admitted, selector._deciding)


def explained(selector: CalibrationSelector, input: Mapping[str, Any], db: Database, nearest: int) -> Explanation:
    """Say why the records of the type were refused or chosen; see `CalibrationSelector.explain`."""
    check_type(selector)
    try:
        considered = _considered_for_explanation(selector, input, db)
    except CalibrationNotFoundError as error:  # of the anchor, or of what the database holds
        return Explanation(error.cal_type or selector.cal_type, error.asked, 0, {}, (), None, failure=error.message)
    return explain(db, considered, programmed_of(selector, considered), nearest)


def _considered_for_explanation(selector: CalibrationSelector, input: Mapping[str, Any], db: Database) -> Considered:
    if not selector._overrides("select"):
        return consider(selector, input, db)
    considered = (
        _by_methods(selector, input, db)
        if is_programmed(selector)
        else answer(asking(selector, input, db, Prepared(db.orm_class)), lambda ask: run(db, ask))
    )
    considered.bracket, considered.as_pair = None, False
    try:
        considered.record = choose(selector, input, db)
    except CalibrationNotFoundError:
        considered.record = None
    return considered


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
            note_choice(selector, record, selector._ruling(db.orm_class).frame(values), None)
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
        how = ", given by the user" if record.choice and record.choice.given_by_user else how
        log.info("%s for %s: %s%s", record.cal_type, frame_name(values, selector.time), record.filename, how)


def _normal(input: Mapping[str, Any], db: Database) -> dict[str, Any]:
    """Values in their normal forms, as a selector that is programmed gets them."""
    return {**input, **db.orm_class.normalise(input, str(input.get("filename") or "the input"))}
