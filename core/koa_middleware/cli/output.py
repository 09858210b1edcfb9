"""How results are printed."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from ..tables import render

_UNITS = ("B", "kB", "MB", "GB", "TB")


def print_json(value: Any) -> None:
    """Print plain data as JSON."""
    print(json.dumps(value, indent=2, default=str))  # noqa: T201


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table: as wide as the terminal, or as its content where the output goes elsewhere."""
    print(render(columns, rows, title=title, width=terminal_width()))  # noqa: T201


def print_text(text: str) -> None:
    """Print a line or several."""
    print(text)  # noqa: T201


def terminal_width() -> int | None:
    """Width of the terminal in characters; None where stdout is not one."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def size(number: float | None) -> str:
    """A number of bytes in words."""
    if number is None:
        return "unknown"
    steps = min(len(_UNITS) - 1, int(math.log(max(number, 1), 1000)))
    scaled = number / 1000**steps
    return f"{scaled:.{0 if steps == 0 or scaled >= 100 else 1}f} {_UNITS[steps]}"
