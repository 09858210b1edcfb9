"""Counts and values in words, as explanations and messages have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def in_numbers(counts: Mapping[str, int]) -> str:
    """Give counts in words: ``2 quality, 1 farther``."""
    return ", ".join(f"{number} {rule}" for rule, number in counts.items())


def in_pairs(values: Mapping[str, Any]) -> str:
    """Give values in words: ``lamp thar, fiber all``."""
    return ", ".join(f"{name} {value}" for name, value in values.items())
