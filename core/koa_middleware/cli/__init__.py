"""The command line, ``koa-cal``.

Results go to stdout, messages to stderr. Exit code 0: done; 1: nothing matched, or a check failed; 2: wrong usage or
configuration. What a command needs is imported when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

from ..exceptions import (
    ConfigurationError,
    KoaMiddlewareError,
    PluginError,
    RemoteNotConfiguredError,
    SchemaMismatchError,
)
from .parser import build_parser

_USAGE = (ConfigurationError, PluginError, RemoteNotConfiguredError, SchemaMismatchError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``koa-cal`` with the given arguments, those of the process by default; gives the exit code."""
    options = build_parser().parse_args(arguments)
    warnings.showwarning = _show_warning
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except KoaMiddlewareError as error:
        if options.debug:
            raise
        say(str(error))
        return 2 if isinstance(error, _USAGE) else 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return code


def say(message: str) -> None:
    """Tell the user something, on stderr, in one line."""
    print(f"koa-cal: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    say(f"note: {message}")
