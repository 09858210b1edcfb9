"""What became of the records of a type by one rule: which criterion refuses each first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, case, func, select, union_all
from sqlalchemy.sql.visitors import ExternallyTraversible, replacement_traverse

from ..instrument.door import columns_of
from ..instrument.forms import is_mjd
from ..instrument.judged import Said
from ..instrument.orm import ORMCalibration
from ..kept import kept_property
from .conditions import NotBad, OfType
from .criterion import Condition, Criterion, Parameters
from .explanation import CHOSEN, FARTHER, Candidate
from .frame import Frame
from .judged import SAID, in_words
from .limits import MAX, SAME, Finite
from .order import in_order, order_of_equals
from .statement import Plan
from .validity import ValidAt
from .wording import offset

#: Number of the outcome of what was chosen; those of the criteria follow it from 0 on.
CHOSEN_NUMBER = -1


class Programmed(NamedTuple):
    """What a selector's own methods did with the records.

    Attributes
    ----------
    selector : str
        Name of its class.
    admitted : frozenset of str or None
        Ids of what its own `get_candidates` gave; None where it has none.
    deciding : str or None
        Its own method that takes one of them, or none.
    """

    selector: str
    admitted: frozenset[str] | None = None
    deciding: str | None = None

    @property
    def takes_part(self) -> bool:
        """Whether a method among these takes part in the choice."""
        return self.admitted is not None or self.deciding is not None

    def admits(self, id: str) -> bool | None:
        """Whether `get_candidates` gave the record of an id; None where there is none of its own."""
        return None if self.admitted is None else id in self.admitted


class _Outcome(NamedTuple):
    rule: str
    reason: Callable[[ORMCalibration, Parameters], str]


@dataclass(frozen=True)
class Judge:
    """One rule of a selector beside a frame: tells of records what became of them.

    Outcomes have numbers: the criteria in their order, then what fits, then what `get_candidates` does not admit.

    Attributes
    ----------
    plan : Plan
    frame : Frame
    programmed : Programmed
    winners : tuple of records
        What this rule gave; the fallback's choice too.
    is_pair : bool
        Whether a pair was asked for.
    is_answered : bool
        Whether any of the rules, or a method, gave something.
    """

    plan: Plan
    frame: Frame
    programmed: Programmed
    winners: tuple[Any, ...] = ()
    is_pair: bool = False
    is_answered: bool = False

    @kept_property
    def criteria(self) -> tuple[Criterion, ...]:
        """All but the type, in the order in which they are asked."""
        found: list[Criterion] = [each for each in self.plan.criteria if not isinstance(each, OfType)]
        if self.programmed.admitted is not None:  # which may hold what the other criteria refuse
            found.sort(key=lambda each: not each.binds_all)
        return tuple(found)

    @kept_property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the plan, of its pair, and of all criteria."""
        parameters = self.plan.parameters(self.frame)
        for condition in self.plan.pair:
            parameters |= condition.of_value(self.winners[0][condition.column])
        for criterion in self.criteria:
            parameters |= criterion.bounds(parameters)
        return parameters

    @property
    def asked(self) -> dict[str, Any]:
        """The frame's values that are compared, and the time of the anchor where there is one."""
        asked, time = self.plan.asked(self.parameters), self.plan.time
        own = self.frame.own_time_if_known(time)
        if self.frame.anchor is None or own == self.parameters["time"]:
            return asked
        return {**asked, time: own, f"{time} of the {self.frame.anchor.cal_type}": self.parameters["time"]}

    def outcome(self, columns: Mapping[str, Any]) -> ColumnElement[int]:
        """Number of the outcome of a row, by the criteria alone."""
        return _outcome(self.criteria, columns)

    def valued(self, columns: Mapping[str, Any]) -> ColumnElement[int]:
        """As `outcome`, with the values of its parameters in it, so that several steps fit one statement."""

        def value_of(element: ExternallyTraversible, **_: Any) -> ExternallyTraversible | None:
            if not isinstance(element, BindParameter) or element.key not in self.parameters:
                return None
            return bindparam(element.key, self.parameters[element.key], type_=element.type, unique=True)

        return replacement_traverse(self.outcome(columns), {}, value_of)

    def near(self, most: int, *, by: str) -> Select[Any]:
        """Rows of the type that are the nearest on either side by a column of time, and some without it.

        The last value of each is the number of its outcome.
        """
        shared = tuple(each.in_statement() if isinstance(each, Condition) else each for each in self.criteria)
        return _near_and_outcome(self.plan.orm_class, shared, by, most)

    @property
    def walked(self) -> str:
        """The column of time by which an index finds the nearest rows of the type."""
        time, table = self.plan.order[1], self.plan.orm_class.table()
        has_index = any(index.columns.keys()[:2] == ["cal_type", time] for index in table.indexes)
        return time if has_index or self.plan.rule.validity or not is_mjd(self.plan.columns[time]) else "mjd_start"

    def in_order(self, records: Iterable[Any]) -> list[Any]:
        """Sort records, the nearest in time first; those without a time come last."""
        found, time = list(records), self.plan.order[1]
        timed = [record for record in found if Finite.test(record[time])]
        others = [record for record in found if not Finite.test(record[time])]
        return in_order(timed, time, self.parameters["time"]) + others

    def is_bad(self, number: int) -> bool:
        """Whether an outcome is that of a record of a quality that is never chosen."""
        return self.refuses(number) and isinstance(self.criteria[number], NotBad)

    def candidate(self, record: Any, number: int, said: Mapping[str, Said]) -> Candidate:
        """Tell what became of a record whose outcome has this number; `said` is what was said of qualities, by id."""
        time = record[self.plan.time]
        side, own = self.side_of(time), self.frame.own_time_if_known(self.plan.time)
        outcome = self._outcome(self.settled(number, self.programmed.admits(record.id)), side)
        delta = time - own if own is not None and Finite.test(time) else None
        why = outcome.reason(record, {**self.parameters, SAID: said})
        if self.fits(number) and record.id in said and said[record.id].is_here:
            why += f"; its quality is {in_words(said[record.id], record.quality)}"
        return Candidate(record, outcome.rule, why, self._when(record), delta, side)

    def rule_of(self, number: int, side: str | None) -> str:
        """Name of an outcome, as explanations have it."""
        return self._outcome(number, side).rule

    def fits(self, number: int) -> bool:
        """Whether an outcome is that of a record that was chosen or could have been."""
        return number in (CHOSEN_NUMBER, len(self.criteria))

    def refuses(self, number: int) -> bool:
        """Whether an outcome is that of a record that a criterion refused; one asked later has a higher number."""
        return 0 <= number < len(self.criteria)

    def settled(self, number: int, is_admitted: bool | None) -> int:
        """Give the outcome's number after `get_candidates` had its say."""
        fits = len(self.criteria)
        is_final = number == CHOSEN_NUMBER or (number < fits and self.criteria[number].binds_all)
        if is_admitted is None or is_final:
            return number
        if is_admitted:
            return fits
        return number if number != fits else fits + 1

    def side_of(self, time: Any) -> str | None:
        """On which side of the frame a time is; None where there are no sides, or no time."""
        if not self.is_pair or not Finite.test(time):
            return None
        return "before" if time <= self.parameters["time"] + SAME else "after"

    def _when(self, record: Any) -> str:
        for criterion in self.criteria:
            if isinstance(criterion, ValidAt):
                return criterion.interval_of(record)
        time = record[self.plan.time]
        if not Finite.test(time):
            return offset(None)
        return offset(time - self.parameters["time"]) + (" than the anchor" if self.frame.anchor is not None else "")

    def _outcome(self, number: int, side: str | None) -> _Outcome:
        if number == CHOSEN_NUMBER:
            return _Outcome(CHOSEN, lambda *_: self._of_winner(side))
        if number < len(self.criteria):
            return _Outcome(self.criteria[number].rule, self.criteria[number].reason)
        if number > len(self.criteria):
            return _Outcome("get_candidates", lambda *_: f"{self.programmed.selector} does not admit it")
        if self.plan.pair and side not in (None, *map(self._side_of, self.winners)):
            return _Outcome("same", lambda *_: "it has no value in which a pair could agree")
        deciding = self.programmed.deciding
        if deciding is None or self.is_answered:
            return _Outcome(FARTHER, lambda *_: "it fits, but another is preferred")
        return _Outcome(deciding, lambda *_: f"it fits, but the {deciding} of {self.programmed.selector} takes none")

    def _side_of(self, record: Any) -> str | None:
        return self.side_of(record[self.plan.time])

    def _of_winner(self, side: str | None) -> str:
        if by_fallback(self.winners):
            return "the fallback's choice"
        return "the best that fits" if side is None else f"the nearest that fits {side} the frame"


