"""What calibrations there are over time, and when a rule gives none."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...display import in_brackets
from .moments import Span, iso_of

if TYPE_CHECKING:
    from astropy.table import Table


@dataclass(frozen=True)
class CoverageRecord:
    """A calibration of a group.

    Attributes
    ----------
    id, filename : str
    moment : int
        Its time by the rule, in milliseconds of the Modified Julian Date, UTC; of an interval of validity its start.
    quality : str
        That which counts here.
    step : int or None
        Number of the first step of the rule that it fits; None where there are no steps.
    """

    id: str
    filename: str
    moment: int
    quality: str
    step: int | None

    @property
    def time(self) -> str:
        """Its time as ISO text, UTC."""
        return iso_of(self.moment)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "id": self.id,
            "filename": self.filename,
            "time": self.time,
            "quality": self.quality,
            "step": self.step,
        }


@dataclass(frozen=True)
class CoverageGroup:
    """The calibrations of a type that fit frames of some values, and when such frames get none.

    Attributes
    ----------
    cal_type : str
    values : mapping
        The frames' values by column.
    records : sequence of CoverageRecord
        In order of time; those that are BAD too.
    gaps : sequence of Span
    boundaries : sequence of int
        Times across which the rule never chooses, in milliseconds.
    spans : sequence of Span
        When frames have these values, as far as some follow from their time, such as an era; the gaps lie in them.
    note : str
        Why the gaps are not exact; empty where they are.
    """

    cal_type: str
    values: Mapping[str, Any]
    records: Sequence[CoverageRecord]
    gaps: Sequence[Span]
    boundaries: Sequence[int]
    spans: Sequence[Span]
    note: str = ""

    @property
    def exact(self) -> bool:
        """Whether the gaps are those of the rule exactly."""
        return not self.note

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "cal_type": self.cal_type,
            "values": dict(self.values),
            "records": [each.to_dict() for each in self.records],
            "gaps": [each.to_dict() for each in self.gaps],
            "spans": [each.to_dict() for each in self.spans],
            "boundaries": [iso_of(each) for each in self.boundaries],
            "exact": self.exact,
            "note": self.note,
        }


@dataclass(frozen=True)
class Coverage:
    """What there is of each type over time, and the gaps in which a rule gives no answer.

    Attributes
    ----------
    instrument : str
    whole : Span or None
        The times that it is about; None where there is no calibration.
    groups : sequence of CoverageGroup
        By type and by the values of frames.
    following : tuple of str
        Columns whose values follow from a frame's time.
    changes : sequence of pairs
        When something else follows, in milliseconds, and what.
    is_empty : bool
        Whether there is no calibration of these types that fits any frame, at any time.
    """

    instrument: str
    whole: Span | None
    groups: Sequence[CoverageGroup]
    following: tuple[str, ...] = ()
    changes: Sequence[tuple[int, str]] = ()
    is_empty: bool = True

    @property
    def start(self) -> str | None:
        """The first of the times that it is about, UTC."""
        return None if self.whole is None else iso_of(self.whole.start)

    @property
    def end(self) -> str | None:
        """The end of these times, UTC."""
        return None if self.whole is None else iso_of(self.whole.end)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "instrument": self.instrument,
            "start": self.start,
            "end": self.end,
            "groups": [each.to_dict() for each in self.groups],
        }

    def to_table(self) -> Table:
        """Give an `astropy.table.Table` with a row for each record and each gap of each group, in order of time."""
        from .table import as_table

        return as_table(self)

    def to_text(self, width: int | None = None) -> str:
        """Give a line over time for each group, and its gaps; no wider than `width` characters."""
        from .text import as_text

        return as_text(self, width)

    def __repr__(self) -> str:
        return in_brackets(self, f"{self.instrument}, {self.start} to {self.end}, {len(self.groups)} groups")

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        from .html import as_html

        return as_html(self)

    def figure(self, path: str | os.PathLike[str] | None = None, *, dark: bool = False, overwrite: bool = False) -> Any:
        """Draw it, one band for each group, with matplotlib (the extra ``plot``).

        Parameters
        ----------
        path : path, optional
            Where it is written too, by the name's ending as PNG, PDF or SVG.
        dark : bool
            Whether it is for a dark background.
        overwrite : bool
            Whether a figure of that name, or an empty file, is replaced; anything else never is.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ConfigurationError
            When matplotlib is not installed, the ending says no form, or something of that name is not to be replaced.
        CacheError
            When the file cannot be written.
        """
        from .figure import draw

        return draw(self, path, dark=dark, overwrite=overwrite)
