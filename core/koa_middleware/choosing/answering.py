"""How the rules of a frame are asked: each statement in turn, until one answers.

What is asked is given out as an `Ask`, and its rows are sent in: so that one frame asks the database by itself, and
many frames ask it together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Select

from .frame import Frame
from .limits import SAME
from .order import distance, in_order
from .pairs import Nearby, Value
from .statement import NEIGHBOURS, Plan, after_frame, until_frame

A = TypeVar("A")


class Ask(NamedTuple):
    """A statement and its parameters, of which the records are wanted, or the rows."""

    statement: Select[Any]
    parameters: Mapping[str, Any]
    rows: bool = False


Asking = Generator[Ask, list[Any], A]


class Found(NamedTuple):
    """A record, the plan that gave it, and the time in days from which it was measured."""

    record: Any
    plan: Plan
    time: float


class Sides(NamedTuple):
    """What was found before and after a frame."""

    before: Found | None
    after: Found | None


def answer(asking: Asking[A], run: Callable[[Ask], list[Any]]) -> A:
    """Let one frame ask; `run` gives the rows of what it asks."""
    try:
        ask = next(asking)
        while True:
            ask = asking.send(run(ask))
    except StopIteration as done:
        result: A = done.value
        return result


def best(plans: Sequence[Plan], frame: Frame) -> Asking[Found | None]:
    """Ask for the best record by the first step that gives one."""
    for plan in plans:
        parameters = plan.parameters(frame)
        for statement in plan.answers:
            found = yield Ask(statement, parameters)
            if found:
                return Found(found[0], plan, parameters["time"])
    return None


def sides(plans: Sequence[Plan], frame: Frame) -> Asking[Sides]:
    """Ask for the nearest before a frame and after it; both agree in the rule's `same`."""
    asking = _agreeing if plans[0].rule.same else _each
    return (yield from asking(plans, frame))


def _each(plans: Sequence[Plan], frame: Frame) -> Asking[Sides]:
    """Ask for each side by its first step that answers."""
    before = after = None
    for plan in plans:
        parameters = plan.parameters(frame)
        if before is None and plan.rule.direction != "after":
            before = yield from _one(plan, until_frame(parameters))
        if after is None and plan.rule.direction != "before":
            after = yield from _one(plan, after_frame(parameters))
        if before and after:
            break
    return Sides(before, after)


def _agreeing(plans: Sequence[Plan], frame: Frame) -> Asking[Sides]:
    """Ask for both sides by the first step in which they agree, else by the first that gives one of them."""
    one_sided = Sides(None, None)
    for plan in plans:
        pair = yield from _pair(plan, plan.parameters(frame))
        if pair.before and pair.after:
            return pair
        if not (one_sided.before or one_sided.after):
            one_sided = pair
    return one_sided


def _one(plan: Plan, parameters: Mapping[str, Any]) -> Asking[Found | None]:
    found = yield Ask(plan.answers[0], parameters)
    return Found(found[0], plan, parameters["time"]) if found else None


def _pair(plan: Plan, parameters: Mapping[str, Any]) -> Asking[Sides]:
    """Ask for the best pair of one step: of the values in which both may agree, that of the shortest complete one."""
    narrow = _by_side(plan, parameters)
    nearby = yield from _read(plan.outwards, narrow, NEIGHBOURS)
    if not nearby.is_settled:
        nearby = yield from _read(plan.grouped, narrow, None)
    pairs = []
    for value in nearby.best():
        agreed: dict[str, Any] = {}
        for condition, single in zip(plan.for_pair.pair, value, strict=True):
            agreed |= condition.of_value(single)
        before = yield from _one(plan.for_pair, {**narrow["before"], **agreed})
        after = yield from _one(plan.for_pair, {**narrow["after"], **agreed})
        pairs.append(Sides(before, after))
    if len(pairs) > 1:
        return _of_equals(plan, pairs)
    return pairs[0] if pairs else (yield from _alone(plan, parameters))


def _of_equals(plan: Plan, pairs: Sequence[Sides]) -> Sides:
    """Give the pair whose records come first in the order, of pairs of the same times."""
    by_id = {pair.before.record.id: pair for pair in pairs if pair.before}
    first = in_order([pair.before.record for pair in pairs if pair.before], plan.time, 0.0)[0]
    return by_id[first.id]


def _alone(plan: Plan, parameters: Mapping[str, Any]) -> Asking[Sides]:
    """Ask for the nearest record, which stands alone on its side."""
    found = yield from _one(plan, parameters)
    is_after = found is not None and getattr(found.record, plan.time) > parameters["time"] + SAME
    return Sides(None, found) if is_after else Sides(found, None)


def every_value(plan: Plan, parameters: Mapping[str, Any]) -> Asking[Nearby]:
    """Ask for the nearest time on each side of every value in which a pair may agree."""
    return (yield from _read(plan.grouped, _by_side(plan, parameters), None))


def _by_side(plan: Plan, parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the parameters for each side on which a plan looks."""
    narrow = {"before": until_frame(parameters), "after": after_frame(parameters)}
    narrow.pop({"before": "after", "after": "before"}.get(plan.rule.direction, ""), None)
    return narrow


def _read(
    statements: Mapping[str, Select[Any]], narrow: Mapping[str, Mapping[str, Any]], most: int | None
) -> Asking[Nearby]:
    """Ask for the times of the values in which a pair may agree; `most` is how many rows a statement gives."""
    times: dict[str, dict[Value, float]] = {"before": {}, "after": {}}
    reach = {"before": math.inf, "after": math.inf}
    for name, limits in narrow.items():
        rows = yield Ask(statements[name], limits, rows=True)
        for time, *value in rows:
            times[name].setdefault(tuple(value), time)
        if len(rows) == most:
            reach[name] = distance(rows[-1][0], limits["time"])
    return Nearby(times, reach)
