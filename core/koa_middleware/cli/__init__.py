"""The command line, ``koa-cal``.

Results go to stdout, messages to stderr. Exit code 0: done; 1: nothing matched, or a check failed; 2: wrong usage or
configuration; 130: stopped by Ctrl-C; 141: whoever read the output went away. What a command needs is imported when it
runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import gc
import io
import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ..exceptions import (
    ConfigurationError,
    KoaMiddlewareError,
    PluginError,
    RemoteNotConfiguredError,
    SchemaMismatchError,
)
from ..settings import wants_completion
from .interrupts import interrupts_kept
from .messages import report, say, set_instrument
from .output import print_json
from .parser import UsageError, build_parser, parse

_USAGE = (ConfigurationError, PluginError, RemoteNotConfiguredError, SchemaMismatchError)

#: 128 and the signal's number, as a shell has it.
_INTERRUPTED, _NOBODY_READS = 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``koa-cal`` with the given arguments, those of the process by default; gives the exit code."""
    gc.set_threshold(100_000)  # a start makes many objects, and hardly one that goes again
    _replace_closed_streams()
    words = sys.argv[1:] if arguments is None else list(arguments)
    set_instrument(None)
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has every character
    if wants_completion():
        from .completing import complete

        complete(build_parser())
    try:
        with interrupts_kept():
            options = parse(words)
        return _run(options)
    except UsageError as error:
        return _refuse(error, as_json=_asks_for_json(words))
    except BrokenPipeError:
        _give_up_stdout()
        return _NOBODY_READS
    except KeyboardInterrupt as stopped:
        from ..fetch.progress import how_far

        say(str(stopped) or " after ".join(filter(None, ["interrupted", how_far()])))
        return _INTERRUPTED


def _asks_for_json(words: Sequence[str]) -> bool:
    """Tell whether ``--json`` stands among the options, however it is misspelt behind that."""
    options = words[: words.index("--")] if "--" in words else words
    return any(word.partition("=")[0] == "--json" for word in options)


def _run(options: Namespace) -> int:
    try:
        with interrupts_kept():
            code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except KoaMiddlewareError as error:
        _tell(error, options, error.message, error.hint)
        return 2 if isinstance(error, _USAGE) else 1
    except OSError as error:
        place = "The output cannot be written" if error.filename is None else error.filename
        said = f"{place}: {error.strerror or error}."
        _tell(OSError(said), options, said, "")
        return 1
    return code


def _tell(error: Exception, options: Namespace, message: str, hint: str) -> None:
    """Tell of an error: on stdout as JSON where that is wanted, else in one line on stderr."""
    if getattr(options, "json", False):
        print_json({"error": {"type": type(error).__name__, "message": message, "hint": hint}})
    if options.debug or not getattr(options, "json", False):
        report(error, debug=options.debug)
    _give_up_stdout()


def _refuse(error: UsageError, *, as_json: bool) -> int:
    """Tell of a command that is none."""
    if as_json:
        print_json({"error": {"type": "UsageError", "message": str(error), "hint": error.usage.strip()}})
    else:
        print(error.usage, end="", file=sys.stderr)  # noqa: T201
        say(str(error))
    return 2


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
