"""What calibrations there are over time, and when a rule gives none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..choosing.frame_sets import types_for
from ..choosing.selector import CalibrationSelector, Database, selector_for
from ..exceptions import ConfigurationError
from ..instrument.door import columns_of
from ..instrument.orm import ORMCalibration
from ..instrument.times import DAY_MS, is_observed, mjd_from_iso
from ..instrument.values import time_bound
from .coverage_following import Following
from .coverage_gaps import Standing, is_by_interval
from .coverage_groups import groups_of
from .coverage_hanging import gaps_of, note_of
from .coverage_moments import Span, first_from, iso_of, moment_of
from .coverage_rows import Rows

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
        When frames can have these values, as far as some follow from their time, such as an era.
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
    """

    instrument: str
    whole: Span | None
    groups: Sequence[CoverageGroup]
    following: tuple[str, ...] = ()
    changes: Sequence[tuple[int, str]] = ()

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
        from .coverage_table import as_table

        return as_table(self)

    def to_text(self, width: int | None = None) -> str:
        """Give a line over time for each group, and its gaps; no wider than `width` characters."""
        from .coverage_text import as_text

        return as_text(self, width)

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        from .coverage_html import as_html

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
        from .coverage_figure import draw

        return draw(self, path, dark=dark, overwrite=overwrite)


def coverage_of(
    db: Database,
    cal_types: str | Iterable[str] | None,
    start: str | datetime | None,
    end: str | datetime | None,
) -> Coverage:
    """Find out what there is of some types; see `CalibrationStore.coverage`."""
    return _Finding(db, _selectors(db.orm_class, cal_types)).run(start, end)


def _selectors(
    orm_class: type[ORMCalibration], cal_types: str | Iterable[str] | None
) -> dict[str, CalibrationSelector]:
    """Give selectors by type, each once; by default all of the plugin."""
    named = list(orm_class.selectors) if cal_types is None else types_for(orm_class, {}, cal_types)
    found = [selector_for(orm_class, name) for name in named]
    return {each.cal_type.strip().lower(): each for each in found}


class _Finding:
    """Finds what there is, and what there is not.

    Parameters
    ----------
    db : Database
    selectors : mapping
        By type.
    """

    def __init__(self, db: Database, selectors: Mapping[str, CalibrationSelector]) -> None:
        self._orm_class = db.orm_class
        rows = Rows(db)
        self._found: list[_Found] = []
        self._without: list[str] = []
        for name, selector in selectors.items():
            groups = groups_of(selector, db)
            for values, is_whole in groups:
                standing = Standing(selector, values, db, rows, is_whole)
                self._found.append(_Found(name, standing, _records_of(standing)))
            if not groups:
                self._without.append(name)

    def run(self, start: str | datetime | None, end: str | datetime | None) -> Coverage:
        whole = self._whole(start, end)
        if whole is None:
            return Coverage(self._orm_class.instrument_name, None, [])
        following = self._following(whole)
        groups = [each.group(whole, following) for each in self._found]
        groups += [CoverageGroup(name, {}, [], [whole], [], [whole]) for name in self._without]
        return Coverage(self._orm_class.instrument_name, whole, groups, following.names, following.changes(whole))

    def _whole(self, start: str | datetime | None, end: str | datetime | None) -> Span | None:
        """Give the times that are asked for; where nothing is said, from the first calibration to the last one.

        What holds from one day to another began long before, and does not count beside others.
        """
        first, last = (self._asked(name, given) for name, given in (("start", start), ("end", end)))
        dated = [each for each in self._found if not is_by_interval(each.standing.plans)] or self._found
        moments = [record.moment for each in dated for record in each.records]
        first = min(moments, default=None) if first is None else first
        last = max(moments, default=None) if last is None else last
        if first is None or last is None:
            return None
        if start is not None and end is not None and first >= last:
            said = f"The end of the coverage, {iso_of(last)}, is not after its start, {iso_of(first)}."
            raise ConfigurationError(said, "Give the earlier time as the start.", setting="end", variable=None)
        return Span(first, max(first, last))

    def _asked(self, name: str, given: str | datetime | None) -> int | None:
        bound = time_bound(columns_of(self._orm_class)["datetime_obs"], given, f"the coverage's {name}")
        if bound is None:
            return None
        is_day = len(bound) == 10
        return moment_of(mjd_from_iso(bound)) + (round(DAY_MS) if is_day and name == "end" else 0)

    def _following(self, whole: Span) -> Following:
        names = dict.fromkeys(name for each in self._found for name in each.standing.values)
        times = {time for each in self._found for time in each.standing.times}
        day = round(DAY_MS)
        moments = {record.moment // day * day for each in self._found for record in each.records} or {whole.start}
        moments |= {first_from(boundary) for each in self._found for boundary in each.standing.boundaries}
        moments |= {whole.start, whole.end, *range(min(moments), max(moments), day)}
        return Following(self._orm_class, list(names), sorted(times), moments)


@dataclass(frozen=True)
class _Found:
    """A type beside frames of some values, with the records that fit them."""

    cal_type: str
    standing: Standing
    records: Sequence[CoverageRecord]

    def group(self, whole: Span, following: Following) -> CoverageGroup:
        boundaries = [first_from(each) for each in self.standing.boundaries]
        return CoverageGroup(
            self.cal_type,
            self.standing.values,
            [each for each in self.records if whole.start <= each.moment <= whole.end],
            gaps_of(self.standing, whole),
            [each for each in boundaries if whole.start < each < whole.end],
            following.spans(self.standing.values, whole),
            note_of(self.standing),
        )


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and is_observed(value)


def _records_of(standing: Standing) -> list[CoverageRecord]:
    found: dict[str, CoverageRecord] = {}
    for plan, rows in standing.by_step:
        time = plan.order[1]
        for row in rows:
            if row["id"] not in found:
                days = next((row[name] for name in (time, plan.time) if _is_time(row.get(name))), None)
                days = mjd_from_iso(row["datetime_obs"]) if days is None else days
                said = (row["id"], row["filename"], moment_of(days), row["quality"], plan.rule.step)
                found[row["id"]] = CoverageRecord(*said)
    return sorted(found.values(), key=lambda each: (each.moment, each.id))
