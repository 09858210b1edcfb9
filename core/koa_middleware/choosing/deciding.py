"""How a selector comes to its answer: by its rules, by its own methods, by its fallback; and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..exceptions import CalibrationNotFoundError
from .answering import answer
from .asking import admitted_by, anchor_of, asking, no_pairs, run
from .bracket import Bracket
from .conditions import names_of
from .considered import Considered, Prepared
from .criteria import is_itself, not_bad
from .explanation import Explanation
from .frame import own_values
from .judging import step_of
from .marking import note_choice, warn_of_step
from .misses import Part, missing, not_found
from .own_methods import best_as_held, check_type, choose, fallen_back, is_programmed, normal_values, programmed_of
from .programmed import its_errors, records_by, without_collection
from .telling import explain

if TYPE_CHECKING:
    from .selector import CalibrationSelector, Database


def consider(selector: CalibrationSelector, input: Mapping[str, Any], db: Database) -> Considered:
    """Choose by the rule, else by the fallback."""
    check_type(selector)
    if is_programmed(selector):
        considered = _by_methods(selector, input, db)
    else:
        considered = answer(asking(selector, input, db, Prepared(db.orm_class)), lambda ask: run(db, ask))
    return fallen_back(selector, considered, input, db)


def _by_methods(selector: CalibrationSelector, input: Mapping[str, Any], db: Database) -> Considered:
    ruling = selector._ruling(db.orm_class)
    frame = ruling.frame(input)
    declared, plans = ruling.settled(frame)
    considered = Considered(frame, plans)
    has_candidates, values = selector._overrides("get_candidates"), normal_values(input, db)
    if declared.anchor is not None and not has_candidates:  # on which the candidates hang
        frame.anchor = answer(
            anchor_of(selector, declared, frame, db, Prepared(db.orm_class)), lambda ask: run(db, ask)
        )
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
            considered.record = best_as_held(selector, values, fit, input, db)
        del fit
    record = considered.record
    if record is not None:
        considered.step = step_of(record)
        record.is_fallback = record.is_fallback or (considered.step or 1) > 1
        note_choice(selector, record, frame, considered.step)
    return considered


def admitted(selector: CalibrationSelector, input: Mapping[str, Any], db: Database) -> list[Any]:
    """All records that may be chosen for a frame, the chosen one first; or what a method of its own gives."""
    check_type(selector)
    if not selector._overrides("get_candidates"):
        return admitted_by(selector, input, db)
    found = records_by(selector, "get_candidates", db.orm_class, normal_values(input, db), db)
    return [record for record in not_bad(found, db) if not is_itself(record, input)]


def bracket_by(selector: CalibrationSelector, input: Mapping[str, Any], db: Database) -> Bracket:
    """Give the pair of records around a frame; see `CalibrationSelector.select_bracket`."""
    check_type(selector)
    if is_programmed(selector) or selector._overrides("select"):
        raise no_pairs(selector, "a method of its own chooses")
    considered = answer(asking(selector, input, db, Prepared(db.orm_class), as_pair=True), lambda ask: run(db, ask))
    if considered.record is None or considered.bracket is None:
        raise missed(selector, considered, db)
    for record in filter(None, considered.bracket):
        warn_of_step(selector, record, input)
    return considered.bracket


def missed(selector: CalibrationSelector, considered: Considered, db: Database) -> CalibrationNotFoundError:
    """Give the error for a selection that came to nothing; says why the nearest candidates were refused."""
    programmed = programmed_of(selector, considered)
    if not programmed.takes_part:
        return answer(missing(considered, programmed, db), lambda ask: run(db, ask))
    told = explain(db, considered, programmed, nearest=3)
    fit = told.counts.get(programmed.deciding or "")
    said = f"{fit} of the {told.total} known fit, but its {programmed.deciding} takes none" if fit else ""
    parts = [Part("", told.candidates)]
    return not_found(told.cal_type, told.asked, told.total, parts, said, db=db)


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
