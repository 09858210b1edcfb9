"""``koa-cal check``."""

from __future__ import annotations

import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence

from ..exceptions import FallbackWarning
from .arguments import (
    add_as_of,
    add_column_values,
    add_force_instrument,
    add_instrument,
    add_json,
    add_types,
    instruments_as,
)
from .context import files_in, frames_with, open_to_read
from .messages import say, say_left_out
from .output import counted, print_exactly, print_json, terminal_width

ABOUT = "tell before a reduction what frames get, and what is missing"

EXAMPLES = """
# what the frames of a night get, and what they lack
koa-cal check /data/20260212
koa-cal check /data/20260212 --type dark --json
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("frames", nargs="+", metavar="FRAME_OR_DIR", help="a folder stands for the FITS files in it")
    add_types(command)
    add_as_of(command)
    add_column_values(command)
    add_instrument(command)
    add_force_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print what each frame gets of each type, what is missing and why, and what is not on this disk."""
    frames: Sequence[str] = files_in(options.frames)
    with instruments_as(options), open_to_read(options, frames) as store, warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)  # of each frame, which are told together
        frames_as_set = frames_with(store, frames, options.overrides)
        found = store.select_sets(frames_as_set, options.types, as_of=options.as_of)
    if options.json:
        print_json({"instrument": store.orm_class.instrument_name, **found.to_dict()})
    else:
        print_exactly(found.to_text(terminal_width()))
    _say_fallbacks(found.fallbacks)
    say_left_out(found.left_out)
    return 0 if found.ok else 1


def _say_fallbacks(fallbacks: Mapping[str, Mapping[int | None, Sequence[str]]]) -> None:
    for cal_type, steps in fallbacks.items():
        for step, frames in steps.items():
            how = "the fallback" if step is None else f"step {step}"
            said = "the rule" if step is None else "the first preference"
            say(f"{cal_type}: {how} chose for {counted(len(frames), 'frame')}, since nothing fits by {said}")
