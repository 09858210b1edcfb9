"""``koa-cal token revoke``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .messages import say
from .token_places import places

ABOUT = "end a token; servers refuse it within a second"

EXAMPLES = """
koa-cal token revoke night-staff
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("name", metavar="NAME", help="whose it is")


def run(options: Namespace) -> int:
    """End the living token of a name, wherever it is kept."""
    with places() as kept:
        ended = [tokens.revoke(options.name) for tokens in kept]
    if any(ended):
        return 0
    say(f"No living token is named {options.name!r}; koa-cal token list shows those that there are.")
    return 1
