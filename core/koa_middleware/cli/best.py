"""``koa-cal best``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..exceptions import KoaMiddlewareError
from .arguments import add_column_values, add_force_instrument, add_instrument, add_json, add_types, instruments_as
from .context import advise_set, frame_values, open_for
from .messages import say
from .output import print_json, print_table

if TYPE_CHECKING:
    from ..store import CalibrationStore

ABOUT = "find the best calibration of each type for a frame"


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("frame", metavar="FRAME")
    add_types(command)
    command.add_argument("--no-download", action="store_true", help="only choose; download nothing")
    add_column_values(command)
    add_instrument(command)
    add_force_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print the best calibration of each type for a frame."""
    with instruments_as(options), open_for(options, [options.frame]) as store:
        values = frame_values(store, options.frame, options.overrides)
        choices = choose(store, values, options.types, download=not options.no_download)
        instrument, selectors = store.orm_class.instrument_name, store.orm_class.selectors
    if options.json:
        print_json({"frame": options.frame, "instrument": instrument, "calibrations": choices.found})
    else:
        print_choices(options.frame, choices)
    left_out = [name for name, selector in selectors.items() if selector.given and name not in choices.found]
    for cal_type in [] if options.types else left_out:
        needed = " ".join(f"--set {name}=..." for name in selectors[cal_type].given)
        say(f"{cal_type} is left out; ask for it with --type {cal_type} {needed}")
    return 1 if choices.errors else 0


class Choices(NamedTuple):
    """What was chosen for a frame.

    Attributes
    ----------
    found : dict
        By type, the calibration or the error as plain data.
    errors : dict
        By type, the errors among them.
    """

    found: dict[str, dict[str, Any]]
    errors: dict[str, KoaMiddlewareError]


def choose(store: CalibrationStore[Any], values: dict[str, Any], types: list[str] | None, *, download: bool) -> Choices:
    """Choose the calibrations of a frame, and bring their files."""
    from ..choosing.batch import records_in

    answers = store.select_set(values, types)
    records = [each for answer in answers.values() for each in records_in(answer)]
    failed = store.prefetch(records=records).failed if download else {}
    found: dict[str, dict[str, Any]] = {}
    errors: dict[str, KoaMiddlewareError] = {}
    for cal_type, answer in answers.items():
        if isinstance(answer, KoaMiddlewareError):
            advise_set(answer)
            errors[cal_type], found[cal_type] = answer, _as_error(answer)
            continue
        for record in records_in(answer):
            if record.filename in failed:
                errors[cal_type] = failed[record.filename]
        found[cal_type] = _as_data(store, answer, failed)
    return Choices(found, errors)


def _as_data(store: CalibrationStore[Any], answer: Any, failed: Mapping[str, KoaMiddlewareError]) -> dict[str, Any]:
    """Give a record as plain data, or both of a pair, of which one may be None, with the weight of the later one."""
    from ..choosing.bracket import Bracket

    if isinstance(answer, Bracket):
        sides = {side: record and _as_data(store, record, failed) for side, record in answer._asdict().items()}
        return {**sides, "weight": answer.weight}
    named = {"id": answer.id, "filename": answer.filename, "cal_version": answer.cal_version}
    if answer.filename in failed:
        return {**_as_error(failed[answer.filename]), **named}
    chosen = {"delta_days": answer.choice.delta_days, "is_fallback": answer.is_fallback}
    return {**named, "path": str(store.get_local_filepath(answer)), **chosen}


def _as_error(error: KoaMiddlewareError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error)}


def print_choices(frame: str, choices: Choices) -> None:
    """Print what `choose` gave: a table of what was found, then a line for each cause of a miss."""
    from ..choosing.misses import told_once

    rows = [
        row
        for cal_type, answer in choices.found.items()
        if cal_type not in choices.errors
        for row in _rows(cal_type, answer)
    ]
    if rows:
        print_table(("type", "age", "id and path"), rows, title=f"calibrations for {frame}")
    for told in told_once(choices.errors):
        names = ", ".join(told.cal_types)
        said = f"{told.message} {told.hint}"
        say(said if len(told.cal_types) > 1 and names in said else f"{names}: {said}")


def _rows(cal_type: str, answer: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of a type's table: one, or one for each side of a pair."""
    from ..choosing.explanation import offset

    if "weight" not in answer:
        age = offset(answer["delta_days"]) + (", by fallback" if answer["is_fallback"] else "")
        return [(cal_type, age, f"{answer['id']}\n{answer['path']}")]
    rows = []
    for side in ("before", "after"):
        ((_, age, where),) = _rows("", answer[side]) if answer[side] else [("", "none", "")]
        if side == "after" and answer["weight"] is not None:
            age += f", weight {answer['weight']:.3f}"
        rows.append((f"{cal_type} {side}", age, where))
    return rows
