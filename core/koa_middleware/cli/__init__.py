"""The command line, ``koa-cal``.

Results go to stdout, messages to stderr. Exit code 0: done; 1: nothing matched, or a check failed; 2: wrong usage or
configuration. What a command needs is imported when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import gc
import io
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from ..exceptions import (
    ConfigurationError,
    KoaMiddlewareError,
    PluginError,
    RemoteNotConfiguredError,
    SchemaMismatchError,
)
from .messages import report, say, set_instrument
from .parser import build_parser

_USAGE = (ConfigurationError, PluginError, RemoteNotConfiguredError, SchemaMismatchError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``koa-cal`` with the given arguments, those of the process by default; gives the exit code."""
    gc.set_threshold(100_000)  # a start makes many objects, and hardly one that goes again
    _replace_closed_streams()
    options = build_parser().parse_args(arguments)
    set_instrument(None)
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has every character
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_stdout()
        return 1
    except KoaMiddlewareError as error:
        report(error, debug=options.debug)
        _give_up_stdout()
        return 2 if isinstance(error, _USAGE) else 1
    except OSError as error:
        place = "The output cannot be written" if error.filename is None else error.filename
        report(OSError(f"{place}: {error.strerror or error}."), debug=options.debug)
        _give_up_stdout()
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return code


def _replace_closed_streams() -> None:
    """Discard what goes to a stream that was closed before the start, for which Python has None."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it lives as long as the process


def _give_up_stdout() -> None:
    """Discard what cannot be written, or Python complains of it when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    say(f"note: {message}")
