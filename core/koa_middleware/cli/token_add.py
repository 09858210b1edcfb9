"""``koa-cal token add``."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from .arguments import add_json, time
from .output import print_exactly, print_json
from .token_places import places

ABOUT = "make a token by which a server knows who asks, and print it once"

EXAMPLES = """
# alone on stdout, once
koa-cal token add night-staff --scope publish --scope flag --expires 30d
"""

_SCOPES = ("read", "publish", "flag")


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("name", metavar="NAME", help="whose it is; the history shows this name")
    command.add_argument(
        "--scope",
        metavar="SCOPE",
        action="extend",
        nargs="+",
        type=scope,
        required=True,
        dest="scopes",
        help="what it allows: read, publish, flag; name one or several",
    )
    command.add_argument(
        "-i",
        "--instrument",
        metavar="NAME",
        action="append",
        default=[],
        dest="instruments",
        help="an instrument that it is for; may be repeated; default: all in the same database",
    )
    command.add_argument(
        "--expires",
        metavar="30d|TIME",
        type=expiry,
        help="after so many days, at a UTC time, or at the end of a UTC day",
    )
    add_json(command)


def run(options: Namespace) -> int:
    """Keep a new token's hash, and print the token."""
    from ..database.tokens import new_token
    from ..plugins import get_plugin

    token = new_token()
    with places(options.instruments) as kept:
        instruments = [get_plugin(name).name for name in options.instruments]
        for tokens in kept:
            tokens.add(token, options.name, options.scopes, instruments, options.expires)
    if options.json:
        print_json({"name": options.name, "token": token})
    else:
        print_exactly(token)
    return 0


def scope(text: str) -> str:
    """Check a scope."""
    if text not in _SCOPES:
        raise ArgumentTypeError(f"{text!r} is no scope; give {', '.join(_SCOPES)}, and NAME before --scope")
    return text


def expiry(text: str) -> str:
    """Read when a token expires, UTC, in microseconds: ``30d``, a time, or a day, which it holds to the end of."""
    from ..instrument.times import in_days, now_iso, parse_iso

    if days := re.fullmatch(r"([0-9]{1,6})d", text.strip()):
        found = in_days(int(days[1]))
    else:
        until = parse_iso(time(text))
        found = f"{until.text}000" if until.has_clock else f"{until.text[:10]}T23:59:59.999999"
    if found <= now_iso():
        raise ArgumentTypeError(f"{text!r} is not in the future")
    return found
