"""``koa-cal show``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_as_of, add_instrument, add_json
from .context import open_to_read
from .output import print_exactly, print_json, print_table, print_text, quality_in_words, with_age

ABOUT = "show one calibration's record"

EXAMPLES = """
koa-cal show master-dark.001.fits
# who changed what, when and why
koa-cal show master-dark.001.fits --history
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("name", metavar="ID_OR_FILENAME")
    command.add_argument("--history", action="store_true", help="tell who changed what, when and why, oldest first")
    add_as_of(command)
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print one record and what was said of its quality, or what happened to it."""
    if options.history:
        return _print_history(options)
    with open_to_read(options) as store:
        known = store.known_at(options.as_of)
        record = known.find(options.name)
        said = known.all_said_of(record.id)
        judged = known.judged_here().get(record.id)
        place = str(store.get_local_filepath(record)) if store.calibration_in_cache(record) else None
    if options.json:
        flags = [
            {
                "calibration_id": record.id,
                "quality": quality,
                "reason": why,
                "flagged_by": who,
                "flagged_at": at,
                "here": is_here,
            }
            for quality, who, why, at, is_here in said
        ]
        own = None if judged is None else judged.quality
        print_json({**record.to_dict(), "path": place, "judged_here": own, "flags": flags})
    else:
        values = record.to_dict() | {"quality": quality_in_words(record, judged)}
        rows = [(name, "" if value is None else value) for name, value in values.items()]
        print_table(("column", "value"), [*rows, ("path", place or "not in the cache")], title=record.filename)
        for quality, who, why, at, is_here in said:
            what = "taken back here" if quality is None else f"{quality} here" if is_here else quality
            print_text(f"{what} by {who}, {with_age(at)}: {why or 'no reason given'}")
    return 0


def _print_history(options: Namespace) -> int:
    with open_to_read(options) as store:
        history = store.history(options.name)
        if options.as_of is not None:
            moment = store.known_at(options.as_of).moment
            history[:] = [event for event in history if event["time"] <= moment]
    if options.json:
        print_json(history)
    else:
        print_exactly(str(history))
    return 0
