"""Choices by the methods that a plugin wrote: whether it wrote some, `select`, `select_best` and the fallback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..exceptions import CalibrationNotFoundError, ConfigurationError, FallbackWarning, warn
from .choice import Choice
from .considered import Considered
from .criteria import is_itself, may_be_chosen
from .frame import frame_name
from .judged import in_words, last_said_of
from .judging import Programmed
from .marking import note_choice, warn_of_step
from .programmed import as_held, check_candidate, record_by

if TYPE_CHECKING:
    from .selector import CalibrationSelector, Database


def is_programmed(selector: CalibrationSelector) -> bool:
    """Whether a method of one's own takes part in the choice among the candidates."""
    return selector._overrides("get_candidates") or selector._overrides("select_best")


def is_declared(selector: CalibrationSelector) -> bool:
    """Whether no method of one's own takes part in any choice."""
    return (
        not is_programmed(selector) and not selector._overrides("select") and not selector._overrides("select_fallback")
    )


def programmed_of(selector: CalibrationSelector, considered: Considered) -> Programmed:
    """Give what a selector's own methods did."""
    return Programmed(type(selector).__name__, considered.admitted, selector._deciding)


def check_type(selector: CalibrationSelector) -> None:
    """Check that a selector has a type.

    Raises
    ------
    ConfigurationError
    """
    if not selector.cal_type.strip():
        said = f"{type(selector).__name__} has no cal_type."
        raise ConfigurationError(said, "Say of which type the calibration is.", setting="cal_type", variable=None)


def normal_values(input: Mapping[str, Any], db: Database) -> dict[str, Any]:
    """Values in their normal forms, as a selector that is programmed gets them."""
    return {**input, **db.orm_class.normalise(input, str(input.get("filename") or "the input"))}


def choose(selector: CalibrationSelector, values: Mapping[str, Any], db: Database) -> Any:
    """Let a selector choose for a frame's column values; one that is programmed may not give what must not be chosen.

    Raises
    ------
    CalibrationNotFoundError, HeaderError
        As in `CalibrationSelector.select`.
    """
    if not selector._overrides("select"):
        return selector.select(values, db)
    record = record_by(selector, "select", normal_values(values, db), db)
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


def best_as_held(
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
    record = record_by(selector, "select_fallback", normal_values(input, db), db)
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
