"""How results are printed."""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .messages import as_typed

if TYPE_CHECKING:
    from ..instrument.judged import Said
    from ..instrument.orm import ORMCalibration

#: Characters of a value that is kept apart, on the terminal; JSON has all of it.
_LONGEST = 300


def print_json(value: Any) -> None:
    """Print plain data as JSON, which has no word for a number that is not finite: null stands there."""
    import json

    print(json.dumps(_finite(value), indent=2, default=str, allow_nan=False))  # noqa: T201


def print_json_line(value: Any) -> None:
    """Print plain data as JSON in one line, at once, for who reads lines as they come."""
    import json

    print(json.dumps(_finite(value), default=str, allow_nan=False), flush=True)  # noqa: T201


def print_line(text: str) -> None:
    """Print one line, whatever stands in it, at once."""
    from ..display import printable

    print(printable(text), flush=True)  # noqa: T201


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table: as wide as the terminal, or as its content where the output goes elsewhere."""
    from ..display import render

    told = [[as_typed(str(cell)) for cell in row] for row in rows]
    print(render(columns, told, title=title, width=terminal_width()))  # noqa: T201


def quality_in_words(record: ORMCalibration, judged: Said | None) -> str:
    """Give a record's quality, and what was judged here where something was: ``GOOD, BAD here``."""
    return record.quality if judged is None else f"{record.quality}, {judged.quality} here"


def print_text(text: str) -> None:
    """Print one line, whatever stands in it; a terminal gets it broken at blanks."""
    from ..display import printable

    _print_at_blanks(printable(as_typed(text)))


def print_exactly(text: str) -> None:
    """Print what a program, or the user's next command, takes letter by letter: a path, SQL, a command."""
    print(text)  # noqa: T201


def print_wrapped(text: str) -> None:
    """Print lines; those that are longer than the terminal is wide are broken at blanks."""
    from ..display import printable

    for line in map(printable, as_typed(text).splitlines()):
        _print_at_blanks(line)


def _print_at_blanks(line: str) -> None:
    width = terminal_width()
    fits = width is None or len(line) <= width
    print_exactly(line if fits else textwrap.fill(line, width or 0, break_long_words=False, break_on_hyphens=False))


def print_conflicts(conflicts: Sequence[Any]) -> None:
    """Print the archive's rows that are kept apart from the local ones, whatever stands in them."""
    from ..display import printable

    if conflicts:
        columns = ("filename", "id", "reason")
        rows = [[_shortened(printable(getattr(one, name))) for name in columns] for one in conflicts]
        print_table(("conflict", "id in the archive", "reason"), rows)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def terminal_width() -> int | None:
    """Width of the terminal in characters; None where stdout is not one."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def with_age(time: str | None) -> str:
    """Give a UTC time with its age, such as ``2026-02-12 01:00:00 UTC, 3 d ago``; ``never`` of none."""
    if time is None:
        return "never"
    from datetime import UTC, datetime

    from ..instrument.times import elapsed

    at = datetime.fromisoformat(time).replace(tzinfo=UTC)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC, {elapsed(datetime.now(UTC) - at)} ago"


def size(number: float | None) -> str:
    """A number of bytes in words."""
    from ..disk.room import in_words

    return "unknown" if number is None else in_words(number)


def counted(number: int, noun: str) -> str:
    """A number of things in words, such as ``1 file`` or ``2 files``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
