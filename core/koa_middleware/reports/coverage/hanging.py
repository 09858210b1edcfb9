"""When no frame of some values gets a calibration of a type that hangs on another one's choice.

The choice of the anchor changes with the frame's time: where one of its calibrations comes into reach or leaves it,
where the frame passes it, and midway between two. Between such times each calibration of the anchor that may be the
nearest is looked at: whether something hangs on it. Where only some of them have something, frames are asked for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from ...choosing.asking import asking
from ...choosing.batch import asked_together
from ...choosing.considered import Considered, Prepared
from ...choosing.criterion import Limit
from ...choosing.limits import MAX, SAME, Finite
from ...choosing.order import in_ms
from ...choosing.own_methods import is_declared
from ...choosing.validity import ValidAt
from ...exceptions import CalibrationNotFoundError
from .gaps import Standing, is_by_interval
from .moments import Span, cut, days_of, first_after, first_from, joined, rest_of
from .rows import Row, Served, usable

#: Frames that are asked for at once.
_TOGETHER = 4096


def gaps_of(standing: Standing, whole: Span) -> list[Span]:
    """Give when no frame gets a calibration, whatever the rule hangs on."""
    if not standing.is_whole:
        return [whole]
    if standing.anchor is None:
        return standing.gaps_by_own_time(whole)
    judge = _Judge.of(standing)
    doubtful = [whole] if judge is None else judge.doubtful(whole)
    gaps = [] if judge is None else cut(standing.anchor.gaps_by_own_time(whole), rest_of(doubtful, whole))
    contested = []
    for span in _pieces(_changes(standing) if doubtful else (), doubtful):
        answers = None if judge is None else judge.answers(span)
        if answers is None:
            contested.append(span)
        elif not answers:
            gaps.append(span)
    if not is_by_method(standing.anchor):  # which would be called for each of these frames
        gaps += _Asker(standing).gaps(contested)
    return joined(gaps)


def is_by_method(standing: Standing) -> bool:
    """Whether a method of a plugin's own takes part in the choice, or in that of what it hangs on."""
    if not is_declared(standing.selector):
        return True
    return standing.is_whole and standing.anchor is not None and is_by_method(standing.anchor)


def note_of(standing: Standing) -> str:
    """Say why gaps are not exact; empty where they are."""
    if not is_by_method(standing):
        return ""
    name = type(standing.selector).__name__
    return f"{name}, or what it hangs on, chooses by methods of its own; the gaps are those of what it declares."


def _pieces(changes: Iterable[int], spans: Sequence[Span]) -> Iterator[Span]:
    """Give spans cut where something changes."""
    ordered = sorted(set(changes))
    for span in spans:
        inside = ordered[bisect_right(ordered, span.start) : bisect_left(ordered, span.end)]
        yield from (Span(*each) for each in pairwise((span.start, *inside, span.end)) if each[0] < each[1])


def _changes(standing: Standing) -> Iterator[int]:
    """Give times at which the choice may change, except those midway between two calibrations."""
    for (plan, rows), served in zip(standing.by_step, standing.served, strict=True):
        if standing.anchor is None:
            for first, last, row in served:
                yield from (first_from(first), first_after(last))
                if not is_by_interval(standing.plans):
                    passed = first_from(row[plan.time] - SAME)
                    yield from (passed, passed + 1)
        for validity in (each for each in plan.criteria if isinstance(each, ValidAt)):
            for first, last in map(validity.serves, usable(rows)):
                yield from (first_from(first), first_after(last))
    if standing.anchor is not None:
        yield from _changes(standing.anchor)


