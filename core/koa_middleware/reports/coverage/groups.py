"""Which frames there may be: the values by which frames and calibrations are compared."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from ...choosing.criterion import Condition, is_number
from ...choosing.frame import says_nothing
from ...choosing.rule import Declared
from ...choosing.selector import CalibrationSelector, ruling_of, selector_for
from ...choosing.statement import Plan, fetch_rows
from ...choosing.within import Within
from .rows import is_asked_later

if TYPE_CHECKING:
    from ...choosing.selector import Database

Values = dict[str, Any]


class FrameValues(NamedTuple):
    """Values of frames by column, without their time.

    Attributes
    ----------
    values : dict
    is_whole : bool
        Whether they are all that is compared; else there is nothing of which the rest could be.
    """

    values: Values
    is_whole: bool


def groups_of(
    selector: CalibrationSelector, db: Database, fixed: Mapping[str, Any] = MappingProxyType({})
) -> list[FrameValues]:
    """Give the values of frames that are asked for, each group once.

    They are the values of calibrations in the columns that are compared, and the cases of the rule. Of what is compared
    where it is known, one that is not known stands for all. Of what need not be equal there are as few values as it
    takes for every calibration to be within the tolerance of one. What the rule's anchor compares is part of them.

    Parameters
    ----------
    selector : CalibrationSelector
    db : Database
    fixed : mapping, optional
        Values that frames have.
    """
    ruling = ruling_of(selector, db.orm_class)
    found: list[FrameValues] = []
    for known, _ in ruling.every():
        if any(fixed.get(name) not in (None, value) for name, value in known.items()):
            continue
        declared, plans = ruling.settled(ruling.frame(known))
        for own in _of_case(plans, db, {**fixed, **known}):
            anchor = anchor_of(declared, db)
            if anchor is None:
                found.append(FrameValues(own, True))
            else:
                found += groups_of(anchor, db, own) or [FrameValues(own, False)]
    return list({tuple(each.values.items()): each for each in found}.values())


def anchor_of(declared: Declared, db: Database) -> CalibrationSelector | None:
    """Give the selector on whose choice another one's hangs."""
    return None if declared.anchor is None else selector_for(db.orm_class, declared.anchor)


def _of_case(plans: Sequence[Plan], db: Database, fixed: Mapping[str, Any]) -> Iterator[Values]:
    rule = plans[0].rule
    equal, if_known = (*rule.match, *rule.given), rule.match_if_known
    tolerances = _tolerances(plans)
    names = tuple(dict.fromkeys((*equal, *if_known, *tolerances)))
    rows = _distinct(plans, names, db) if names else [{}]
    by_equal: dict[tuple[Any, ...], dict[tuple[Any, ...], list[Values]]] = {}
    for row in rows:
        known = _beside(row, equal, if_known, fixed, db)
        if known is not None:
            key = tuple(known[name] for name in equal), tuple(known[name] for name in if_known)
            by_equal.setdefault(key[0], {}).setdefault(key[1], []).append(row)
    for values, alike in by_equal.items():
        for known_values in _most_specific(alike):
            fitting = [row for other, some in alike.items() if _agree(other, known_values) for row in some]
            own = {**fixed, **dict(zip(equal, values, strict=True)), **dict(zip(if_known, known_values, strict=True))}
            free = {name: each for name, each in tolerances.items() if own.get(name) is None}
            for covered in _covering(fitting, list(free.items())):
                yield {**own, **covered}


def _tolerances(plans: Sequence[Plan]) -> dict[str, Within]:
    """Tolerances by column; of several steps the first that has one."""
    found: dict[str, Within] = {}
    for plan in plans:
        for criterion in plan.criteria:
            if isinstance(criterion, Within):
                found.setdefault(criterion.column, criterion)
    return found


def _distinct(plans: Sequence[Plan], names: tuple[str, ...], db: Database) -> list[Values]:
    """Give the values of the calibrations that a rule admits, whatever the frame is."""
    found: dict[tuple[Any, ...], None] = {}
    for plan in plans:
        fits = [each for each in plan.conditions if not is_asked_later(each) and not _is_of_frame(each)]
        clauses = [each.clause(plan.columns) for each in (plan.of_type, *fits)]
        statement = select(*(plan.columns[name] for name in names)).where(*clauses).distinct()
        found |= dict.fromkeys(map(tuple, fetch_rows(db, statement, {"cal_type": plan.rule.cal_type})))
    return [dict(zip(names, row, strict=True)) for row in sorted(found, key=_in_order)]


def _is_of_frame(condition: Condition) -> bool:
    return type(condition).parameters is not Condition.parameters


def _in_order(row: Iterable[Any]) -> list[tuple[bool, str, Any]]:
    """Sort key of values of several types, of which some are null."""
    return [(value is not None, "" if value is None else type(value).__name__, value) for value in row]


def _beside(
    row: Values, equal: Sequence[str], if_known: Sequence[str], fixed: Mapping[str, Any], db: Database
) -> Values | None:
    """Give the values of a frame of these fixed ones that a calibration fits; None where it fits none."""
    columns, found = db.orm_class.table().c, dict(row)
    for name in (*equal, *if_known):
        nothing = says_nothing(row[name], columns[name].info.get("nulls"))
        asked = fixed.get(name)
        if nothing and name in equal:
            return None
        if asked is not None and not nothing and asked != row[name]:
            return None
        found[name] = asked if asked is not None else None if nothing else row[name]
    return found


def _most_specific(found: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Leave out partly unknown values where others say the same and more."""
    every = list(found)
    vague = {each for each in every if None in each}
    return [
        each
        for each in every
        if each not in vague or not any(other != each and _says_more(other, each) for other in every)
    ]


def _says_more(values: Sequence[Any], than: Sequence[Any]) -> bool:
    return all(own is None or own == value for value, own in zip(values, than, strict=True))


def _agree(values: Sequence[Any], others: Sequence[Any]) -> bool:
    return all(None in (one, other) or one == other for one, other in zip(values, others, strict=True))


def _covering(rows: Sequence[Values], tolerances: Sequence[tuple[str, Within]]) -> Iterator[Values]:
    """Give values of frames so that each row is within the tolerances of one of them."""
    if not tolerances:
        yield {}
        return
    (name, criterion), *others = tolerances
    left = sorted((row for row in rows if is_number(row[name])), key=lambda row: row[name])
    values, place = [row[name] for row in left], 0
    while place < len(left):
        at = place
        while at + 1 < len(left) and criterion.reach(values[at + 1])[0] <= values[place]:
            at += 1
        end = bisect_right(values, criterion.reach(values[at])[1])
        for more in _covering(left[place:end], others):
            yield {name: values[at], **more}
        place = end
