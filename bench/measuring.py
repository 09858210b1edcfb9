"""What all benchmarks share: the row that they give, calls that take turns, and child processes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the printed table.

    Attributes
    ----------
    what, reference : str
        What was measured, and beside what.
    measured_s, reference_s : float
        Medians, in seconds.
    ratio : float
        The first over the second.
    limit : float or None
        Largest ratio that is good enough.
    note : str
    """

    what: str
    measured_s: float
    reference: str
    reference_s: float
    ratio: float
    limit: float | None = None
    note: str = ""


def row(
    what: str, measured_s: float, reference: str, reference_s: float, limit: float | None = None, note: str = ""
) -> Row:
    """Give a row, its ratio computed."""
    return Row(what, measured_s, reference, reference_s, measured_s / reference_s, limit, note)


def at_most(what: str, measured_s: float, limit_s: float, note: str = "") -> Row:
    """Give the row of something that has a limit in seconds."""
    return row(what, measured_s, "its limit", limit_s, 1.0, note)


def medians(calls: Mapping[str, Callable[[int], object]], rounds: int, warm_up: int = 1) -> dict[str, float]:
    """Median duration of each call, in seconds; the calls take turns, so that a busy machine slows all alike.

    Each is called with the number of the round, from 0; the first `warm_up` rounds do not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(warm_up + rounds):
        turn = list(calls.items())
        for name, call in reversed(turn) if number % 2 else turn:
            start = perf_counter()
            call(number)
            seconds[name].append(perf_counter() - start)
    return {name: statistics.median(each[warm_up:]) for name, each in seconds.items()}


def python(code: str) -> list[str]:
    """Command that runs a line of Python."""
    return [sys.executable, "-c", code]


def koa_cal(*arguments: str) -> list[str]:
    """Command of this environment's koa-cal."""
    return [str(Path(sys.executable).with_name("koa-cal")), *arguments]


def child(command: list[str], **variables: str) -> Callable[[int], None]:
    """Call that runs a command from process start to its end, with more environment variables."""

    def run(_: int) -> None:
        done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}, {done.stderr or done.stdout}")

    return run
