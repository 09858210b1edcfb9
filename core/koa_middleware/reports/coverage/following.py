"""What follows from a frame's time alone, such as its era: which values a frame can have at which times.

A class derives it by code of its own, so that its changes are looked for: between two of some times at which it says
another thing, to the millisecond. What is shown is laid out by it; the gaps of a group do not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from ...choosing.frame import Frame
from ...exceptions import HeaderError
from ...instrument.door import columns_of
from ...instrument.hooks import overrides
from ...instrument.orm import ORMCalibration
from .moments import Span, days_of, joined

Said = tuple[Any, ...]


class Following:
    """The columns of an instrument whose values follow from a frame's time.

    Parameters
    ----------
    orm_class : type
    names : sequence of str
        The columns that are compared.
    times : iterable of str
        The columns of a frame's time.
    moments : iterable of int
        Times at which they are looked at, in milliseconds.
    """

    def __init__(
        self, orm_class: type[ORMCalibration], names: Sequence[str], times: Iterable[str], moments: Iterable[int]
    ) -> None:
        self._orm_class, self._names, self._times = orm_class, names, tuple(times)
        looked_at = sorted(set(moments)) if names and overrides(orm_class, "derive") else []
        self._spans = self._alike(looked_at)
        said = {each for _, each in self._spans}
        changing = [place for place in range(len(names)) if len({each[place] for each in said}) > 1]
        self.names = tuple(names[place] for place in changing)

    def spans(self, values: Mapping[str, Any], whole: Span) -> list[Span]:
        """Give when a frame can have some values."""
        asked = {name: values[name] for name in self.names if values.get(name) is not None}
        if not asked or not self._spans:
            return [whole]
        places = {self._names.index(name): value for name, value in asked.items()}
        fitting = [
            span for span, said in self._spans if all(said[place] in (None, value) for place, value in places.items())
        ]
        inside = (Span(max(each.start, whole.start), min(each.end, whole.end)) for each in fitting)
        return joined(each for each in inside if each.start < each.end)

    def changes(self, whole: Span) -> list[tuple[int, str]]:
        """Give the times within a span at which something else follows, and what."""
        found = []
        for (_, before), (span, after) in pairwise(self._spans):
            new = [
                f"{name} {value}"
                for name, old, value in zip(self._names, before, after, strict=True)
                if name in self.names and value not in (old, None)
            ]
            if new and whole.start < span.start < whole.end:
                found.append((span.start, ", ".join(new)))
        return found

    def _alike(self, moments: Sequence[int]) -> list[tuple[Span, Said]]:
        if not moments:
            return []
        said = [self._said_at(moment) for moment in moments]
        starts = [(moments[0], said[0])]
        for (before, old), (after, new) in pairwise(zip(moments, said, strict=True)):
            if old != new:
                starts.append((self._change(before, after, old), new))
        ends = [start for start, _ in starts[1:]] + [moments[-1] + 1]
        return [(Span(start, end), each) for (start, each), end in zip(starts, ends, strict=True)]

    def _change(self, before: int, after: int, old: Said) -> int:
        while after - before > 1:
            middle = (before + after) // 2
            if self._said_at(middle) == old:
                before = middle
            else:
                after = middle
        return after

    def _said_at(self, moment: int) -> Said:
        given = dict.fromkeys(self._times, days_of(moment))
        frame = Frame(self._orm_class, columns_of(self._orm_class), given, "")
        with suppress(HeaderError):  # of a class that derives nothing of a time alone
            return tuple(frame.known(name) for name in self._names)
        return (None,) * len(self._names)
