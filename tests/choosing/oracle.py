"""The rules of choosing as plain Python that looks at every row: what the engine must agree with.

A row and a frame are dicts of column values. Nothing here is shared with the package: each function is one sentence
of what callers are promised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any

Row = dict[str, Any]
Pair = tuple[Row | None, Row | None]

DAY_MS = 86_400_000
#: Days: within half a millisecond two times are the same, and an age limit is inclusive to a microsecond.
SAME = 0.5 / DAY_MS
MICROSECOND = timedelta(microseconds=1) / timedelta(days=1)


class Lacking(Exception):  # noqa: N818 - an answer, not a fault
    """The frame does not say what the rule asks of it."""


@dataclass(frozen=True)
class Range:
    """Between two numbers, both included."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Relative:
    """A tolerance as a part of the frame's value."""

    part: float


@dataclass(frozen=True)
class By:
    """What holds depends on the frame's value in a column."""

    column: str
    settings: Mapping[Any, Any]


@dataclass(frozen=True)
class Step:
    """One preference; what is None stays as the rule has it."""

    require: Mapping[str, Any]
    within: Mapping[str, Any] | None = None
    max_age: timedelta | None = None
    direction: str | None = None


@dataclass(frozen=True)
class Rule:
    """What a selector declares; each setting may also be a `By`."""

    cal_type: str = "flat"
    time: str = "mjd_start"
    match: Any = ()
    given: Any = ()
    match_if_known: Any = ()
    within: Any = field(default_factory=dict)
    require: Any = field(default_factory=dict)
    exclude: Any = field(default_factory=dict)
    never_across: Any = ()
    prefer: Any = ()
    max_age: Any = None
    direction: Any = "nearest"
    same: Any = ()
    validity: Any = None
    anchor: Rule | None = None
    match_anchor: Any = ()


# -- what is answered --------------------------------------------------------------------------------------------------


def best(rows: Sequence[Row], frame: Row, rule: Rule) -> Row | None:
    """The record that a frame gets: of steps the first that answers, of a bracket the nearer one."""
    rule = for_frame(rule, frame)
    if rule.direction == "bracket":
        found = [row for row in bracket_of(rows, frame, rule) if row is not None]
        return min(found, key=order(rule, next(steps_of(rows, frame, rule)).at)) if found else None
    return first(first(step.ordered()) for step in steps_of(rows, frame, rule))


def bracket_of(rows: Sequence[Row], frame: Row, rule: Rule) -> Pair:
    """The nearest at or before the frame and the nearest after it, each by its first step that answers."""
    rule = for_frame(rule, frame)
    if rule.same:
        return agreeing(rows, frame, rule)
    before = after = None
    for step in steps_of(rows, frame, rule):
        earlier, later = sides(step, ())
        before, after = before or earlier, after or later
        if before and after:
            break
    return before, after


def agreeing(rows: Sequence[Row], frame: Row, rule: Rule) -> Pair:
    """The pair of the first step in which both sides agree; if none has both, of the first that has one."""
    alone: Pair = (None, None)
    for step in steps_of(rows, frame, rule):
        pair = sides(step, rule.same)
        if None not in pair:
            return pair
        alone = pair if alone == (None, None) else alone
    return alone


def candidates_of(rows: Sequence[Row], frame: Row, rule: Rule) -> list[Row]:
    """All records that the rule admits: what the frame gets, then those of an earlier step before those of a later."""
    chosen = best(rows, frame, rule)
    rule = for_frame(rule, frame)
    found: list[Row] = []
    for step in steps_of(rows, frame, rule):
        found += [row for row in step.ordered() if row not in found]
    return sorted(found, key=lambda row: row is not chosen)


def weight_of(pair: Pair, frame: Row, rule: Rule) -> float | None:
    """The linear interpolation weight of the later one at the frame's time; None when one is missing."""
    before, after = pair
    if before is None or after is None:
        return None
    earlier, later, asked = before[rule.time], after[rule.time], frame[rule.time]
    return float(min(max((asked - earlier) / (later - earlier), 0.0), 1.0))


