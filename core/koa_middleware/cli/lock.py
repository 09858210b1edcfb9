"""``koa-cal lock``."""

from __future__ import annotations

import warnings
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from ..exceptions import ConfigurationError, FallbackWarning
from .arguments import (
    add_as_of,
    add_column_values,
    add_force_instrument,
    add_instrument,
    add_json,
    add_types,
    add_use,
    instruments_as,
)
from .context import check_not_in_cache, files_in, frames_with, open_for
from .messages import say, say_left_out
from .output import counted, print_exactly, print_json, print_text, terminal_width

if TYPE_CHECKING:
    from ..reports.lock.lock_file import LockFile
    from ..store import CalibrationStore

ABOUT = "write down what is chosen for frames, and check later whether the same would be chosen"

EXAMPLES = """
# write down what is chosen, and see next year whether it still would be
koa-cal lock /data/20260212 -o night.toml
koa-cal lock --check night.toml
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("frames", nargs="*", metavar="FRAME_OR_DIR", help="a folder stands for the FITS files in it")
    what = command.add_mutually_exclusive_group()
    what.add_argument("-o", "--output", metavar="FILE", help="write this lock file; - for standard output")
    what.add_argument("--check", metavar="FILE", help="tell what would be chosen differently now, and why")
    what.add_argument(
        "--update", metavar="FILE", help="tell it as --check does, and write the new choices into the file"
    )
    command.add_argument("--overwrite", action="store_true", help="replace a lock file of this name")
    add_types(command)
    add_use(command)
    add_as_of(command)
    add_column_values(command)
    add_instrument(command)
    add_force_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Write a lock file, or compare one with what would be chosen now."""
    _check(options)
    with instruments_as(options), warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)  # of each frame; the lock says so
        return _make(options) if options.output else _compare(options)


def _check(options: Namespace) -> None:
    said = hint = ""
    given = [f"--{name}" for name in ("type", "use", "overwrite", "as-of") if getattr(options, _DEST.get(name, name))]
    if not (options.output or options.check or options.update):
        said, hint = "No lock file is named.", "Name a new one with -o, or one that is there with --check or --update."
    elif options.output and not options.frames:
        said, hint = "No frame is given.", "Give the frames, or a folder of them."
    elif options.update and options.frames:
        said, hint = "--update is of all frames of the lock file.", "Name no frames, or write another lock with -o."
    elif not options.output and given:
        said, hint = f"{given[0]} is for a lock that is made.", "Leave it out; the lock file says the types."
    elif options.output == "-" and options.json:
        said, hint = "A lock to standard output leaves no room for JSON there.", "Name a file, or leave out --json."
    if said:
        raise ConfigurationError(said, hint, setting="frames", variable=None)


#: Where an option's value stands, if not under its own name.
_DEST = {"type": "types", "as-of": "as_of"}


def _make(options: Namespace) -> int:
    frames = files_in(options.frames)
    with open_for(options, frames) as store:
        check_not_in_cache(store, options.output)
        given = frames_with(store, frames, options.overrides)
        lock = store.lock(given, options.types, use=dict(options.use), as_of=options.as_of)
    missing = _missing(lock)
    if options.output == "-":
        print_exactly(lock.to_text().rstrip("\n"))
    else:
        path = lock.write(options.output, options.overwrite)
        if options.json:
            print_json({"path": str(path), "missing": missing, "left_out": {**lock.left_out}, **lock.to_dict()})
        else:
            number, known = counted(len(lock.frames), "frame"), counted(len(lock.calibrations), "calibration")
            print_text(f"{number} with {known} written to {path}")
    _say_missing(missing)
    say_left_out(lock.left_out)
    return 1 if missing else 0


def _say_missing(missing: dict[str, dict[str, list[str]]]) -> None:
    for cal_type, reasons in missing.items():
        for reason, names in reasons.items():
            say(f"{cal_type}: none for {names[0] if len(names) == 1 else counted(len(names), 'frame')}: {reason}")


def _missing(lock: LockFile) -> dict[str, dict[str, list[str]]]:
    """Give the frames that lack something, by type and reason."""
    found: dict[str, dict[str, list[str]]] = {}
    for frame in lock.frames:
        for choice in frame.choices:
            if choice.missing:
                found.setdefault(choice.cal_type, {}).setdefault(choice.missing, []).append(frame.filename)
    return found


def _compare(options: Namespace) -> int:
    from ..reports.lock.lock_file import LockFile

    lock = LockFile.read(options.check or options.update)
    with open_for(options, instrument=lock.instrument) as store:
        check = store.check_lock(lock, _frames(store, options) if options.frames else None)
    missing = _missing(check.now) if options.update else {}
    is_written = bool(options.update) and check.now != lock
    if is_written:
        check.now.write(options.update, overwrite=True)
    if options.json:
        print_json({**check.to_dict(), **({"updated": is_written, "missing": missing} if options.update else {})})
    else:
        print_exactly(check.to_text(terminal_width()))
    if options.update:
        say(f"{options.update} {'is written anew' if is_written else 'is as it was'}")
        _say_missing(missing)
        return 1 if missing else 0
    return 0 if check.ok else 1


def _frames(store: CalibrationStore[Any], options: Namespace) -> list[Any]:
    return frames_with(store, files_in(options.frames), options.overrides)
