"""``koa-cal best``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
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
    for cal_type in [] if options.types else [name for name in selectors if name not in choices.found]:
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
        named = {"id": answer.id, "filename": answer.filename, "cal_version": answer.cal_version}
        if answer.filename in failed:
            errors[cal_type] = failed[answer.filename]
            found[cal_type] = {**_as_error(errors[cal_type]), **named}
        else:
            time = store.orm_class.selectors[cal_type].time
            found[cal_type] = {
                **named,
                "path": str(store.get_local_filepath(answer)),
                "delta_days": answer[time] - float(store.orm_class.normalise(values)[time]),
                "is_fallback": answer.is_fallback,
            }
    return Choices(found, errors)


def _as_error(error: KoaMiddlewareError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error)}


def print_choices(frame: str, choices: Choices) -> None:
    """Print what `choose` gave: a table of what was found, then a line for each cause of a miss."""
    from ..choosing.explanation import offset
    from ..choosing.misses import told_once

    rows = [
        (
            cal_type,
            offset(answer["delta_days"]) + (", by fallback" if answer["is_fallback"] else ""),
            f"{answer['id']}\n{answer['path']}",
        )
        for cal_type, answer in choices.found.items()
        if cal_type not in choices.errors
    ]
    if rows:
        print_table(("type", "age", "id and path"), rows, title=f"calibrations for {frame}")
    for told in told_once(choices.errors):
        names = ", ".join(told.cal_types)
        said = f"{told.message} {told.hint}"
        say(said if len(told.cal_types) > 1 and names in said else f"{names}: {said}")
