"""``koa-cal flag``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_instrument, add_json
from .context import open_for
from .output import print_json, print_text

ABOUT = "flag a calibration as good, bad or unknown"


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("name", metavar="ID_OR_FILENAME")
    command.add_argument("quality", choices=("good", "bad", "unknown"), type=str.lower)
    command.add_argument("--reason", required=True, help="why; koa-cal show prints it")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Set a record's quality."""
    with open_for(options) as store:
        record = store.flag(options.name, options.quality, options.reason)
    if options.json:
        print_json(record.to_dict())
    else:
        print_text(f"{record.filename} is {record.quality}: {options.reason}")
    return 0
