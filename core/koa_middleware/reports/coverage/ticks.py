"""Dates along a figure's axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

#: Dates of an axis at most, and inches that one takes.
_MOST, _ROOM = 7, 0.58

#: Forms of a time of day, the shortest first.
_TIMES = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")


def ticks_of(dates: Any, first: float, last: float, inches: float) -> tuple[list[float], list[str]]:
    """Give where an axis has dates, as matplotlib's days, and what stands there.

    Parameters
    ----------
    dates : module
        That of matplotlib.
    first, last : float
        Ends of the axis.
    inches : float
        Its length.
    """
    locator = dates.AutoDateLocator(tz=UTC, minticks=3, maxticks=_MOST)
    wanted = locator.tick_values(dates.num2date(first, tz=UTC), dates.num2date(last, tz=UTC))
    places = list(_apart([float(each) for each in wanted if first <= each <= last], (last - first) / inches * _ROOM))
    return places, labels_of([dates.num2date(each, tz=UTC) for each in places])


def labels_of(times: Sequence[datetime]) -> list[str]:
    """Say times so that each is told apart: months, days, or times of day with the day where a new one begins."""
    days = [f"{each:%Y-%m-%d}" for each in times]
    if len({each.time() for each in times} | {datetime.min.time()}) == 1:
        is_by_month = len(times) > 1 and all(each.day == 1 for each in times)
        return [each[:7] for each in days] if is_by_month else days
    form = next(
        (each for each in _TIMES if len({f"{time:%Y-%m-%d}{time:{each}}" for time in times}) == len(times)), _TIMES[-1]
    )
    new = [number == 0 or day != days[number - 1] for number, day in enumerate(days)]
    return [
        f"{time:{form}}\n{day}" if is_new else f"{time:{form}}"
        for time, day, is_new in zip(times, days, new, strict=True)
    ]


def _apart(places: Sequence[float], room: float) -> Iterator[float]:
    """Leave out what has no room beside the one before."""
    last = float("-inf")
    for each in places:
        if each - last >= room:
            last = each
            yield each
