"""A coverage as text, for the terminal."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from ...display import printable
from .bands import Band, bands_of, events_of
from .moments import Span, iso_of

if TYPE_CHECKING:
    from .report import Coverage

#: Characters of a line where nothing is said.
_WIDTH = 80

#: Characters of a label, and of a bar, at least.
_LABEL, _BAR = 36, 16

#: Gaps of a band that are listed one by one.
_LISTED = 6

_DAY = 86_400_000

#: What the numbers at the end are.
_COUNTED = "calibrations in range"

#: What a part of a bar says: calibrations, an answer without one, an answer for a part of it, none.
CALIBRATION, ANSWER, PARTLY, NOTHING = "█", "─", "░", "·"


def as_text(coverage: Coverage, width: int | None = None) -> str:
    """Give a bar over time for each band, and its gaps below it."""
    if coverage.whole is None:
        return f"{coverage.instrument}: there are no calibrations"
    width = max(width or _WIDTH, 40)
    bands = bands_of(coverage)
    labels = [printable(f"{band.cal_type} {band.label}".rstrip()) for band in bands]
    numbers = [band.in_words() for band in bands]
    room = min(max(map(len, labels), default=0), _LABEL, width // 3)
    bar = max(width - room - max(map(len, numbers), default=0) - 4, _BAR)
    head = f"{coverage.instrument}: {_minute(coverage.whole.start)} to {_minute(coverage.whole.end)} UTC"
    lines = [head + _COUNTED.rjust(width - len(head))] if len(head) + len(_COUNTED) < width else [head, _COUNTED]
    for band, label, number in zip(bands, labels, numbers, strict=True):
        if len(label) > room:
            lines.append(label)
            label = ""
        lines.append(f"{label:<{room}}  {_bar(band, coverage.whole, bar)}  {number}".rstrip())
        lines += [f"  {line}" for line in _gaps(band, coverage.whole)]
    said = f"{CALIBRATION} calibrations   {ANSWER} an answer   {PARTLY} partly none   {NOTHING} none"
    lines += ["", said]
    below = [f"{_minute(moment)}  {what}" for moment, what in events_of(coverage, bands)]
    below += sorted({band.note for band in bands if band.note})
    for line in map(printable, below):
        lines += textwrap.wrap(line, width, subsequent_indent="  ", break_long_words=False)
    return "\n".join(lines)


def _bar(band: Band, whole: Span, width: int) -> str:
    """Give the bar of a band, each character for a part of the time."""
    length = max(whole.end - whole.start, 1)
    edges = [whole.start + length * place // width for place in range(width + 1)]
    missing, known = [0] * width, [False] * width
    for gap in band.gaps:
        first = (gap.start - whole.start) * width // length
        last = min((gap.end - 1 - whole.start) * width // length, width - 1)
        for place in range(first, last + 1):
            missing[place] += max(min(gap.end, edges[place + 1]) - max(gap.start, edges[place]), 0)
    for record in band.records:
        known[min((record.moment - whole.start) * width // length, width - 1)] |= record.quality != "BAD"
    return "".join(_sign(missing[place], edges[place + 1] - edges[place], known[place]) for place in range(width))


def _sign(missing: int, length: int, is_known: bool) -> str:
    if missing:
        return NOTHING if missing >= length else PARTLY
    return CALIBRATION if is_known else ANSWER


def _gaps(band: Band, whole: Span) -> list[str]:
    if list(band.gaps) == [whole]:
        return ["nothing at any time"]
    longest = sorted(band.gaps, key=lambda gap: gap.start - gap.end)[:_LISTED]
    lines = [f"nothing {_minute(gap.start)} to {_minute(gap.end)}, {_length(gap)}" for gap in sorted(longest)]
    if len(band.gaps) > _LISTED:
        left = len(band.gaps) - _LISTED
        lines.append(f"and {left} shorter {'gap' if left == 1 else 'gaps'}")
    return lines


def _minute(moment: int) -> str:
    return iso_of(moment)[:16].replace("T", " ")


def _length(gap: Span) -> str:
    days = (gap.end - gap.start) / _DAY
    if days >= 1:
        return f"{days:.1f} d"
    return f"{days * 24:.1f} h" if days * 24 >= 1 else f"{max(days * 1440, 0.1):.1f} min"