def judges_of(
    plans: Sequence[Plan],
    frame: Frame,
    programmed: Programmed,
    winners: tuple[Any, ...],
    step: int | None,
    is_pair: bool,
) -> list[Judge]:
    """Give a judge for each step; what no step gave was chosen beside them all."""
    judges, is_answered = [], bool(winners) and not by_fallback(winners)
    for plan in plans:
        own = tuple(each for each in winners if step_of(each) in (plan.rule.step, None))
        agree = plan.rule.same and is_pair and own and step == plan.rule.step and not by_fallback(own)
        judges.append(Judge(plan.for_pair if agree else plan, frame, programmed, own, is_pair, is_answered))
    return judges


def step_of(record: Any) -> int | None:
    """Number of the preference that gave a record; None where the rule has none, or a method gave it."""
    return record.choice.step if record.choice else None


def by_fallback(winners: Sequence[Any]) -> bool:
    """Whether a selector's own fallback chose."""
    return any(each.is_fallback and step_of(each) is None for each in winners)


def of_type(orm_class: type[ORMCalibration]) -> ColumnElement[bool]:
    """Clause that is true of the records of the type."""
    return OfType("").clause(columns_of(orm_class))


def counting(judges: Sequence[Judge]) -> Select[Any]:
    """How many records of the type there are of each combination of outcomes, and of sides: one read for all steps."""
    orm_class, time = judges[0].plan.orm_class, judges[0].plan.time
    columns = columns_of(orm_class)
    outcomes = [
        case(
            (columns["id"].in_([each.id for each in judge.winners]), CHOSEN_NUMBER), else_=judge.valued(columns)
        ).label(f"outcome{number}")
        for number, judge in enumerate(judges)
    ]
    until = judges[0].parameters["time"] + SAME
    after = columns[time].between(math.nextafter(until, MAX), MAX)
    side = case((columns[time].between(-MAX, until), "before"), (after, "after"), else_="").label("side")
    return select(*outcomes, side, func.count()).where(of_type(orm_class)).group_by(*outcomes, side)


