"""A coverage as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...display import table_of_rows
from .moments import iso_of

if TYPE_CHECKING:
    from astropy.table import Table

    from .report import Coverage

_COLUMNS = ("cal_type", "values", "kind", "start", "end", "filename", "id", "quality", "step")


def as_table(coverage: Coverage) -> Table:
    """Give a row for each record and each gap of each group, in order of time."""
    return table_of_rows(_COLUMNS, list(_rows(coverage)))


def _rows(coverage: Coverage) -> Iterator[tuple[Any, ...]]:
    for group in coverage.groups:
        values = ", ".join(f"{name}={value}" for name, value in group.values.items())
        records = [
            (each.moment, ("record", each.time, each.time, each.filename, each.id, each.quality, each.step))
            for each in group.records
        ]
        gaps = [
            (each.start, ("gap", iso_of(each.start), iso_of(each.end), None, None, None, None)) for each in group.gaps
        ]
        for _, cells in sorted([*records, *gaps], key=lambda each: each[0]):
            yield (group.cal_type, values, *cells)
