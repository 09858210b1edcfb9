"""How an explanation is made: what each step of a rule did with the records of the type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..instrument.detached import record_builder
from ..instrument.judged import Said
from .answering import answer, every_value
from .bracket import Bracket
from .explanation import (
    CHOSEN,
    FARTHER,
    Candidate,
    Explanation,
    SideExplanation,
    StepExplanation,
)
from .judged import last_said_of
from .judging import (
    CHOSEN_NUMBER,
    Judge,
    Programmed,
    by_fallback,
    counting,
    each_by_id,
    judges_of,
    near_and_outcomes,
    step_of,
)
from .order import distance
from .pairs import SIDES, Nearby
from .statement import fetch_rows
from .wording import in_numbers, in_pairs, offset

if TYPE_CHECKING:
    from .considered import Considered
    from .selector import Database

#: Other values in which a pair could agree that are told.
_MOST_VALUES = 3


#: Gives the step that tells of a record with some outcomes by all steps, on one side.
StepFor = Callable[[Sequence[int], str | None], int]


class _Group(NamedTuple):
    """Records of one side that have the same outcomes by all steps, and how many they are."""

    outcomes: tuple[int, ...]
    side: str | None
    number: int


def explain(db: Database, considered: Considered, programmed: Programmed, nearest: int) -> Explanation:
    """Count all records of the type by the criterion that refuses first, and tell of the `nearest` one by one."""
    return _Telling.of(db, considered, programmed, nearest).explanation(nearest)


@dataclass(frozen=True)
class _Telling:
    """What was read for an explanation.

    Attributes
    ----------
    considered : Considered
    winners : tuple of records
    judges : list of Judge
        One for each step.
    groups : list of _Group
    near : list of pairs
        The winners and the nearest records on each side, in order of time, each with its outcomes by all steps.
    values : Nearby or None
        In which values a pair could agree.
    said : mapping
        What was said last of the qualities of the records, by id.
    """

    considered: Considered
    winners: tuple[Any, ...]
    judges: list[Judge]
    groups: list[_Group]
    near: list[tuple[Any, tuple[int, ...]]]
    said: Mapping[str, Said]
    values: Nearby | None

    @classmethod
    def of(cls, db: Database, considered: Considered, programmed: Programmed, nearest: int) -> _Telling:
        """Read all that is told."""
        winners = tuple(filter(None, considered.bracket or (considered.record,)))
        plans = considered.plans[: _last_asked(considered, winners, programmed)]
        judges = judges_of(plans, considered.frame, programmed, winners, considered.step, considered.as_pair)
        values = None
        for judge, plan in zip(judges, plans, strict=True):
            if judge.plan.pair:
                values = answer(every_value(plan, judge.parameters), lambda ask: fetch_rows(db, *ask[:2]))
        near = _near(db, judges, winners, max(nearest, 1))
        said = last_said_of(db, [record.id for record, _ in near])
        return cls(considered, winners, judges, _groups(db, judges), near, said, values)

    def explanation(self, nearest: int) -> Explanation:
        """Put it together."""
        deciding = self.judges[(self.considered.step or len(self.judges)) - 1]
        counts = self._counts(self._deciding)
        values, bracket = self._agreed(), self.considered.bracket
        return Explanation(
            deciding.plan.of_type.cal_type,
            deciding.asked,
            sum(group.number for group in self.groups),
            counts,
            self._candidates(self._deciding)[:nearest],
            self.considered.record,
            self.winners,
            tuple(self._sides()),
            bracket and bracket.weight,
            values,
            self._why_these(values),
            tuple(self._steps(nearest)),
            self.considered.frame.anchor,
        )

    def _deciding(self, outcomes: Sequence[int], side: str | None) -> int:
        """Give the step that tells of a record at the top: the one that answered on its side, else the last.

        Where a method chose among what all steps admit, it is the first that admits it.
        """
        if not self.judges[0].programmed.takes_part:
            return self._answering(side)
        fits = (number for number, each in enumerate(outcomes) if self.judges[number].fits(each))
        return next(fits, len(self.judges) - 1)

    def _answering(self, side: str | None) -> int:
        bracket, step = self.considered.bracket, self.considered.step
        if bracket is not None and side is not None and not self.judges[0].plan.rule.same:
            record = bracket[SIDES.index(side)]
            step = record and step_of(record)
        return (step or len(self.judges)) - 1

    def _counts(self, step_for: StepFor, sides: Sequence[str | None] = (*SIDES, None)) -> dict[str, int]:
        counted = [(group, step_for(group.outcomes, group.side)) for group in self.groups if group.side in sides]
        counts: dict[str, int] = {}
        for group, step in sorted(counted, key=lambda each: each[0].outcomes[each[1]]):
            rule = self.judges[step].rule_of(group.outcomes[step], group.side)  # two criteria may have one name
            counts[rule] = counts.get(rule, 0) + group.number
        return counts

    def _candidates(self, step_for: StepFor) -> tuple[Candidate, ...]:
        found = []
        for record, outcomes in self.near:
            step = step_for(outcomes, self.judges[0].side_of(record[self.judges[0].plan.time]))
            found.append(self.judges[step].candidate(record, outcomes[step], self.said))
        return tuple(sorted(found, key=lambda candidate: not candidate.is_chosen))

    def _steps(self, nearest: int) -> Iterator[StepExplanation]:
        asked, plans = len(self.judges), self.considered.plans
        for number in range(len(plans)) if len(plans) > 1 else ():
            yield (
                self._step(number, nearest)
                if number < asked
                else StepExplanation(number + 1, "was not asked", {}, (), ())
            )

    def _step(self, number: int, nearest: int) -> StepExplanation:
        counts, judge = self._counts(lambda *_: number), self.judges[number]
        own = () if by_fallback(self.winners) else judge.winners
        reason = self._of_step(number, own, counts)
        return StepExplanation(number + 1, reason, counts, self._candidates(lambda *_: number)[:nearest], own)

    def _of_step(self, number: int, own: tuple[Any, ...], counts: Mapping[str, int]) -> str:
        judge = self.judges[number]
        if judge.programmed.takes_part:
            return f"admits {sum(counts.get(rule, 0) for rule in (CHOSEN, FARTHER, judge.programmed.deciding or ''))}"
        if own:
            where = f" {judge.side_of(own[0][judge.plan.time])} the frame" if judge.is_pair and len(own) == 1 else ""
            return f"gave the answer{where}"
        if judge.is_pair and judge.plan.rule.same and (counts.get(FARTHER) or counts.get(CHOSEN)):
            fits = [self._counts(lambda *_: number, [side]).get(FARTHER, 0) for side in SIDES]
            names = " and ".join(judge.plan.rule.same)
            told = f"no {names} is on both sides of the frame: {fits[0]} fit before it, {fits[1]} after it"
            empty = [side for side, number_of in zip(SIDES, fits, strict=True) if not number_of]
            return "".join([told, *(self._closest(number, side) for side in empty)])
        side = self._lacking() if judge.is_pair else None
        return self._nothing(number, side, f" {side} the frame" if side else "")

    def _lacking(self) -> str | None:
        """Give the side on which there is nothing, or on which a later step gave the answer; None where it is both."""
        first = min((step_of(winner) or 1 for winner in self.winners), default=1)
        given = {
            self.judges[0].side_of(each[self.judges[0].plan.time]) for each in self.winners if step_of(each) == first
        }
        return next((side for side in SIDES if given and side not in given), None)

    def _nothing(self, number: int, side: str | None, where: str = "") -> str:
        """Say that a step gives nothing, or nothing on one side, with counts and the nearest one that it refused."""
        counts = self._counts(lambda *_: number, [side] if side else (*SIDES, None))
        counts.pop(CHOSEN, None)  # by the fallback
        candidates = self._candidates(lambda *_: number)
        told = [each for each in candidates if side in (None, each.side) and not each.is_chosen]
        if not told:
            return f"none is known{where}"
        nearest = f"the nearest is {told[0].record.filename}: {told[0].reason}"
        return f"nothing fits{where} ({in_numbers(counts)}); {nearest}"

    def _closest(self, number: int, side: str) -> str:
        """Say what a step refused on a side, and which one came closest to fitting; nothing where none is known."""
        judge = self.judges[number]
        near = [(record, outcomes[number]) for record, outcomes in self.near]
        refused = [each for each in near if judge.side_of(each[0][judge.plan.time]) == side and judge.refuses(each[1])]
        if not refused:
            return ""
        counts = in_numbers(self._counts(lambda *_: number, [side]))
        candidate = judge.candidate(*max(refused, key=lambda each: each[1]), self.said)
        return f"; refused {side} it are {counts}, closest to fitting {candidate.record.filename}: {candidate.reason}"

    def _sides(self) -> Iterator[SideExplanation]:
        if not self.considered.as_pair:
            return
        for side, winner in zip(SIDES, self.considered.bracket or Bracket(None, None), strict=True):
            if winner is None:
                number = self._answering(None if self.judges[0].plan.rule.same else side)
                yield SideExplanation(side, None, self._nothing(number, side))
                continue
            by = f", by step {step_of(winner)}" if step_of(winner) else ""
            yield SideExplanation(side, winner, offset(winner.choice.delta_days) + by)

    def _agreed(self) -> dict[str, Any]:
        """Give the values in which a pair agrees."""
        plans = [judge.plan for judge in self.judges if judge.plan.pair]
        return {name: self.winners[0][name] for plan in plans for name in plan.rule.same}

    def _why_these(self, agreed: Mapping[str, Any]) -> str:
        if self.values is None:
            return ""
        pairs = [(span, dict(zip(agreed, value, strict=True))) for span, _, value in self.values.pairs]
        if len(self.winners) == 1:
            return "no value is on both sides of the frame, and this one is the nearest"
        others = [f"{in_pairs(values)} {_days(span)}" for span, values in pairs if values != agreed]
        if not others:
            return "no other value is on both sides of the frame"
        own = distance(*(winner[self.judges[0].plan.time] for winner in self.winners))
        more = ", ..." if len(others) > _MOST_VALUES else ""
        return f"{_days(own)} between the two, other pairs: {', '.join(others[:_MOST_VALUES])}{more}"


def _last_asked(considered: Considered, winners: Sequence[Any], programmed: Programmed) -> int:
    """Number of the last step that was asked: those after it may compare what the frame lacks."""
    every, wanted = len(considered.plans), 2 if considered.as_pair else 1
    if len(winners) < wanted or by_fallback(winners) or programmed.takes_part:
        return every
    return max(step_of(winner) or considered.step or every for winner in winners)


def _days(milliseconds: float) -> str:
    return f"{milliseconds / 86_400_000:.3f} d"


def _groups(db: Database, judges: Sequence[Judge]) -> list[_Group]:
    """Count the records of the type by their outcomes."""
    programmed, parameters = judges[0].programmed, judges[0].parameters
    is_pair = judges[0].is_pair
    if programmed.admitted is None:
        rows = fetch_rows(db, counting(judges), parameters)
    else:  # more ids than a statement can hold
        rows = [
            (
                *[
                    judge.settled(number, id_ in programmed.admitted)
                    for judge, number in zip(judges, numbers, strict=True)
                ],
                side,
                1,
            )
            for *numbers, side, id_ in fetch_rows(db, each_by_id(judges), parameters)
        ]
    groups: dict[tuple[tuple[int, ...], str | None], int] = {}
    for *numbers, side, number in rows:
        key = tuple(map(int, numbers)), (side or None) if is_pair else None
        groups[key] = groups.get(key, 0) + int(number)
    return [_Group(*key, number) for key, number in groups.items()]


def _near(
    db: Database, judges: Sequence[Judge], winners: tuple[Any, ...], nearest: int
) -> list[tuple[Any, tuple[int, ...]]]:
    """Read the winners and the nearest records on each side, in order of time, with their outcomes."""
    build, width = record_builder(judges[0].plan.orm_class, raw=True), len(judges)
    chosen = {winner.id: winner for winner in winners}
    own = [{winner.id for winner in judge.winners} for judge in judges]
    found: dict[str, tuple[Any, tuple[int, ...]]] = {}
    for row in fetch_rows(db, near_and_outcomes(judges, winners, nearest), judges[0].parameters):
        record = build(row[:-width])
        outcomes = [
            CHOSEN_NUMBER if record.id in ids else number for ids, number in zip(own, row[-width:], strict=True)
        ]
        found[record.id] = chosen.get(record.id, record), tuple(outcomes)
    return [found[record.id] for record in judges[0].in_order(record for record, _ in found.values())]
