"""``koa-cal best``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..exceptions import ConfigurationError, DownloadError, KoaMiddlewareError, RemoteError, RemoteNotConfiguredError
from .arguments import (
    add_as_of,
    add_column_values,
    add_force_instrument,
    add_instrument,
    add_json,
    add_lock,
    add_types,
    add_use,
    instruments_as,
)
from .context import advise_set, frame_values, open_to_read
from .messages import report, report_alike, say, say_left_out
from .output import counted, print_json, print_table, print_text

if TYPE_CHECKING:
    from ..store import CalibrationStore

ABOUT = "find the best calibration of each type for frames"

EXAMPLES = """
# each type that the frame needs, downloaded and verified
koa-cal best frame.fits
# without a network: among the files on this disk
koa-cal best frame.fits --cached
# your own choice of one type, and what was used into the product's header
koa-cal best frame.fits --use dark=my-dark.fits --write-header product.fits
"""

#: What a frame is called that is given by ``--set`` alone.
_GIVEN = "the given values"


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument(
        "frames", nargs="*", metavar="FRAME", help="leave out where --set gives all values that are compared"
    )
    add_types(command)
    add_use(command)
    add_lock(command, "give what this lock file says")
    where = command.add_mutually_exclusive_group()
    where.add_argument("--no-download", action="store_true", help="only choose; download nothing")
    where.add_argument("--cached", action="store_true", help="choose among those whose files are on this disk")
    command.add_argument(
        "--write-header", metavar="PRODUCT", help="write what was chosen into the header of this FITS file"
    )
    add_as_of(command)
    add_column_values(command)
    add_instrument(command)
    add_force_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print the best calibration of each type for each frame."""
    from ..choosing.frame_sets import left_out_of

    _check(options)
    names = options.frames or [_GIVEN]
    answers: dict[str, Choices | KoaMiddlewareError] = {}
    known: list[dict[str, Any]] = []
    with instruments_as(options), open_to_read(options, options.frames, lock=options.lock) as store:
        instrument = store.orm_class.instrument_name
        asked = store.among_cached() if options.cached else store
        for name in names:
            try:
                values = frame_values(store, name if options.frames else None, options.overrides)
                known.append(values)
                answers[name] = choose(
                    asked,
                    values,
                    options.types,
                    download=not options.no_download,
                    use=dict(options.use),
                    as_of=options.as_of,
                    may_be_cached=options.lock is None and options.as_of is None,
                )
            except KoaMiddlewareError as error:
                if len(names) == 1 or isinstance(error, ConfigurationError):
                    raise
                answers[name] = error
        left_out = {} if options.lock else left_out_of(store.orm_class, known, options.types)
        written = _written(store, answers[names[0]], options.write_header) if options.write_header else ""
    if options.json:
        each = [_plain(name, answer) for name, answer in answers.items()]
        one = {"frame": names[0], "instrument": instrument, **each[0]}
        if options.write_header:
            one["product"] = options.write_header
        print_json(one if len(names) == 1 else {"instrument": instrument, "frames": each})
    else:
        _print(answers, debug=options.debug)
    if written:
        say(written)
    found = [name for answer in answers.values() if isinstance(answer, Choices) for name in answer.found]
    say_left_out({name: columns for name, columns in left_out.items() if name not in found})
    return 1 if any(isinstance(each, KoaMiddlewareError) or each.errors for each in answers.values()) else 0


def _check(options: Namespace) -> None:
    said = hint = ""
    if not options.frames and not options.overrides:
        said, hint = "No frame is given.", "Give frames, or the values that are compared with --set COLUMN=VALUE."
    elif options.cached and options.as_of is not None:
        said, hint = "--cached and --as-of are both given.", "What is on this disk is known of the present alone."
    elif options.use and options.no_download:
        said, hint = "--use and --no-download are both given.", "What is used is verified; leave one of them out."
    elif options.write_header and len(options.frames) > 1:
        said, hint = "--write-header is given for several frames.", "Ask for one frame, whose product it is."
    elif options.write_header and options.frames and _is_same_file(options.frames[0], options.write_header):
        said, hint = f"{options.write_header} is the frame itself.", "Name the product that you made of it."
    if said:
        raise ConfigurationError(said, hint, setting="frames", variable=None)


def _is_same_file(frame: str, product: str) -> bool:
    with suppress(OSError):  # one that is not there
        return Path(frame).samefile(product)
    return False


def _written(store: CalibrationStore[Any], choices: Any, product: str) -> str:
    """Write what was chosen into a product's header, nothing where all is missing; give what is to be said of it."""
    provenance = store.provenance(choices.answers)
    if not provenance.calibrations:
        return f"{product}: its header stays as it is, since nothing was found"
    number = counted(len(provenance.calibrations), "calibration")
    return f"{provenance.write(product)}: its header names {number} now"


class Choices(NamedTuple):
    """What was chosen for a frame.

    Attributes
    ----------
    found : dict
        By type, the calibration, both of a pair, or the error, as plain data.
    errors : dict
        By type, the errors among them.
    answers : mapping
        By type, what the store gave.
    """

    found: dict[str, dict[str, Any]]
    errors: dict[str, KoaMiddlewareError]
    answers: Mapping[str, Any]


