"""What a chosen record is told: what it was chosen for, in itself, in a warning and in the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..exceptions import FallbackWarning, logger, warn
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration
from .answering import Found
from .choice import Choice
from .frame import Frame, frame_name
from .limits import Finite

if TYPE_CHECKING:
    from .selector import CalibrationSelector


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


def taken(selector: CalibrationSelector, found: Found | None, frame: Frame) -> Any:
    """Give the record of what was found, with what it was chosen for."""
    if found is None:
        return None
    record = found.record
    step = found.plan.rule.step
    if step is not None and step > 1:
        record.is_fallback = True
    note_choice(selector, record, frame, step, found.time if frame.anchor is None else None)
    return record


def given_by_user(selector: CalibrationSelector, record: ORMCalibration, input: Mapping[str, Any]) -> ORMCalibration:
    """Give a record that the user gave for a frame, as a fresh object that says so."""
    taken = record_builder(type(record))([record[name] for name in record.column_names()])
    frame = selector._ruling(type(record)).frame(input)
    note_choice(selector, taken, frame, None)
    taken._choice = taken.choice._replace(given_by_user=True)
    return taken


def warn_of_step(selector: CalibrationSelector, record: Any, input: Mapping[str, Any]) -> None:
    """Warn of a record that a later preference gave."""
    if record.is_fallback and record.choice is not None and record.choice.step is not None:
        warn(
            f"No {selector.cal_type} fits {frame_name(input, selector.time)} by the first preference of "
            f"{type(selector).__name__}; step {record.choice.step} chose {record.filename}.",
            FallbackWarning,
        )


def log_choice(selector: CalibrationSelector, values: Mapping[str, Any], record: ORMCalibration) -> None:
    """Write a line of the choice of a record for a frame's column values into the log."""
    log = logger()
    if log.isEnabledFor(logging.INFO):
        how = ", by fallback" if record.is_fallback else ""
        how = ", given by the user" if record.choice and record.choice.given_by_user else how
        log.info("%s for %s: %s%s", record.cal_type, frame_name(values, selector.time), record.filename, how)
