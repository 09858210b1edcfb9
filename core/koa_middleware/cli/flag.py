"""``koa-cal flag``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_instrument, add_json
from .context import open_for
from .output import print_json, print_text

ABOUT = "flag a calibration as good, bad or unknown, at the archive or for this cache alone"


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("name", metavar="ID_OR_FILENAME")
    command.add_argument("quality", choices=("good", "bad", "unknown", "clear"), type=str.lower)
    command.add_argument(
        "--here", action="store_true", help="judge for this cache alone, over the archive's word, until it is cleared"
    )
    command.add_argument("--reason", required=True, help="why; koa-cal show prints it")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Set a record's quality, or judge it here."""
    quality = None if options.quality == "clear" else options.quality
    with open_for(options) as store:
        record = store.flag(options.name, quality, options.reason, here=options.here)
        judged = store.known_db.judged_here().get(record.id)
    own = None if judged is None else judged.quality
    if options.json:
        print_json({**record.to_dict(), "judged_here": own})
    elif quality is None:
        print_text(f"{record.filename} is {record.quality}, as its row says: {options.reason}")
    elif options.here:
        print_text(f"{record.filename} is {own} here: {options.reason}")
    else:
        still = "" if own is None else f" (but {own} here, until koa-cal flag --here clears that)"
        print_text(f"{record.filename} is {record.quality}{still}: {options.reason}")
    return 0
