"""``koa-cal token list``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_json
from .output import print_json, print_table
from .token_places import places

ABOUT = "list who has a token and what it allows; never the tokens themselves"

EXAMPLES = """
koa-cal token list
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    add_json(command)


def run(options: Namespace) -> int:
    """List them, oldest first."""
    with places() as kept:
        found = {hash_: token for tokens in kept for hash_, token in tokens.all().items()}
    listed = sorted(found.values(), key=lambda token: token.made)
    if options.json:
        print_json([{**token._asdict(), "instruments": token.instruments or None} for token in listed])
        return 0
    rows = [
        (
            token.name,
            " ".join(token.scopes),
            " ".join(token.instruments) or "all",
            *(_second(time) for time in (token.made, token.expires, token.revoked)),
        )
        for token in listed
    ]
    print_table(("name", "scopes", "instruments", "made", "expires", "revoked"), rows)
    return 0


def _second(time: str | None) -> str:
    return "" if time is None else time.partition(".")[0]
