"""How a coverage is found: the groups of each type, their records, and their gaps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from ...choosing.frame_sets import types_for
from ...choosing.selector import CalibrationSelector, Database, selector_for
from ...exceptions import ConfigurationError
from ...instrument.door import columns_of
from ...instrument.orm import ORMCalibration
from ...instrument.times import DAY_MS, END_MJD, FIRST_MJD, mjd_from_iso
from ...instrument.values import time_bound
from .following import Following
from .found import Found, groups_by_time, records_of
from .gaps import Standing, is_by_interval
from .groups import groups_of
from .moments import Span, first_from, iso_of, moment_of
from .report import Coverage, CoverageGroup
from .rows import Rows

#: Milliseconds of a day.
_DAY = round(DAY_MS)


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
        self._found: list[Found] = []
        self._without: list[str] = []
        for name, selector in selectors.items():
            groups = groups_of(selector, db)
            for values, is_whole in groups:
                standing = Standing(selector, values, db, rows, is_whole)
                self._found.append(Found(name, standing, records_of(standing)))
            if not groups:
                self._without.append(name)

    def run(self, start: str | datetime | None, end: str | datetime | None) -> Coverage:
        whole = self._whole(start, end)
        if whole is None:
            return Coverage(self._orm_class.instrument_name, None, [])
        following = self._following(whole)
        groups = groups_by_time(self._found, whole, following)
        groups += [CoverageGroup(name, {}, [], [whole], [], [whole]) for name in self._without]
        is_empty = not any(each.records for each in self._found)
        changes = following.changes(whole)
        return Coverage(self._orm_class.instrument_name, whole, groups, following.names, changes, is_empty)

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
        if first >= last and (start is not None or end is not None):
            raise _nothing_between(first, last, start, end)
        if first == last:  # there is one calibration
            return Span(first // _DAY * _DAY, (first // _DAY + 1) * _DAY)
        return Span(first, last)

    def _asked(self, name: str, given: str | datetime | None) -> int | None:
        bound = time_bound(columns_of(self._orm_class)["datetime_obs"], given, f"the coverage's {name}")
        if bound is None:
            return None
        is_day = len(bound) == 10
        asked = moment_of(mjd_from_iso(bound)) + (_DAY if is_day and name == "end" else 0)
        return min(max(asked, moment_of(FIRST_MJD)), moment_of(END_MJD))  # no frame has another time

    def _following(self, whole: Span) -> Following:
        names = dict.fromkeys(name for each in self._found for name in each.standing.values)
        times = {time for each in self._found for time in each.standing.times}
        moments = {record.moment // _DAY * _DAY for each in self._found for record in each.records} or {whole.start}
        moments |= {first_from(boundary) for each in self._found for boundary in each.standing.boundaries}
        moments |= {whole.start, whole.end}
        moments |= {*range(min(moments) // _DAY * _DAY, max(moments), _DAY)}
        return Following(self._orm_class, list(names), sorted(times), moments)


def _nothing_between(first: int, last: int, start: object, end: object) -> ConfigurationError:
    said = f"The end of the coverage, {iso_of(last)}, is not after its start, {iso_of(first)}."
    hint = "Give the earlier time as the start."
    if start is None:
        said = f"The end of the coverage, {iso_of(last)}, is not after the first calibration, of {iso_of(first)}."
        hint = "Give a start too, or a later end."
    elif end is None:
        said = f"The start of the coverage, {iso_of(first)}, is not before the last calibration, of {iso_of(last)}."
        hint = "Give an end too, or an earlier start."
    return ConfigurationError(said, hint, setting="start" if end is None else "end", variable=None)