def choose(
    store: CalibrationStore[Any],
    values: dict[str, Any],
    types: list[str] | None,
    *,
    download: bool,
    use: Mapping[str, str] | None = None,
    as_of: str | None = None,
    may_be_cached: bool = False,
) -> Choices:
    """Choose the calibrations of a frame, and bring their files; a file that cannot come may be said to need none."""
    from ..choosing.bracket import Bracket

    if download:
        answers: Mapping[str, Any] = store.get_calibrations(values, types, use=use, return_exceptions=True, as_of=as_of)
    else:
        answers = store.select_set(values, types, as_of=as_of)
    found: dict[str, dict[str, Any]] = {}
    errors: dict[str, KoaMiddlewareError] = {}
    for cal_type, answer in answers.items():
        if isinstance(answer, KoaMiddlewareError):
            advise_set(answer)
            if may_be_cached:
                _advise_cached(answer)
            errors[cal_type], found[cal_type] = answer, _as_error(answer)
        elif isinstance(answer, Bracket):
            sides = {side: None if each is None else _chosen(store, each) for side, each in answer._asdict().items()}
            found[cal_type] = {**sides, "weight": answer.weight}
        else:
            found[cal_type] = _chosen(store, answer)
    return Choices(found, errors, answers)


def _advise_cached(error: KoaMiddlewareError) -> None:
    """Let the error of a file that no server can bring now say how to choose among those that are here."""
    if isinstance(error, RemoteNotConfiguredError) or (isinstance(error, DownloadError) and error.status is None):
        error.hint = f"{error.hint} --cached chooses among the files that are here."


def _chosen(store: CalibrationStore[Any], answer: Any) -> dict[str, Any]:
    """Give a record, or a record with its file, as plain data."""
    record, path = getattr(answer, "calibration", answer), getattr(answer, "path", None)
    return {
        "id": record.id,
        "filename": record.filename,
        "cal_version": record.cal_version,
        "path": str(path or store.get_local_filepath(record)),
        "is_here": path is not None or store.calibration_in_cache(record),
        "delta_days": record.choice.delta_days,
        "step": record.choice.step,
        "is_fallback": record.is_fallback,
        "given_by_user": record.choice.given_by_user,
    }


def _as_error(error: KoaMiddlewareError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error)}


def _plain(name: str, answer: Choices | KoaMiddlewareError) -> dict[str, Any]:
    if isinstance(answer, KoaMiddlewareError):
        return {"frame": name, **_as_error(answer)}
    return {"frame": name, "calibrations": answer.found}


def _print(answers: Mapping[str, Choices | KoaMiddlewareError], *, debug: bool) -> None:
    for number, (name, answer) in enumerate(answers.items()):
        if isinstance(answer, KoaMiddlewareError):
            report(answer, name, debug=debug)
            continue
        if number:
            print_text("")
        print_choices(name, answer, with_name=len(answers) > 1)


def print_choices(frame: str, choices: Choices, *, with_name: bool = False) -> None:
    """Print what `choose` gave: a table of what was found, then a line for each cause of a miss."""
    from ..choosing.misses import told_once

    rows = [
        line for name, answer in choices.found.items() if name not in choices.errors for line in _lines(name, answer)
    ]
    if rows:
        print_table(("type", "age", "id and path"), rows, title=f"calibrations for {frame}")
    of_frame = f"{frame}: " if with_name else ""
    no_file = {name: error for name, error in choices.errors.items() if isinstance(error, RemoteError)}
    report_alike({name: (_file_of(error), str(error)) for name, error in no_file.items()}, of_frame)
    for told in told_once({name: error for name, error in choices.errors.items() if name not in no_file}):
        names = ", ".join(told.cal_types)
        said = f"{told.message} {told.hint}"
        say(of_frame + (said if len(told.cal_types) > 1 and names in said else f"{names}: {said}"))


def _file_of(error: KoaMiddlewareError) -> str:
    """Give the file name with which a message begins; empty where it begins with none."""
    first = error.message.partition(" ")[0]
    return first if "." in first else ""


def _lines(cal_type: str, answer: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Lines of a table: one, of a pair one for each side with its weight."""
    if "weight" not in answer:
        yield (cal_type, *_age_and_place(answer))
        return
    weight = answer["weight"]
    for side, share in (("before", None if weight is None else 1 - weight), ("after", weight)):
        name = f"{cal_type}, {side}"
        if answer[side] is None:
            yield name, "none", ""
        else:
            age, place = _age_and_place(answer[side])
            yield name, age if share is None else f"{age}, weight {share:.3f}", place


def _age_and_place(answer: Mapping[str, Any]) -> tuple[str, str]:
    from ..choosing.wording import offset

    age = "no time" if answer["delta_days"] is None else offset(answer["delta_days"])
    if answer["given_by_user"]:
        age += ", given by you"
    elif answer["is_fallback"]:
        age += ", by fallback" if answer["step"] is None else f", by step {answer['step']}"
    return age, f"{answer['id']}\n{answer['path']}{'' if answer['is_here'] else ' (not on this disk)'}"
