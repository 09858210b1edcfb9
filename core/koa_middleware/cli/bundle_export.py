"""``koa-cal bundle export``."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..exceptions import ConfigurationError
from .arguments import (
    add_column_values,
    add_force_instrument,
    add_instrument,
    add_json,
    add_lock,
    add_times,
    instruments_as,
)
from .context import frames_with, open_for
from .messages import say, say_left_out, say_of
from .output import counted, print_json, print_text, size

ABOUT = "write calibrations and their files into a tar"

EXAMPLES = """
koa-cal bundle export darks.tar --type dark --since 2026-02-01
# what frames need, straight onto another machine
koa-cal bundle export - --for frame.fits | ssh HOST koa-cal bundle import -
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("file", metavar="FILE.tar", help="a new file, or - for standard output")
    command.add_argument("names", nargs="*", metavar="ID_OR_FILENAME")
    command.add_argument("--type", metavar="T", help="all of this cal type; with --for, only this one")
    add_times(command)
    command.add_argument(
        "--for", metavar="FRAME", nargs="+", default=[], dest="frames", help="the best calibrations for these frames"
    )
    add_column_values(command)
    add_lock(command, "all calibrations of this lock file")
    command.add_argument("--overwrite", action="store_true", help="replace a bundle of this name")
    add_instrument(command)
    add_force_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Write chosen calibrations and their files into one tar."""
    from ..choosing.batch import records_in
    from ..choosing.misses import told_once

    bounds = (options.since, options.until)
    asks_for_all = bounds != (None, None) or (options.type is not None and not options.frames)
    if not options.names and not options.frames and not options.lock and not asks_for_all:
        raise ConfigurationError(
            "No calibrations are named.",
            "Give ids or file names, or --type, --since or --until, or frames with --for, or a lock file with --lock.",
            setting="names",
            variable=None,
        )
    to_stdout = options.file == "-"
    if to_stdout and (options.json or sys.stdout.isatty()):
        raise ConfigurationError(
            "A bundle to standard output leaves no room for JSON there."
            if options.json
            else "Standard output is a terminal, which cannot take a bundle.",
            "Name a file, or pipe it: koa-cal bundle export - ... | ssh HOST koa-cal bundle import -.",
            setting="file",
            variable=None,
        )
    with instruments_as(options), open_for(options, options.frames, lock=options.lock) as store:
        records = [store.known_db.find(name) for name in options.names]
        sets = store.select_sets(frames_with(store, options.frames, options.overrides), options.type)
        records += [each for one in sets for answer in one.values() for each in records_in(answer)]
        for name, errors in sets.missing.items():
            for told in told_once(errors):
                say_of(name, f"{', '.join(told.cal_types)}: {told.message}")
        say_left_out(sets.left_out)
        if options.lock:
            records += store.locked_records()
        if asks_for_all:
            records += store.query(options.type, *bounds)
        if not records:
            say("no calibration matches, so no bundle was written")
            return 1
        target = sys.stdout.buffer if to_stdout else options.file
        report = store.export_bundle(target, records, overwrite=options.overwrite)
    place = "standard output" if to_stdout else report.path
    said = f"{counted(len(report.exported), 'calibration')} ({size(report.size)}) written to {place}"
    if options.json:
        print_json(report.to_dict())
    elif to_stdout:
        say(said)
    else:
        print_text(said)
    return 0 if sets.ok else 1
