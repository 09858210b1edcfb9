"""``koa-cal prefetch``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..exceptions import ConfigurationError
from .arguments import (
    add_column_values,
    add_force_instrument,
    add_instrument,
    add_json,
    add_times,
    add_types,
    date,
    instruments_as,
    moment,
    positive,
)
from .context import frame_at, frames_with, open_for
from .messages import report_all, say, say_left_out
from .output import print_json, print_text, size

ABOUT = "download calibrations before they are needed"

EXAMPLES = """
# before the network is gone: what these frames need
koa-cal prefetch /data/20260212/*.fits
# what frames like this one will need tonight
koa-cal prefetch --like frame.fits --at 2026-02-13T06:00:00
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("frames", nargs="*", metavar="FRAME", help="download the best calibrations for these frames")
    command.add_argument(
        "--night", metavar="DATE", type=date, help="download the calibrations of this UTC day, such as 2026-02-12"
    )
    add_times(command)
    command.add_argument("--like", metavar="FRAME", help="download the best calibrations for a frame like this one")
    command.add_argument("--at", metavar="TIME", type=moment, help="the UTC time of that frame, with its time of day")
    add_types(command)
    add_column_values(command)
    command.add_argument("--workers", metavar="N", type=positive, default=4, help="download this many at a time (4)")
    add_instrument(command)
    add_force_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Download ahead; says beforehand how much will come."""
    from ..choosing.criteria import not_bad

    if options.night and (options.since or options.until):
        raise ConfigurationError(
            "--night and --since or --until are both given.",
            "Give either the night or the times.",
            setting="--night",
            variable=None,
        )
    if bool(options.like) != bool(options.at):
        raise ConfigurationError(
            "Of --like and --at one alone is given.",
            "Give both: a frame, and the time at which another one like it will be taken.",
            setting="--like",
            variable=None,
        )
    like = [options.like] if options.like else []
    with instruments_as(options), open_for(options, [*options.frames, *like]) as store:
        bounds = (options.since or options.night, options.until or options.night)
        if not options.frames and not like and bounds == (None, None):
            raise ConfigurationError(
                "No frames or times are given.",
                "Give frames, or --night, --since or --until, or --like and --at.",
                setting="frames",
                variable=None,
            )
        types = None if options.types is None else [name.lower() for name in options.types]
        found = store.local_db.query(types, *bounds) if bounds != (None, None) else []
        found = not_bad(found, store.known_db)
        frames = [frame_at(store, each, options.at, options.overrides) for each in like]
        if options.frames or not like:
            frames = [*frames_with(store, options.frames, options.overrides), *frames]
        report = store.prefetch(frames, cal_types=types, records=found, workers=options.workers, announce=say)
    report_all({**report.failed, **report.unmatched}, debug=options.debug)
    say_left_out(report.left_out)
    if options.json:
        print_json(report.to_dict())
    else:
        print_text(f"{len(report.downloaded)} downloaded ({size(report.size)}), {len(report.cached)} already here")
    return 0 if report.ok and (report.downloaded or report.cached) else 1