def step_of(row: Row, rows: Sequence[Row], frame: Row, rule: Rule) -> int | None:
    """The number of the step, from 1, that gave an answer without `same`; None of a rule without steps."""
    rule = for_frame(rule, frame)
    return next(n for n, step in enumerate(steps_of(rows, frame, rule), 1) if row in step.rows) if rule.prefer else None


# -- what is asked -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """One step: the rows that it admits, and the time that they are near to."""

    rows: list[Row]
    rule: Rule
    at: float

    def ordered(self) -> list[Row]:
        return sorted(self.rows, key=order(self.rule, self.at))


def for_frame(rule: Rule, frame: Row) -> Rule:
    """The rule with each `By` decided; the frame must say all that is compared."""
    values = {each.name: decided(getattr(rule, each.name), frame) for each in fields(rule)}
    values["within"] = {column: decided(tolerance, frame) for column, tolerance in values["within"].items()}
    rule = Rule(**values)
    own_time = [rule.time] if rule.anchor is None or rule.validity else []  # else the anchor's replaces it
    check_says(frame, [*own_time, *rule.match, *rule.given, *rule.within])
    return rule if rule.anchor is None else replace(rule, anchor=for_frame(rule.anchor, frame))


def check_says(frame: Row, columns: Iterable[str]) -> None:
    """A null, empty or wildcard value of what is compared is an error."""
    for column in columns:
        if is_nothing(frame.get(column)):
            raise Lacking(column)


def decided(setting: Any, frame: Row) -> Any:
    """A setting for this frame; a value that isn't listed is an error."""
    if not isinstance(setting, By):
        return setting
    value = frame.get(setting.column)
    if is_nothing(value) or value not in setting.settings:
        raise Lacking(setting.column)
    return setting.settings[value]


def is_nothing(value: Any) -> bool:
    """Null, empty, or a wildcard."""
    return value in (None, "", "N/A", "*", "%") or (isinstance(value, float) and math.isnan(value))


def steps_of(rows: Sequence[Row], frame: Row, rule: Rule) -> Iterator[Asked]:
    """The steps of a rule, tried in order; none where the calibration that it hangs on is missing.

    What a step compares the frame must say only where that step is tried.
    """
    at: Any = frame.get(rule.time)
    companion: Row = {}
    if rule.anchor is not None:
        anchor = best(rows, frame, rule.anchor)
        if anchor is None:
            return
        at, companion = anchor[rule.time], {column: anchor[column] for column in rule.match_anchor}
        if not is_time(at) and not (rule.validity and not rule.never_across):
            return
    rows = [row for row in rows if all(value is not None and row[name] == value for name, value in companion.items())]
    for step in rule.prefer or (Step({}),):
        check_says(frame, step.within or {})
        left = [row for row in rows if meets(row, step.require)]
        of_step = replace(
            rule,
            within={**rule.within, **(step.within or {})},
            max_age=rule.max_age if step.max_age is None else step.max_age,
            direction=step.direction or rule.direction,
        )
        yield Asked([row for row in left if admitted(row, frame, of_step, at)], of_step, at)


# -- what is admitted --------------------------------------------------------------------------------------------------


def admitted(row: Row, frame: Row, rule: Rule, at: float) -> bool:
    """Whether a rule without steps admits a row for a frame, `at` being the frame's time or that of its anchor."""
    return (
        row["cal_type"] == rule.cal_type
        and row["quality"] != "BAD"
        and not is_itself(row, frame)
        and all(row[column] == frame[column] for column in [*rule.match, *rule.given])
        and all(
            is_nothing(frame.get(column)) or row[column] is None or row[column] == frame[column]
            for column in rule.match_if_known
        )
        and meets(row, rule.require)
        and not any(row[column] is not None and is_of(row[column], what) for column, what in rule.exclude.items())
        and all(is_within(row[column], frame[column], tolerance) for column, tolerance in rule.within.items())
        and (is_valid(row, frame, rule) if rule.validity else is_near(row, rule, at))
        and (not rule.never_across or (is_time(row[rule.time]) and on_one_side(row[rule.time], at, rule.never_across)))
    )