def each_by_id(judges: Sequence[Judge]) -> Select[Any]:
    """As `counting`, a row for each record, with its id in the place of the count."""
    counted = counting(judges).group_by(None)
    outcomes = list(counted.selected_columns)[: len(judges) + 1]
    return counted.with_only_columns(*outcomes, judges[0].plan.columns["id"])


@lru_cache(maxsize=64)
def count_of_type(orm_class: type[ORMCalibration]) -> Select[Any]:
    """How many records of the type there are."""
    return select(func.count()).select_from(orm_class.table()).where(of_type(orm_class))


def _outcome(criteria: Sequence[Criterion], columns: Mapping[str, Any]) -> ColumnElement[int]:
    refused = [(criterion.refuses(columns), number) for number, criterion in enumerate(criteria)]
    return case(*refused, else_=len(criteria))


@lru_cache(maxsize=512)
def _near_and_outcome(
    orm_class: type[ORMCalibration], criteria: tuple[Criterion, ...], time: str, most: int
) -> Select[Any]:
    return _near(orm_class, time, most, [_outcome(criteria, columns_of(orm_class)).label("outcome")])


def near_and_outcomes(judges: Sequence[Judge], winners: Sequence[Any], most: int) -> Select[Any]:
    """The nearest rows of the type, and those of the winners, each with its outcome by every step."""
    plan = judges[0].plan
    outcomes = [judge.valued(plan.columns).label(f"outcome{number}") for number, judge in enumerate(judges)]
    own = select(plan.orm_class.table(), *outcomes).where(plan.columns["id"].in_([each.id for each in winners]))
    return _near(plan.orm_class, plan.order[1], most, outcomes, *([own] if winners else []))


def _near(
    orm_class: type[ORMCalibration], time: str, most: int, outcomes: Sequence[ColumnElement[int]], *more: Select[Any]
) -> Select[Any]:
    table, columns = orm_class.table(), columns_of(orm_class)
    when, equals = columns[time], order_of_equals(columns)
    asked = bindparam("time", None, type_=when.type)
    sides = (
        select(table, *outcomes).where(of_type(orm_class), clause).order_by(*order).limit(most)
        for clause, order in (
            (when <= asked, (when.desc(), *equals)),
            (when > asked, (when, *equals)),
            (when.is_(None), equals),
        )
    )
    near = union_all(*(select(each.subquery()) for each in (*sides, *more))).subquery("near")
    return select(*near.c)
