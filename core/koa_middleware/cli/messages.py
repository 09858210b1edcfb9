"""What the user is told besides the result: on stderr, one line each."""

from __future__ import annotations

import sys


def say(message: str) -> None:
    """Tell the user something, on stderr, in one line."""
    print(f"koa-cal: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201


def report(error: Exception, prefix: str = "", *, debug: bool) -> None:
    """Say an error in one line, below its traceback where that is wanted."""
    if debug:
        import traceback

        traceback.print_exception(error)
    say(f"{prefix}{error}")
