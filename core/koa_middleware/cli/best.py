"""``koa-cal best`` and ``koa-cal explain``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from ..choosing.explanation import offset
from ..choosing.frame_sets import choose_set, types_for
from ..exceptions import ConfigurationError, HeaderError, KoaMiddlewareError
from ..instrument.frames import column_values
from ..store import CalibrationStore
from . import say
from .context import open_for
from .output import print_json, print_table, print_wrapped, terminal_width


def best(options: Namespace) -> int:
    """Print the best calibration of each type for a frame."""
    with open_for(options, [options.frame]) as store:
        values = frame_values(store, options.frame, options.overrides)
        found = choose(store, values, options.types, download=not options.no_download)
        if options.json:
            print_json({"frame": options.frame, "instrument": store.orm_class.instrument_name, "calibrations": found})
        else:
            print_choices(options.frame, found)
        for cal_type in [] if options.types else left_out(store, found):
            needed = " and ".join(f"--set {name}=..." for name in store.orm_class.selectors[cal_type].given)
            say(f"{cal_type} was not asked for: it is chosen with --type {cal_type} {needed}")
    return 1 if any("error" in answer for answer in found.values()) else 0


def left_out(store: CalibrationStore[Any], found: Mapping[str, Any]) -> list[str]:
    """Cal types that have a selector and were not asked for."""
    return [cal_type for cal_type in store.orm_class.selectors if cal_type not in found]


def explain(options: Namespace) -> int:
    """Print why a calibration is chosen and others are not."""
    with open_for(options, [options.frame]) as store:
        values = frame_values(store, options.frame, options.overrides)
        explanation = store.explain(values, options.type, nearest=options.nearest)
        if options.json:
            print_json(explanation.to_dict())
        else:
            print_wrapped(explanation.to_text(terminal_width()))
    return 0 if explanation.winner is not None else 1


def frame_values(store: CalibrationStore[Any], frame: str, overrides: list[tuple[str, str]]) -> dict[str, Any]:
    """Column values of a frame, those given by the user in place of the header's."""
    given = dict(overrides)
    unknown = sorted(set(given) - set(store.orm_class.column_names()))
    if unknown:
        raise ConfigurationError(
            f"{store.orm_class.instrument_name} has no column {', '.join(unknown)}.",
            f"Its columns are {', '.join(store.orm_class.column_names())}.",
            setting="--set",
            variable=None,
        )
    values = dict(column_values(store.orm_class, frame))
    if given.keys() & {"datetime_obs", "mjd_start"}:
        values = {name: value for name, value in values.items() if name not in {"datetime_obs", "mjd_start"}}
    try:
        return {**values, **store.orm_class.normalise(given, "--set")}
    except HeaderError as error:
        raise ConfigurationError(error.message, "Correct the value.", setting="--set", variable=None) from error


def choose(
    store: CalibrationStore[Any], values: dict[str, Any], types: list[str] | None, *, download: bool
) -> dict[str, dict[str, Any]]:
    """Give, by type, the chosen calibration or the error, as plain data."""
    answers = choose_set(values, types_for(store.orm_class, values, types), store.select)
    found: dict[str, dict[str, Any]] = {
        cal_type: {"error": type(answer).__name__, "message": str(answer)}
        if isinstance(answer, KoaMiddlewareError)
        else {}
        for cal_type, answer in answers.items()
    }
    chosen = {name: answer for name, answer in answers.items() if not isinstance(answer, KoaMiddlewareError)}
    records = list(chosen.values())
    outcomes = store.get_many(records, bar=True) if download else [(store.get_local_filepath(r), r) for r in records]
    for (cal_type, record), outcome in zip(chosen.items(), outcomes, strict=True):
        named = {"id": record.id, "filename": record.filename, "cal_version": record.cal_version}
        if isinstance(outcome, KoaMiddlewareError):
            found[cal_type] = {"error": type(outcome).__name__, "message": str(outcome), **named}
        else:
            time = store.orm_class.selectors[cal_type].time
            found[cal_type] = {
                **named,
                "path": str(outcome[0]),
                "delta_days": record[time] - float(store.orm_class.normalise(values)[time]),
                "is_fallback": record.is_fallback,
            }
    return found


def print_choices(frame: str, found: dict[str, dict[str, Any]]) -> None:
    """Print what `choose` gave: a table of what was found, then a line for each miss."""
    rows = [
        (
            cal_type,
            offset(answer["delta_days"]) + (", by fallback" if answer["is_fallback"] else ""),
            f"{answer['id']}\n{answer['path']}",
        )
        for cal_type, answer in found.items()
        if "error" not in answer
    ]
    if rows:
        print_table(("type", "age", "id and path"), rows, title=f"calibrations of {frame}")
    for cal_type, answer in found.items():
        if "error" in answer:
            say(f"{cal_type}: {answer['message']}")
