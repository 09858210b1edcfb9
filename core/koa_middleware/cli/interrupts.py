"""Ctrl-C, where Python loses it or tells of something else.

A KeyboardInterrupt that comes inside a finalizer or a callback of a weak reference is printed and dropped, and one that
comes while a class is made is told as a RuntimeError of that.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SOON = 0.01
"""Seconds, after which the finalizer is over."""


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Raise an interrupt once more where it was dropped, and raise it where another error came of it."""
    report, asked = sys.unraisablehook, threading.get_ident()
    timers: list[threading.Timer] = []

    def again(dropped: UnraisableHookArgs) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            report(dropped)
        elif not any(timer.is_alive() for timer in timers):  # one interrupt may be dropped twice
            timers.append(threading.Timer(_SOON, signal.pthread_kill, (asked, signal.SIGINT)))
            timers[-1].start()

    sys.unraisablehook = again
    try:
        yield
    except Exception as error:
        if _comes_of_an_interrupt(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        sys.unraisablehook = report
        for timer in timers:
            timer.cancel()


def _comes_of_an_interrupt(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
