"""Counts and values in words, as explanations and messages have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..instrument.plain import brief


def in_numbers(counts: Mapping[str, int]) -> str:
    """Give counts in words: ``2 quality, 1 farther``."""
    return ", ".join(f"{number} {rule}" for rule, number in counts.items())


def in_pairs(values: Mapping[str, Any]) -> str:
    """Give values in words: ``lamp thar, fiber all``."""
    return ", ".join(f"{name} {brief(value)}" for name, value in values.items())


def in_ends(values: Sequence[float]) -> Any:
    """Give numbers in words, from the least to the largest: ``61003 to 61012``; what is one number, as it is."""
    least, largest = min(values), max(values)
    return least if least == largest else f"{least:.12g} to {largest:.12g}"


def offset(delta: float | None) -> str:
    """A time difference in days as text: ``12.4 d older`` than the frame, or newer."""
    if delta is None:
        return "no time"
    return f"{abs(delta):.{1 if abs(delta) >= 1 else 3}f} d {'older' if delta < 0 else 'newer'}"
