"""``koa-cal coverage``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_instrument, add_json, add_types, time
from .context import check_not_in_cache, open_to_read
from .output import print_exactly, print_json, terminal_width

ABOUT = "show what there is over time, and when a rule has no answer"

EXAMPLES = """
# when a rule has no answer, in the first half of a year, as text and as a figure
koa-cal coverage --type dark --start 2026-01-01 --end 2026-06-30
koa-cal coverage --type dark --start 2026-01-01 --end 2026-06-30 -o darks.png
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    add_types(command)
    command.add_argument(
        "--start",
        metavar="TIME",
        type=time,
        help="from this UTC time, such as 2026-02-12; default: the first calibration",
    )
    command.add_argument(
        "--end", metavar="TIME", type=time, help="until this UTC time or day; default: the last calibration"
    )
    command.add_argument("-o", "--output", metavar="FILE", help="draw it into a new .png, .pdf or .svg")
    command.add_argument("--dark", action="store_true", help="draw it for a dark background")
    command.add_argument("--overwrite", action="store_true", help="replace a figure of this name")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print what there is of each type, and the gaps; draw it where a file is named."""
    with open_to_read(options) as store:
        check_not_in_cache(store, options.output)
        found = store.coverage(options.types, options.start, options.end)
    if options.output:
        found.figure(options.output, dark=options.dark, overwrite=options.overwrite)
    if options.json:
        print_json(found.to_dict())
    else:
        print_exactly(found.to_text(terminal_width()))
    return 1 if found.is_empty else 0
