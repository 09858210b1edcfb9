"""Times of frames in whole milliseconds, and which of them nothing serves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...instrument.times import DAY_MS, iso_from_mjd

#: Days beyond every time of an observation.
_FAR = 1e7


class Span(NamedTuple):
    """Times from `start` on and before `end`, in milliseconds of the Modified Julian Date, UTC."""

    start: int
    end: int

    def to_dict(self) -> dict[str, str]:
        """Both ends as ISO text."""
        return {"start": iso_of(self.start), "end": iso_of(self.end)}


def iso_of(moment: int) -> str:
    """Give a time in milliseconds as ISO text, UTC."""
    return iso_from_mjd(days_of(moment))


def days_of(moment: int) -> float:
    """Give a time in milliseconds in days."""
    return moment / DAY_MS


def moment_of(days: float) -> int:
    """Give a time in days in milliseconds, to the nearest one."""
    return round(days * DAY_MS)


def first_from(days: float) -> int:
    """Give the first millisecond at or after a time in days."""
    days = min(max(days, -_FAR), _FAR)
    moment = math.floor(days * DAY_MS) - 1
    while days_of(moment) < days:
        moment += 1
    return moment


def first_after(days: float) -> int:
    """Give the first millisecond after a time in days."""
    return first_from(math.nextafter(days, math.inf))


def uncovered(served: Iterable[tuple[float, float]], whole: Span) -> list[Span]:
    """Give the times of a span that lie in none of some intervals of days, which hold both of their ends."""
    found: list[Span] = []
    reach = -math.inf

    def note(until: int) -> None:
        gap = Span(max(whole.start, first_after(reach)), min(whole.end, until))
        if gap.start < gap.end:
            found.append(gap)

    for first, last in sorted(served):
        if first > reach:
            note(first_from(first))
        reach = max(reach, last)
    note(whole.end)
    return found


def cut(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """Give what some spans and others, each in order and apart, have in common."""
    found, one, other = [], 0, 0
    while one < len(spans) and other < len(others):
        both = Span(max(spans[one].start, others[other].start), min(spans[one].end, others[other].end))
        if both.start < both.end:
            found.append(both)
        if spans[one].end < others[other].end:
            one += 1
        else:
            other += 1
    return found


def rest_of(spans: Sequence[Span], whole: Span) -> list[Span]:
    """Give what is left of a span without others inside it, which are in order."""
    edges = [whole.start, *(edge for span in spans for edge in span), whole.end]
    return [Span(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end]


def joined(spans: Iterable[Span]) -> list[Span]:
    """Give spans in order, those that touch or overlap as one."""
    found: list[Span] = []
    for each in sorted(spans):
        if found and each.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, each.end))
        else:
            found.append(each)
    return found
