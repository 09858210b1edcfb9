"""The bands of a coverage: groups whose frames differ only in what follows from their time share one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from .moments import Span, joined

if TYPE_CHECKING:
    from .report import Coverage, CoverageGroup, CoverageRecord


@dataclass(frozen=True)
class Band:
    """A line of a coverage.

    Attributes
    ----------
    cal_type : str
    values : mapping
        The frames' values but for those that follow from their time.
    records : sequence of CoverageRecord
    gaps : sequence of Span
    boundaries : sequence of int
    note : str
    """

    cal_type: str
    values: Mapping[str, Any]
    records: Sequence[CoverageRecord]
    gaps: Sequence[Span]
    boundaries: Sequence[int]
    note: str

    @property
    def label(self) -> str:
        """The values, one after the other; a number, or a truth, with its column."""
        return " ".join(
            str(value)
            if isinstance(value, str)
            else f"{name} {value}"
            if isinstance(value, bool)
            else f"{name} {value:g}"
            for name, value in self.values.items()
            if value is not None
        )

    def in_words(self) -> str:
        """How many records there are, and how many of them are BAD."""
        bad = sum(record.quality == "BAD" for record in self.records)
        return f"{len(self.records)} ({bad} BAD)" if bad else str(len(self.records))


def bands_of(coverage: Coverage) -> list[Band]:
    """Give the bands of a coverage, by type."""
    if coverage.whole is None:
        return []
    found: dict[tuple[Any, ...], list[CoverageGroup]] = {}
    for group in coverage.groups:
        values = {name: value for name, value in group.values.items() if name not in coverage.following}
        found.setdefault((group.cal_type, *values.items()), []).append(group)
    return [_band(alike[0].cal_type, dict(key[1:]), alike) for key, alike in found.items()]


def by_type(bands: Sequence[Band]) -> list[tuple[str, list[Band]]]:
    """Give the bands of each type."""
    return [(cal_type, list(alike)) for cal_type, alike in groupby(bands, lambda each: each.cal_type)]


def _band(cal_type: str, values: Mapping[str, Any], alike: Sequence[CoverageGroup]) -> Band:
    records = {each.id: each for group in alike for each in group.records}
    return Band(
        cal_type,
        values,
        sorted(records.values(), key=lambda each: (each.moment, each.id)),
        joined(gap for group in alike for gap in group.gaps),
        sorted({each for group in alike for each in group.boundaries}),
        next((group.note for group in alike if group.note), ""),
    )


def events_of(coverage: Coverage, bands: Sequence[Band]) -> list[tuple[int, str]]:
    """Give boundaries, and when something else follows from the time, in order."""
    types: dict[int, dict[str, None]] = {}
    for band in bands:
        for boundary in band.boundaries:
            types.setdefault(boundary, {})[band.cal_type] = None
    said = [(boundary, f"boundary of {', '.join(names)}") for boundary, names in types.items()]
    return sorted([*coverage.changes, *said])
