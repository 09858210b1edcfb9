"""``koa-cal affected``."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from .arguments import add_instrument, add_json
from .context import open_to_read
from .messages import report_all
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
    missing = {path: f"{path} is not there" for path in (*options.products, *options.locks) if not _is_there(path)}
    products, locks = ([path for path in given if path not in missing] for given in (options.products, options.locks))
    with open_to_read(options) as store:
        affected = store.affected(options.name, products=products, locks=locks)
    if options.json:
        print_json({**affected.to_dict(), "unread": {**affected.unread, **missing}})
    else:
        print_exactly(affected.to_text(terminal_width()))
        report_all(missing)
    return 1 if affected.unread or missing else 0


def _is_there(path: str) -> bool:
    from ..disk.reading import user_path

    return os.path.lexists(user_path(path))
