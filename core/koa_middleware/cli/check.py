"""``koa-cal check``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from .arguments import add_column_values, add_force_instrument, add_instrument, add_json, add_types, instruments_as
from .context import files_in, frames_with, open_for
from .messages import say_left_out
from .output import print_exactly, print_json, terminal_width

ABOUT = "tell before a reduction what frames get, and what is missing"


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("frames", nargs="+", metavar="FRAME_OR_DIR", help="a folder stands for the FITS files in it")
    add_types(command)
    add_column_values(command)
    add_instrument(command)
    add_force_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print what each frame gets of each type, what is missing and why, and what is not on this disk."""
    frames: Sequence[str] = files_in(options.frames)
    with instruments_as(options), open_for(options, frames) as store:
        found = store.select_sets(frames_with(store, frames, options.overrides), options.types)
    if options.json:
        print_json({"instrument": store.orm_class.instrument_name, **found.to_dict()})
    else:
        print_exactly(found.to_text(terminal_width()))
    say_left_out(found.left_out)
    return 0 if found.ok else 1
