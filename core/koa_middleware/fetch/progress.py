"""Telling of the bytes that come: to a caller's function, or on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int], None]
"""Called with the bytes that have come since its last call."""


@contextmanager
def shown_progress(size: int, progress: Progress | None, bar: bool) -> Iterator[Progress | None]:
    """Give what is called with new bytes: the caller's function, else that of a bar, on a terminal only."""
    if progress is not None or not bar or not sys.stderr.isatty():
        yield progress
        return
    from tqdm import tqdm

    with tqdm(total=size or None, unit="B", unit_scale=True, file=sys.stderr) as shown:

        def advance(count: int) -> None:
            shown.update(count)

        yield advance
