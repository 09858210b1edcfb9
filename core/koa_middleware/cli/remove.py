"""``koa-cal remove``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_instrument, add_json
from .context import open_for
from .output import print_json, print_text

ABOUT = "remove a LOCAL calibration; its file goes to the quarantine"

EXAMPLES = """
koa-cal remove wrong-dark.fits --dry-run
koa-cal remove wrong-dark.fits
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("name", metavar="ID_OR_FILENAME")
    command.add_argument("--dry-run", action="store_true", help="remove nothing, only say what would go")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Take a record away."""
    with open_for(options) as store:
        record, moved_to = store.remove(options.name, dry_run=options.dry_run)
    if options.json:
        print_json({**record.to_dict(), "moved_to": moved_to, "dry_run": options.dry_run})
    elif options.dry_run:
        print_text(f"would remove {record.filename} ({record.id})")
    else:
        place = f"; its file is now {moved_to}" if moved_to else ""
        print_text(f"removed {record.filename} ({record.id}){place}")
    return 0
