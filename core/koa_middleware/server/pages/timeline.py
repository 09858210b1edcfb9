"""A coverage as lines over time: what is drawn, at which part of the width, and what is said of it in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from ...instrument.times import DAY_MS
from ...reports.coverage.bands import Band, bands_of, by_type, events_of
from ...reports.coverage.moments import Span, iso_of
from ...reports.coverage.report import Coverage

#: Parts of the width that are told apart: what lies closer together is one mark.
_FINE = 1000

#: Gaps of a line that are listed, the longest ones.
_LISTED = 8

#: Dates below the lines, at most.
_DATES = 5

#: Steps from one date to the next: hours of less than a month, then months.
_HOURS = (1, 3, 6, 12, 24, 48, 120, 240)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240)


def timeline_of(coverage: Coverage) -> dict[str, Any]:
    """Give a coverage as plain data for a page; positions are parts of the width in percent."""
    whole = coverage.whole
    if whole is None:
        return {"types": [], "dates": [], "events": [], "start": None, "end": None}
    bands = bands_of(coverage)
    events: dict[int, list[str]] = {}
    for moment, what in events_of(coverage, bands):
        events.setdefault(moment, []).append(what)
    return {
        "start": iso_of(whole.start),
        "end": iso_of(whole.end),
        "types": [
            {"cal_type": cal_type, "bands": [_band(each, whole) for each in alike]}
            for cal_type, alike in by_type(bands)
        ],
        "dates": [{"at": _at(moment, whole), "said": said} for moment, said in _dates(whole)],
        "events": [
            {"at": _at(moment, whole), "time": iso_of(moment), "said": ", ".join(said)}
            for moment, said in sorted(events.items())
        ],
    }


def _band(band: Band, whole: Span) -> dict[str, Any]:
    bad = sum(record.quality == "BAD" for record in band.records)
    longest = sorted(band.gaps, key=lambda gap: gap.start - gap.end)[:_LISTED]
    return {
        "label": band.label or "all",
        "values": dict(band.values),
        "number": len(band.records),
        "bad": bad,
        "note": band.note,
        "is_empty": list(band.gaps) == [whole],
        "bars": [{"at": _at(each.start, whole), "wide": _wide(each, whole)} for each in _drawn(band.gaps, whole)],
        "marks": [
            {"quality": quality, "at": at}
            for quality in ("GOOD", "UNKNOWN", "BAD")
            for at in _places((each.moment for each in band.records if each.quality == quality), whole)
        ],
        "boundaries": [_at(each, whole) for each in band.boundaries],
        "gaps": [{"start": iso_of(gap.start), "end": iso_of(gap.end), "long": _long(gap)} for gap in sorted(longest)],
        "more": len(band.gaps) - len(longest),
    }


def _at(moment: int, whole: Span) -> float:
    return round(100 * (moment - whole.start) / max(whole.end - whole.start, 1), 3)


def _wide(span: Span, whole: Span) -> float:
    return round(100 * (span.end - span.start) / max(whole.end - whole.start, 1), 3)


def _places(moments: Iterable[int], whole: Span) -> list[float]:
    """Give where marks are, those that would stand on each other as one."""
    fine = 100 / _FINE
    return [round(place * fine, 3) for place in dict.fromkeys(round(_at(each, whole) / fine) for each in moments)]


def _drawn(gaps: Sequence[Span], whole: Span) -> list[Span]:
    """Give gaps as they are drawn: those between which nothing would be seen as one."""
    least = (whole.end - whole.start) / _FINE / 2
    found: list[Span] = []
    for gap in gaps:
        if found and gap.start - found[-1].end < least:
            found[-1] = Span(found[-1].start, gap.end)
        else:
            found.append(gap)
    return found


def _long(gap: Span) -> str:
    days = (gap.end - gap.start) / DAY_MS
    if days >= 1:
        return f"{days:.1f} d"
    return f"{days * 24:.1f} h" if days * 24 >= 1 else f"{max(days * 1440, 0.1):.1f} min"


def _dates(whole: Span) -> Iterator[tuple[int, str]]:
    """Give the dates below the lines, with what stands there."""
    first, last = (datetime.fromisoformat(iso_of(each)) for each in whole)
    hours = (last - first) / timedelta(hours=1)
    step = next((each for each in _HOURS if hours / each <= _DATES), None)
    times = _by_months(first, last) if step is None else _by_hours(first, last, step)
    is_by_month = step is None
    is_by_day = step is not None and step >= 24
    for time in times:
        said = f"{time:%Y-%m}" if is_by_month else f"{time:%Y-%m-%d}" if is_by_day else f"{time:%m-%d %H:%M}"
        yield whole.start + round((time - first) / timedelta(milliseconds=1)), said


def _by_hours(first: datetime, last: datetime, step: int) -> Iterator[datetime]:
    time = datetime(first.year, first.month, first.day)
    while time <= last:
        if time >= first:
            yield time
        time += timedelta(hours=step)


def _by_months(first: datetime, last: datetime) -> Iterator[datetime]:
    number, end = first.year * 12 + first.month, last.year * 12 + last.month - 1
    step = next((each for each in _MONTHS if (end - number) / each < _DATES), _MONTHS[-1])
    number = -(-number // step) * step
    while number <= end:
        yield datetime(number // 12, number % 12 + 1, 1)
        number += step
