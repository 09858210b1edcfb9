"""What follows from a frame's time alone, such as its era: which values a frame can have at which times.

A class derives it by code of its own, so that its changes are looked for: between two of some times at which it says
another thing, to the millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from ...choosing.frame import Frame
from ...exceptions import HeaderError
from ...instrument.door import columns_of
from ...instrument.hooks import overrides
from ...instrument.orm import ORMCalibration
from .moments import Span, cut, days_of, joined

Said = tuple[Any, ...]

#: Changes of one day that are told apart.
_CHANGES = 16


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
        """Give when a frame can have some values; None stands for all."""
        asked = {name: values[name] for name in self.names if values.get(name) is not None}
        if not asked:
            return [whole]
        return next((spans for said, spans in self.within([whole], list(asked)) if said == asked), [])

    def within(self, spans: Sequence[Span], names: Sequence[str]) -> list[tuple[dict[str, Any], list[Span]]]:
        """Give the values of some columns that follow from some times, each once, and from which of them."""
        places = [self._names.index(name) for name in names]
        found: dict[Said, list[Span]] = {}
        for span, said in self._spans:
            found.setdefault(tuple(said[place] for place in places), []).extend(cut(spans, [span]))
        return [(dict(zip(names, said, strict=True)), joined(times)) for said, times in found.items() if times]

    def changes(self, whole: Span) -> list[tuple[int, str]]:
        """Give the times within a span at which something else follows, and what."""
        found = []
        for (_, before), (span, after) in pairwise(self._spans):
            new = [
                f"no {name}" if value is None else f"{name} {value}"
                for name, old, value in zip(self._names, before, after, strict=True)
                if name in self.names and value != old
            ]
            if new and whole.start < span.start < whole.end:
                found.append((span.start, ", ".join(new)))
        return found

    def _alike(self, moments: Sequence[int]) -> list[tuple[Span, Said]]:
        if not moments:
            return []
        starts = [(moments[0], self._said_at(moments[0]))]
        for before, after in pairwise(moments):
            starts += self._changes(before, after, starts[-1][1])
        ends = [start for start, _ in starts[1:]] + [moments[-1] + 1]
        return [(Span(start, end), each) for (start, each), end in zip(starts, ends, strict=True)]

    def _changes(self, before: int, after: int, old: Said) -> Iterator[tuple[int, Said]]:
        """Give the changes between two times, and what follows from then on."""
        new = self._said_at(after)
        for _ in range(_CHANGES):
            if old == new:
                return
            before = self._change(before, after, old)
            old = self._said_at(before)
            yield before, old
        if old != new:
            yield after, new

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
