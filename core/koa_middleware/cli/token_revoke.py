"""``koa-cal token revoke``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_json
from .messages import say
from .output import print_json
from .token_places import places

ABOUT = "end a token; servers refuse it within a second"

EXAMPLES = """
koa-cal token revoke night-staff
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("name", metavar="NAME", help="whose it is")
    add_json(command)


def run(options: Namespace) -> int:
    """End the living token of a name, wherever it is kept."""
    with places() as kept:
        ended = [tokens.revoke(options.name) for tokens in kept]
    if options.json:
        print_json({"name": options.name, "revoked": any(ended)})
    if any(ended):
        return 0
    say(f"No living token is named {options.name!r}; koa-cal token list shows those that there are.")
    return 1