class _Asker:
    """Asks for frames at times."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._times = standing.times

    def gaps(self, spans: Sequence[Span]) -> list[Span]:
        """Give the parts of spans in which frames get nothing; each span has one change at most."""
        ends = self._answered([moment for span in spans for moment in (span.start, span.end - 1)])
        found, open_ = [], []
        for span, first, last in zip(spans, ends[::2], ends[1::2], strict=True):
            if not first and not last:
                found.append(span)
            elif first != last:
                open_.append((span, first))
        for (span, is_first), change in zip(open_, self._changes_in(open_), strict=True):
            found.append(Span(change, span.end) if is_first else Span(span.start, change))
        return found

    def _changes_in(self, open_: Sequence[tuple[Span, bool]]) -> list[int]:
        """Give the first time of each span at which the answer is no more what it is at the start."""
        known = [(span.start, span.end - 1) for span, _ in open_]
        while any(after - before > 1 for before, after in known):
            middles = [(before + after) // 2 for before, after in known]
            answers = self._answered(middles)
            known = [
                (middle, after) if answer == is_first else (before, middle)
                for (before, after), middle, answer, (_, is_first) in zip(known, middles, answers, open_, strict=True)
            ]
        return [after for _, after in known]

    def _answered(self, moments: Sequence[int]) -> list[bool]:
        found: list[bool] = []
        for first in range(0, len(moments), _TOGETHER):
            found += self._some(moments[first : first + _TOGETHER])
        return found

    def _some(self, moments: Sequence[int]) -> list[bool]:
        standing, db = self._standing, self._standing.db
        prepared = Prepared(db.orm_class)
        frames = [{**standing.values, **dict.fromkeys(self._times, days_of(moment))} for moment in moments]
        outcomes = asked_together([asking(standing.selector, each, db, prepared) for each in frames], db)
        return [_is_answer(each) for each in outcomes]


def _is_answer(outcome: Any) -> bool:
    if isinstance(outcome, Considered):
        return outcome.record is not None
    if isinstance(outcome, CalibrationNotFoundError):
        return False
    raise outcome


class _Judge:
    """Tells, where that takes no frame, whether something hangs on whatever the anchor's choice is.

    Parameters
    ----------
    standing : Standing
        Its anchor goes by nearness, and hangs on nothing.
    """

    def __init__(self, standing: Standing, anchor: Standing) -> None:
        self._standing = standing
        self._lists = [each for each in _lists_of(anchor) if each]
        self._hanging: dict[str, bool | None] = {}
        self._by_companion = [_Companions(plan, list(usable(rows))) for plan, rows in standing.by_step]
        self._times = [[in_ms(row[anchor.selector.time]) for _, _, row in each] for each in self._lists]

    @classmethod
    def of(cls, standing: Standing) -> _Judge | None:
        """Give one; None where frames must be asked for."""
        anchor = standing.anchor
        if anchor is None or anchor.anchor is not None:
            return None
        if is_by_interval(anchor.plans) or is_by_interval(standing.plans):
            return None
        return cls(standing, anchor)

    def doubtful(self, whole: Span) -> list[Span]:
        """Give the times served by a calibration of the anchor on which nothing hangs; at other times any will do."""
        served = [each for one in self._lists for each in one if self._has(each[2]) is not True]
        return cut(joined(Span(first_from(first), first_after(last)) for first, last, _ in served), [whole])

    def answers(self, span: Span) -> bool | None:
        """Whether all frames of a span get something, or none of them; None where that is not known."""
        found = {self._has(row) for row in self._nearest(span)}
        return found.pop() if len(found) == 1 else None if found else False

    def _nearest(self, span: Span) -> Iterator[Row]:
        """Give the calibrations of the anchor of which one is chosen for each frame of a span."""
        start, last = days_of(span.start), days_of(span.end - 1)
        for served, times in zip(self._lists, self._times, strict=True):
            before, after = bisect_right(times, span.start), bisect_left(times, span.end - 1)
            low = bisect_left(times, times[before - 1] - 2) if before else 0
            high = bisect_right(times, times[after] + 2) if after < len(times) else after
            for place in range(low, high):
                first_served, last_served, row = served[place]
                if first_served <= last and start <= last_served:
                    yield row

    def _has(self, row: Row) -> bool | None:
        if row["id"] not in self._hanging:
            self._hanging[row["id"]] = self._find(row)
        return self._hanging[row["id"]]

    def _find(self, row: Row) -> bool | None:
        time = row[self._standing.selector.time]
        if time is None:
            return False
        if not Finite.test(time):
            return None
        return any(each.has(row, float(time)) for each in self._by_companion)


class _Companions:
    """Calibrations of one step by the values that are their anchor's, in order of time."""

    def __init__(self, plan: Any, rows: Sequence[Row]) -> None:
        self._limits = [each for each in plan.criteria if isinstance(each, Limit)]
        self._names = plan.rule.match_anchor
        self._times: dict[tuple[Any, ...], list[float]] = {}
        for row in sorted((row for row in rows if Finite.test(row[plan.time])), key=lambda row: row[plan.time]):
            self._times.setdefault(tuple(row[name] for name in self._names), []).append(row[plan.time])

    def has(self, anchor: Row, time: float) -> bool:
        """Whether something hangs on a calibration of a time."""
        values = tuple(anchor[name] for name in self._names)
        times = self._times.get(values, ()) if None not in values else ()
        earliest, latest = -MAX, MAX
        for limit in self._limits:
            first, last = limit.interval(time)
            earliest, latest = max(earliest, first), min(latest, last)
        place = bisect_left(times, earliest)
        return place < len(times) and times[place] <= latest


def _lists_of(anchor: Standing) -> Iterator[list[Served]]:
    """Give what the anchor's calibrations serve, in order of time, by step and by value in which a pair agrees."""
    for plan, served in zip(anchor.plans, anchor.served, strict=True):
        by_value: dict[tuple[Any, ...], list[Served]] = {}
        for each in served:
            by_value.setdefault(tuple(each[2][name] for name in plan.rule.same), []).append(each)
        for one in by_value.values():
            yield sorted(one, key=lambda each: in_ms(each[2][plan.time]))
