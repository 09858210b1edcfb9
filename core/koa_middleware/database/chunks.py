"""Many values, in portions that one statement holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

#: Values in one statement.
CHUNK = 5000


def in_chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Give values in lists of at most `size`."""
    iterator = iter(values)
    while chunk := list(islice(iterator, size)):
        yield chunk
