"""The groups of a coverage: those of calibrations, each in its time, and those of values that no calibration has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...exceptions import HeaderError
from ...instrument.times import is_observed, mjd_from_iso
from .following import Following
from .gaps import Standing
from .hanging import gaps_of, note_of
from .moments import Span, cut, first_from, joined, moment_of, rest_of
from .report import CoverageGroup, CoverageRecord


@dataclass(frozen=True)
class Found:
    """A type beside frames of some values, with the records that fit them."""

    cal_type: str
    standing: Standing
    records: Sequence[CoverageRecord]

    def group(self, whole: Span, spans: Sequence[Span]) -> CoverageGroup:
        """Give the group, with its gaps in the times at which frames can have its values."""
        boundaries = [first_from(each) for each in self.standing.boundaries]
        gaps = gaps_of(self.standing, Span(spans[0].start, spans[-1].end)) if spans else []
        return CoverageGroup(
            self.cal_type,
            self.standing.values,
            _within(self.records, whole),
            cut(gaps, spans),
            [each for each in boundaries if whole.start < each < whole.end],
            spans,
            note_of(self.standing),
        )

    def fits(self, said: Mapping[str, Any]) -> bool:
        """Whether its frames have some values."""
        return all(self.standing.values.get(name) == value for name, value in said.items())


def groups_by_time(found: Sequence[Found], whole: Span, following: Following) -> list[CoverageGroup]:
    """Give the groups of which frames or records are of a span; together they tell of each of its times."""
    alike: dict[tuple[Any, ...], list[Found]] = {}
    for each in found:
        values = each.standing.values.items()
        key = tuple(item if item[0] not in following.names else item[0] for item in values)
        alike.setdefault((each.cal_type, *key), []).append(each)
    groups = []
    for some in alike.values():
        spans = [following.spans(each.standing.values, whole) for each in some]
        groups += [each.group(whole, own) for each, own in zip(some, spans, strict=True)]
        left = rest_of(joined(span for own in spans for span in own), whole)
        of_type = [each for each in found if each.cal_type == some[0].cal_type]
        groups += _of_other_values(some, of_type, whole, left, following)
    return [each for each in groups if each.spans or each.records]


def _of_other_values(
    alike: Sequence[Found], of_type: Sequence[Found], whole: Span, left: Sequence[Span], following: Following
) -> Iterator[CoverageGroup]:
    """Give groups of the values that follow from the times which are left over, and that no calibration has."""
    like = next((each for each in alike if each.standing.is_whole), alike[0])
    names = [name for name in following.names if name in like.standing.values]
    for said, spans in following.within(left, names):
        standing = replace(like.standing, values={**like.standing.values, **said})
        try:
            yield Found(like.cal_type, standing, records_of(standing)).group(whole, spans)
        except HeaderError:  # the rule needs a value that such frames do not have, or that is told beside others
            if not any(each.fits(said) for each in of_type):
                yield CoverageGroup(like.cal_type, standing.values, [], spans, [], spans)


def records_of(standing: Standing) -> list[CoverageRecord]:
    """Give the calibrations that fit, whenever frames are taken, in order of time."""
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


def _within(records: Sequence[CoverageRecord], whole: Span) -> list[CoverageRecord]:
    return [each for each in records if whole.start <= each.moment <= whole.end]


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and is_observed(value)
