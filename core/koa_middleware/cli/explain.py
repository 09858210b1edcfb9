"""``koa-cal explain``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..exceptions import HeaderError
from .arguments import (
    add_as_of,
    add_column_values,
    add_force_instrument,
    add_instrument,
    add_json,
    instruments_as,
    positive,
)
from .context import advise_set, frame_values, open_to_read
from .output import print_json, print_wrapped, terminal_width

ABOUT = "explain why a calibration is chosen and others are not"

EXAMPLES = """
koa-cal explain frame.fits --type dark
# a value that the header lacks, and the answer of another day
koa-cal explain frame.fits --type dark --set spectrograph=BSPEC --as-of 2026-02-12
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("frame", metavar="FRAME")
    command.add_argument("--type", metavar="T", required=True, help="the cal type")
    command.add_argument(
        "--nearest", metavar="N", type=positive, default=20, help="show this many, the nearest in time (20)"
    )
    add_as_of(command)
    add_column_values(command)
    add_instrument(command)
    add_force_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print why a calibration is chosen and others are not."""
    with instruments_as(options), open_to_read(options, [options.frame]) as store:
        values = frame_values(store, options.frame, options.overrides)
        try:
            explanation = store.explain(values, options.type, nearest=options.nearest, as_of=options.as_of)
        except HeaderError as error:
            advise_set(error)
            raise
    if options.json:
        print_json(explanation.to_dict())
    else:
        print_wrapped(explanation.to_text(terminal_width()))
    return 0 if explanation.winner is not None else 1
