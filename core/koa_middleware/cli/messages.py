"""What the user is told besides the result: on stderr, one line each."""

from __future__ import annotations

import sys

from ..display import printable


def say(message: str) -> None:
    """Tell the user something, on stderr, in one line."""
    print(f"koa-cal: {printable(' '.join(message.split()))}", file=sys.stderr)  # noqa: T201


def say_of(name: str, message: str) -> None:
    """Tell the user something about a file; its name stands before a message that does not begin with it."""
    say(message if message.startswith(f"{name} ") else f"{name}: {message}")


def report(error: Exception, name: str = "", *, debug: bool) -> None:
    """Say an error, of a file where one is named, in one line, below its traceback where that is wanted."""
    if debug:
        import traceback

        traceback.print_exception(error)
    if name:
        say_of(name, str(error))
    else:
        say(str(error))
