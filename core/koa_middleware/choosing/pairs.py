"""In which value the two sides of a frame agree best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..kept import kept_property
from .order import distance, in_ms

Value = tuple[Any, ...]

SIDES = ("before", "after")


@dataclass(frozen=True)
class Nearby:
    """The nearest time of each value on both sides of a frame, as far as they were read.

    Attributes
    ----------
    times : mapping
        By side and value, in days.
    reach : mapping
        By side, how far from the frame it was read, in ms; infinite where all of it was.
    """

    times: Mapping[str, Mapping[Value, float]]
    reach: Mapping[str, float]

    @property
    def is_settled(self) -> bool:
        """Whether nothing that was not read can make a better pair."""
        if self.pairs:
            span, _, _ = self.pairs[0]
            return all(span < self.reach[side] for side in SIDES)
        is_whole = {side: math.isinf(self.reach[side]) for side in SIDES}
        return all(is_whole.values()) or any(is_whole[side] and not self.times[side] for side in SIDES)

    def best(self) -> list[Value]:
        """Give the values of the best complete pairs: several where they are of the same times."""
        return [value for *times, value in self.pairs if times == list(self.pairs[0][:2])]

    @kept_property
    def pairs(self) -> list[tuple[float, float, Value]]:
        """Span and earlier time, in ms, and value of each complete pair, the best first; a null agrees with nothing."""
        before, after = (self.times[side] for side in SIDES)
        both = [value for value in before if value in after and None not in value]
        found = [(distance(before[value], after[value]), in_ms(before[value]), value) for value in both]
        return sorted(found, key=lambda pair: pair[:2])
