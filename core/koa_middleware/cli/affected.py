"""``koa-cal affected``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_instrument, add_json
from .context import open_for
from .output import print_exactly, print_json, terminal_width

ABOUT = "list what was made from a calibration: masters, products, lock files"

EXAMPLES = """
# what was made with a bad calibration
koa-cal affected master-dark.001.fits --products reduced/ --locks night.toml
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("name", metavar="ID_OR_FILENAME")
    command.add_argument(
        "--products", metavar="DIR", nargs="+", action="extend", default=[], help="folders of products, or products"
    )
    command.add_argument("--locks", metavar="FILE", nargs="+", action="extend", default=[], help="lock files")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print what was made from a calibration; ends with 1 when a file could not be read."""
    with open_for(options) as store:
        affected = store.affected(options.name, products=options.products, locks=options.locks)
    if options.json:
        print_json(affected.to_dict())
    else:
        print_exactly(affected.to_text(terminal_width()))
    return 1 if affected.unread else 0
