"""``koa-cal sync``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_instrument, add_json
from .context import open_for
from .messages import say
from .output import print_conflicts, print_json, print_text

ABOUT = "bring the local database up to date with the archive"


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("--full", action="store_true", help="compare every record, even those reported as unchanged")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Bring the local database up to date; names what is in conflict."""
    with open_for(options) as store:
        result = store.sync_from_remote(full=options.full)
        conflicts = result.conflicts
    for sentence in result.noticed:
        say(sentence)
    if options.json:
        print_json(
            {
                "added": result.added,
                "changed": result.changed,
                "withdrawn": result.withdrawn,
                "full": result.full,
                "noticed": result.noticed,
                "conflicts": [conflict.to_dict() for conflict in conflicts],
            }
        )
    else:
        print_text(f"{result.added} added, {result.changed} changed, {result.withdrawn} withdrawn")
        print_conflicts(conflicts)
    return 0
