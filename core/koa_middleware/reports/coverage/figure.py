"""A coverage as a figure, for a wall or a night log; the only user of matplotlib.

A band for each group: a bar where a frame gets an answer, hatched where it gets none, and a mark for each calibration,
whose shape says its quality. The colours are those of Okabe and Ito, which all eyes tell apart.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...disk.reading import user_path
from ...display import printable
from ...exceptions import ConfigurationError
from ...given import file_path_of, truth_of
from ...importing import importing
from ...instrument.times import DAY_MS
from .bands import Band, bands_of, by_type, events_of
from .file import check_figure_target, write_figure
from .moments import Span, iso_of
from .ticks import ticks_of

if TYPE_CHECKING:
    from .report import Coverage

#: Inches: width of a page's text, A4 or letter; height of a band, of the space between types, and of what is around.
_WIDTH, _BAND, _SPACE = 7.5, 0.2, 0.09
_BELOW, _TITLE, _LEVEL = 0.72, 0.42, 0.15

#: Inches of all bands of a page, for which they are lower, and of the lowest one, in which its label has room.
_PAGE, _LEAST = 9.0, 0.125

#: Inches that a character of a label takes, and most that labels take in all.
_CHARACTER, _MOST_LABEL = 0.053, 2.6

#: Inches beside the bands, on each side, in which a mark at the end has room; and to the right of them, for numbers.
_PAD, _NUMBERS = 0.07, 0.42

#: How a change of an era is drawn; a boundary that a rule never crosses is a line without breaks.
_DASHED = (0, (2, 2))

#: Qualities from the lowest mark to the one on top; a lower one is higher than those on it, so that none hides another.
_ORDER = ("GOOD", "UNKNOWN", "BAD")

#: MJD of 1970-01-01, from which matplotlib counts days.
_EPOCH = 40587


#: Text is text, also in a PDF or an SVG; a dollar sign in a value begins no formula.
_SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "text.parse_math": False,
}


class _Style(NamedTuple):
    ground: str
    ink: str
    faint: str
    stripe: str
    bar: str
    gap: str
    gap_ground: str
    good: str
    unknown: str
    bad: str


_LIGHT = _Style(
    "#ffffff", "#1a1a1a", "#6b6b6b", "#f4f4f4", "#d3e3ee", "#b34700", "#fff3ea", "#00517d", "#b87f00", "#c23b00"
)
_DARK = _Style(
    "#14171a", "#e8e8e8", "#9aa0a6", "#1b1f23", "#1d3b50", "#ff9a5c", "#2d2019", "#7cc8f2", "#f5c14e", "#ff7847"
)


def draw(coverage: Coverage, path: str | os.PathLike[str] | None, *, dark: bool, overwrite: bool) -> Any:
    """Draw a coverage, and write it to a file where one is named; see `Coverage.figure`."""
    target = None if path is None else user_path(file_path_of("path", path))
    replaces = truth_of("overwrite", overwrite)
    if target is not None:
        check_figure_target(target, replaces)
    dates, figures, stroke, settings = _matplotlib()
    with settings(_SETTINGS):
        style = _DARK if truth_of("dark", dark) else _LIGHT
        figure = _Drawing(coverage, style, dates, figures, stroke).draw()
        if target is not None:
            write_figure(figure, target, replaces)
    return figure


def _matplotlib() -> tuple[Any, Any, Any, Any]:
    try:
        with importing:
            from matplotlib import dates, figure, patheffects, rc_context
    except ImportError as error:
        raise ConfigurationError(
            "A figure is drawn by matplotlib, which is not installed.",
            "Install it: pip install 'koa-middleware[plot]'.",
            setting="plot",
            variable=None,
        ) from error
    return dates, figure, patheffects.withStroke, rc_context


class _Drawing:
    """A figure of a coverage.

    Parameters
    ----------
    coverage : Coverage
    style : _Style
    dates, figures : module
        Those of matplotlib.
    stroke : callable
        Gives matplotlib's rim around a mark.
    """

    def __init__(self, coverage: Coverage, style: _Style, dates: Any, figures: Any, stroke: Any) -> None:
        self._coverage, self._style, self._dates, self._figures = coverage, style, dates, figures
        self._stroke = stroke
        self._bands = bands_of(coverage)
        self._whole = coverage.whole or Span(0, 1)
        self._high = min(max(_PAGE / max(len(self._bands), 1), _LEAST), _BAND)

    def draw(self) -> Any:
        """Draw it."""
        style, events = self._style, self._labelled()
        levels = 1 + max((level for _, _, level in events), default=-1)
        types = by_type(self._bands)
        inside = max(self._high * len(self._bands) + _SPACE * (len(types) + 1), 0.6)
        above = _TITLE + _LEVEL * levels
        height = inside + above + _BELOW
        figure = self._figures.Figure(figsize=(_WIDTH, height), facecolor=style.ground)
        left = (self._label_room() + 0.12) / _WIDTH
        right, bottom = _NUMBERS / _WIDTH, _BELOW / height
        axes = figure.add_axes((left, bottom, 1 - left - right, inside / height))
        axes.set_facecolor(style.ground)
        axes.set_xlim(*self._ends())
        axes.set_ylim(inside, 0)
        place = _SPACE
        for number, (cal_type, bands) in enumerate(types):
            end = place + self._high * len(bands)
            self._type(axes, cal_type, bands, place, end, striped=number % 2 == 0)
            place = end + _SPACE
        self._events(axes, events)
        self._axis(axes)
        self._frame(figure, axes, height)
        return figure

    def _inches(self) -> float:
        """Length of the axis."""
        return _WIDTH - self._label_room() - 0.12 - _NUMBERS

    def _ends(self) -> tuple[float, float]:
        """First and last day of the axis."""
        first, last = _days(self._whole.start), _days(max(self._whole.end, self._whole.start + 1))
        pad = _PAD * (last - first) / (self._inches() - 2 * _PAD)
        return first - pad, last + pad

    def _label_room(self) -> float:
        """Inches to the left of the bands: a type, and the values of its longest band."""
        longest = max((len(band.cal_type) * 1.12 + len(band.label) for band in self._bands), default=0)
        return min(max(0.25 + _CHARACTER * longest, 0.9), _MOST_LABEL)

    def _type(
        self, axes: Any, cal_type: str, bands: Sequence[Band], start: float, end: float, *, striped: bool
    ) -> None:
        style = self._style
        if striped:
            axes.axhspan(start - _SPACE / 2, end + _SPACE / 2, color=style.stripe, lw=0, zorder=0)
        star = "*" if any(band.note for band in bands) else ""
        room = self._label_room()
        axes.annotate(
            f"{printable(cal_type)}{star}",
            (0, start + self._high / 2),
            (-72 * room, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            weight="bold",
            color=style.ink,
        )
        for number, band in enumerate(bands):
            self._band(axes, band, start + self._high * (number + 0.5))
        for boundary in sorted({each for band in bands for each in band.boundaries}):
            axes.plot([_days(boundary)] * 2, [start, end], color=style.ink, lw=1.1, zorder=2.6)

    def _band(self, axes: Any, band: Band, middle: float) -> None:
        style, high = self._style, 0.8 * self._high
        top = middle - high / 2
        axes.broken_barh([_bar(self._whole)], (middle, high / 2), facecolors=style.bar, lw=0, zorder=1)
        gaps = [_bar(gap) for gap in band.gaps]
        if gaps:
            axes.broken_barh(gaps, (top, high), facecolors=style.gap_ground, lw=0, zorder=2)
            axes.broken_barh(
                gaps, (top, high), facecolors="none", edgecolors=style.gap, hatch="//////", lw=0.5, zorder=2.1
            )
        for quality, (marker, size, width, colour, filled) in self._marks().items():
            times = [_days(record.moment) for record in band.records if record.quality == quality]
            axes.plot(
                times,
                [middle - 0.2 * self._high] * len(times),
                ls="",
                marker=marker,
                ms=size * self._high / _BAND,
                mew=width,
                mec=colour,
                mfc=colour if filled else "none",
                zorder=_ORDER.index(quality) + 3,
                path_effects=[]
                if quality == "GOOD"
                else [self._stroke(linewidth=width + 0.9, foreground=style.ground)],
            )
        transform = axes.get_yaxis_transform()
        axes.text(-0.008, middle, _short(band.label), transform=transform, ha="right", va="center", color=style.ink)
        axes.text(1.008, middle, str(len(band.records)), transform=transform, va="center", color=style.faint)

    def _marks(self) -> dict[str, tuple[str, float, float, str, bool]]:
        """By quality: marker, size, width of its line, colour, whether it is filled."""
        style = self._style
        return {
            "GOOD": ("|", 6.6, 1.7, style.good, True),
            "UNKNOWN": ("o", 4.0, 1.0, style.unknown, False),
            "BAD": ("x", 2.8, 1.2, style.bad, True),
        }

    def _labelled(self) -> list[tuple[int, str, int]]:
        """Give boundaries and eras, each moment once, with the level above the bands on which its label has room."""
        said: dict[int, list[str]] = {}
        for moment, what in events_of(self._coverage, self._bands):
            said.setdefault(moment, []).append(what)
        length, ends = max(self._whole.end - self._whole.start, 1), [-1.0] * 20
        inches = self._inches() - 2 * _PAD
        found = []
        for moment, parts in said.items():
            eras = [each for each in parts if not each.startswith("boundary")]
            text = ", ".join(eras) or f"boundary {iso_of(moment)[:10]}"
            room = 0.1 + _CHARACTER * len(text)
            begin = (moment - self._whole.start) / length * inches - (room if self._is_late(moment) else 0.0)
            level = next((number for number, end in enumerate(ends) if begin > end), len(ends) - 1)
            ends[level] = begin + room
            found.append((moment, text, level))
        return found

    def _is_late(self, moment: int) -> bool:
        """Whether a moment is so far to the right that its label stands to the left of it."""
        return moment > self._whole.start + 0.8 * (self._whole.end - self._whole.start)

    def _events(self, axes: Any, events: Sequence[tuple[int, str, int]]) -> None:
        style = self._style
        for moment, text, level in events:
            axes.axvline(_days(moment), color=style.faint, ls=_DASHED, lw=0.7, zorder=2.5)
            at_right = self._is_late(moment)
            axes.annotate(
                text,
                (_days(moment), 0),
                (-2 if at_right else 2, 3 + 72 * _LEVEL * level),
                textcoords="offset points",
                ha="right" if at_right else "left",
                va="bottom",
                color=style.ink,
                annotation_clip=False,
                fontsize=6.5,
            )

    def _axis(self, axes: Any) -> None:
        style = self._style
        axes.set_xticks(*ticks_of(self._dates, *self._ends(), self._inches()))
        axes.set_xlabel("UTC", color=style.faint, labelpad=3)
        axes.tick_params(axis="x", colors=style.ink, length=3, width=0.6)
        axes.grid(axis="x", color=style.faint, lw=0.3, alpha=0.45, zorder=0.5)
        axes.set_axisbelow(True)
        axes.set_yticks([])
        axes.annotate(
            "in range",
            (1.008, 1),
            (0, 2),
            xycoords="axes fraction",
            textcoords="offset points",
            color=style.faint,
            fontsize=5.5,
        )
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(style.faint)

    def _frame(self, figure: Any, axes: Any, height: float) -> None:
        style, coverage = self._style, self._coverage
        if coverage.whole is None:
            said = f"{coverage.instrument}: there are no calibrations"
        else:
            first, last = (iso_of(each)[:10] for each in (self._whole.start, self._whole.end - 1))
            said = f"{coverage.instrument}: calibrations, {first}{'' if first == last else f' to {last}'}"
        figure.text(0.12 / _WIDTH, 1 - 0.2 / height, said, size=10, weight="bold", color=style.ink, va="center")
        handles = list(self._handles(axes))
        legend = figure.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(0.05 / _WIDTH, 0.0),
            ncols=max(len(handles), 1),
            frameon=False,
            handlelength=1.6,
            columnspacing=1.3,
            labelcolor=style.ink,
        )
        legend.set_zorder(10)
        if any(band.note for band in self._bands):
            note = "* chosen by methods of its own; the gaps are those of what it declares"
            figure.text(1 - 0.42 / _WIDTH, 0.34 / height, note, ha="right", color=style.faint, va="center", size=6.5)

    def _handles(self, axes: Any) -> Iterator[Any]:
        """Give what the legend explains, of which each occurs."""
        style, off = self._style, [float("nan")]
        qualities = {record.quality for band in self._bands for record in band.records}
        for quality, (marker, size, width, colour, filled) in self._marks().items():
            if quality in qualities:
                face = colour if filled else "none"
                (handle,) = axes.plot(off, off, ls="", marker=marker, ms=size, mew=width, mec=colour, mfc=face)
                handle.set_label(quality)
                yield handle
        if any(list(band.gaps) != [self._whole] for band in self._bands):
            yield axes.fill_between(off, off, color=style.bar, lw=0, label="an answer")
        if any(band.gaps for band in self._bands):
            gap = {"facecolor": style.gap_ground, "edgecolor": style.gap, "hatch": "//////", "lw": 0.5}
            yield axes.fill_between(off, off, label="no answer", **gap)
        if any(band.boundaries for band in self._bands):
            yield axes.plot(off, off, color=style.ink, lw=1.1, label="never crossed")[0]
        if self._coverage.changes:
            names = " and ".join(self._coverage.following)
            yield axes.plot(off, off, color=style.faint, ls=_DASHED, lw=0.7, label=f"change of {names}")[0]


def _days(moment: int) -> float:
    """Give a time as matplotlib's dates have it: days since 1970."""
    return moment / DAY_MS - _EPOCH


def _bar(span: Span) -> tuple[float, float]:
    return _days(span.start), (span.end - span.start) / DAY_MS


def _short(label: str) -> str:
    label = printable(label)
    most = int((_MOST_LABEL - 0.9) / _CHARACTER)
    return label if len(label) <= most else f"{label[: most - 1]}…"
