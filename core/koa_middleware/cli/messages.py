"""What the user is told besides the result: on stderr, one line each."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from ..display import printable


def say(message: str) -> None:
    """Tell the user something, on stderr, in one line."""
    print(f"koa-cal: {printable(' '.join(message.split()))}", file=sys.stderr)  # noqa: T201


def say_of(name: str, message: str) -> None:
    """Tell the user something about a file; its name stands before a message that does not begin with it."""
    say(message if message.startswith(f"{name} ") else f"{name}: {message}")


def say_left_out(left_out: Mapping[str, Sequence[str]]) -> None:
    """Tell the user which types were not asked for, and how to ask for them."""
    for cal_type, columns in left_out.items():
        needed = " ".join(f"--set {name}=..." for name in columns)
        say(f"{cal_type} is left out; ask for it with --type {cal_type} {needed}")


def report(error: Exception, name: str = "", *, debug: bool) -> None:
    """Say an error, of a file where one is named, in one line, below its traceback where that is wanted."""
    if debug:
        import traceback

        traceback.print_exception(error)
    if name:
        say_of(name, str(error))
    else:
        say(str(error))