def is_itself(row: Row, frame: Row) -> bool:
    """A frame is never its own calibration."""
    return row["id"] == frame.get("id") or row["filename"] == frame.get("filename")


def meets(row: Row, require: Mapping[str, Any]) -> bool:
    """A null meets nothing but None."""
    return all(is_of(row[column], what) for column, what in require.items())


def is_of(value: Any, what: Any) -> bool:
    """Whether a value is the one, any one of several, or in the range."""
    if isinstance(what, Range):
        return value is not None and what.low <= value <= what.high
    return value in (what if isinstance(what, tuple) else (what,))


def is_within(value: float | None, asked: float, tolerance: Any) -> bool:
    """Inclusive to one part in 10^9 of the larger value; a null is refused."""
    if value is None:
        return False
    allowed = tolerance.part * abs(asked) if isinstance(tolerance, Relative) else tolerance
    return bool(abs(value - asked) <= allowed + 1e-9 * max(abs(value), abs(asked)))


def is_time(time: float | None) -> bool:
    return time is not None and math.isfinite(time)


def is_near(row: Row, rule: Rule, at: float) -> bool:
    """Has a time, in the direction, not beyond the age limit; the frame's own time is on both sides."""
    if not is_time(row[rule.time]):
        return False
    delta = row[rule.time] - at
    if (rule.direction == "before" and delta > SAME) or (rule.direction == "after" and delta < -SAME):
        return False
    return rule.max_age is None or abs(delta) <= rule.max_age / timedelta(days=1) + MICROSECOND


def on_one_side(time: float, other: float, boundaries: Iterable[float]) -> bool:
    """No boundary lies between; one that is at a time belongs to what begins then."""
    return all((time >= boundary - SAME) == (other >= boundary - SAME) for boundary in boundaries)


def is_valid(row: Row, frame: Row, rule: Rule) -> bool:
    """From the start on, and before the end; null is open."""
    start, end = rule.validity
    begun = row[start] is None or row[start] - SAME <= frame[rule.time]
    return begun and (end is None or row[end] is None or frame[rule.time] < row[end] - SAME)


# -- what is better ----------------------------------------------------------------------------------------------------


def in_ms(days: float) -> float:
    return round(days * DAY_MS) if math.isfinite(days * DAY_MS) else days


def newest(row: Row) -> tuple[int, bytes]:
    """The newest version first, then by id, bytewise."""
    return -int(row["cal_version"]), row["id"].encode()


def order(rule: Rule, at: float) -> Callable[[Row], Any]:
    """Nearest in time, then earlier, both to the millisecond; of validity the latest start, an open one last."""
    if rule.validity:
        start = rule.validity[0]
        return lambda row: (math.inf if row[start] is None else -in_ms(row[start]), *newest(row))
    return lambda row: (abs(in_ms(row[rule.time]) - in_ms(at)), in_ms(row[rule.time]), *newest(row))


def sides(step: Asked, same: Sequence[str]) -> Pair:
    """The pair of one step. With `same` of several values the complete one, the shortest, the earlier one."""
    rows = step.ordered()
    before = [row for row in rows if row[step.rule.time] - step.at <= SAME]
    after = [row for row in rows if row[step.rule.time] - step.at > SAME]
    if not same:
        return first(before), first(after)
    complete = [(one, other) for one in before for other in after if agree(one, other, same)]
    if complete:
        return min(complete, key=lambda pair: shortness(pair, step))
    alone = first(rows)
    return (alone, None) if alone in before else (None, alone)


def shortness(pair: tuple[Row, Row], step: Asked) -> Any:
    """The shortest span, then the earlier pair, then as everywhere."""
    earlier, later = (in_ms(row[step.rule.time]) for row in pair)
    return later - earlier, earlier, *newest(pair[0]), *newest(pair[1])


def agree(row: Row, other: Row, same: Sequence[str]) -> bool:
    """A null agrees with nothing."""
    return all(row[column] is not None and row[column] == other[column] for column in same)


def first(rows: Iterable[Row | None]) -> Row | None:
    return next((row for row in rows if row is not None), None)
