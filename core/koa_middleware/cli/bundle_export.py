"""``koa-cal bundle export``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..exceptions import ConfigurationError
from .arguments import add_instrument, add_json, add_times
from .context import open_for
from .messages import say
from .output import counted, print_json, print_text, size

ABOUT = "write calibrations and their files into a tar"


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("file", metavar="FILE.tar")
    command.add_argument("names", nargs="*", metavar="ID_OR_FILENAME")
    command.add_argument("--type", metavar="T", help="all of this cal type")
    add_times(command)
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Write chosen calibrations and their files into one tar."""
    bounds = (options.type, options.since, options.until)
    if not options.names and bounds == (None, None, None):
        raise ConfigurationError(
            "No calibrations are named.",
            "Give ids or file names, or --type, --since or --until.",
            setting="names",
            variable=None,
        )
    with open_for(options) as store:
        records = [store.local_db.find(name) for name in options.names]
        if bounds != (None, None, None):
            records += store.query(*bounds)
        if not records:
            say("no calibration matches, so no bundle was written")
            return 1
        report = store.export_bundle(options.file, records)
    if options.json:
        print_json(report.to_dict())
    else:
        print_text(f"{counted(len(report.exported), 'calibration')} ({size(report.size)}) written to {report.path}")
    return 0
