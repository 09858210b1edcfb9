"""Why a calibration was chosen, and why each other one was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, case, false, func, select, true

from ..display import render
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration
from .conditions import OfType
from .criterion import Criterion
from .frame import Frame
from .judged import SAID, in_words, last_said_of
from .limits import Finite
from .order import in_order, order_of_equals
from .statement import Plan

if TYPE_CHECKING:
    from .selector import Database

CHOSEN = "chosen"
FARTHER = "farther"


@dataclass(frozen=True)
class Candidate:
    """A record and what became of it.

    Attributes
    ----------
    record : ORMCalibration
    rule : str
        ``"chosen"``, ``"farther"`` (it fits, but another is preferred), or the rule that refused it first.
    reason : str
        In words, with amounts.
    delta : float or None
        Calibration time minus frame time, in days; negative when the calibration is older.
    """

    record: ORMCalibration
    rule: str
    reason: str
    delta: float | None


@dataclass(frozen=True)
class StepExplanation:
    """What one of a rule's preferences gave.

    Attributes
    ----------
    number : int
        From 1.
    counts, candidates
        As in `Explanation`.
    winners : tuple of ORMCalibration
        What was chosen by this step.
    """

    number: int
    counts: Mapping[str, int]
    candidates: tuple[Candidate, ...]
    winners: tuple[ORMCalibration, ...]


@dataclass(frozen=True)
class Explanation:
    """What a selection considered; prints as a table.

    Attributes
    ----------
    cal_type : str
    asked : mapping
        The frame's values that were compared.
    total : int
        Number of records of the type.
    counts : mapping
        How many of them each rule refused first; ``"chosen"`` and ``"farther"`` count those that fit.
    candidates : tuple of Candidate
        The nearest ones in time, the chosen one first.
    winner : ORMCalibration or None
        Of a bracket the nearer one.
    winners : tuple of ORMCalibration
        Of a bracket both, the earlier first.
    steps : tuple of StepExplanation
        What each preference gave; empty where the rule has none.
    anchor : ORMCalibration or None
        The calibration on which the chosen one hangs.
    """

    cal_type: str
    asked: Mapping[str, Any]
    total: int
    counts: Mapping[str, int]
    candidates: tuple[Candidate, ...]
    winner: ORMCalibration | None
    winners: tuple[ORMCalibration, ...] = ()
    steps: tuple[StepExplanation, ...] = ()
    anchor: ORMCalibration | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "cal_type": self.cal_type,
            "asked": dict(self.asked),
            "total": self.total,
            "counts": dict(self.counts),
            "winner": None if self.winner is None else self.winner.to_dict(),
            "is_fallback": self.winner is not None and self.winner.is_fallback,
            "candidates": [
                {
                    "id": candidate.record.id,
                    "filename": candidate.record.filename,
                    "rule": candidate.rule,
                    "reason": candidate.reason,
                    "delta_days": candidate.delta,
                }
                for candidate in self.candidates
            ],
        }

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, width: int | None = None) -> str:
        """Give the table as text, no wider than `width` characters where that is given."""
        asked = ", ".join(f"{name} {value}" for name, value in self.asked.items())
        counts = ", ".join(f"{number} {rule}" for rule, number in self.counts.items())
        chosen = "nothing fits" if self.winner is None else f"{self.winner.filename} is chosen"
        if len(self.winners) > 1:
            chosen = f"{' and '.join(each.filename for each in self.winners)} are chosen"
        if self.winner is not None and self.winner.is_fallback:
            step = self.winner.choice.step if self.winner.choice else None
            chosen += f" by step {step}" if step else " by the fallback, as nothing fits the rule"
        title = f"{self.cal_type} for {asked}: {chosen}\n{self.total} known: {counts or 'none'}"
        rows = [(candidate.record.filename, candidate.rule, candidate.reason) for candidate in self.candidates]
        return render(("calibration", "rule", "reason"), rows, title=title, width=width)


def offset(delta: float | None) -> str:
    """A time difference in days as text: ``12.4 d older`` than the frame, or newer."""
    if delta is None:
        return "no time"
    return f"{abs(delta):.{1 if abs(delta) >= 1 else 3}f} d {'older' if delta < 0 else 'newer'}"


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

    def admits(self, id: str) -> bool | None:
        """Whether `get_candidates` gave the record of an id; None where there is none of its own."""
        return None if self.admitted is None else id in self.admitted


def explain(
    db: Database,
    plans: Sequence[Plan],
    frame: Frame,
    programmed: Programmed,
    winner: Any,
    winners: tuple[Any, ...],
    step: int | None,
    nearest: int,
) -> Explanation:
    """Count all records of the type by the criterion that refuses first, and tell of the `nearest` one by one.

    Parameters
    ----------
    plans : sequence of Plan
        One for each step.
    winner : record or None
        Of a bracket the nearer one.
    winners : tuple of records
    step : int or None
        Number of the step that gave the answer.
    """
    deciding = plans[(step or len(plans)) - 1]
    steps = []
    for plan in plans[: step or len(plans)] if len(plans) > 1 else ():
        chosen = tuple(each for each in winners if each.choice and each.choice.step == plan.rule.step)
        told = _tell(db, plan, frame, programmed, chosen, nearest)
        steps.append(StepExplanation(plan.rule.step or 1, told.counts, told.candidates, chosen))
    told = _tell(db, deciding, frame, programmed, winners, nearest)
    return Explanation(
        deciding.of_type.cal_type,
        deciding.asked(deciding.parameters(frame)),
        sum(told.counts.values()),
        told.counts,
        told.candidates,
        winner,
        winners,
        tuple(steps),
        frame.anchor,
    )


class _Told(NamedTuple):
    counts: dict[str, int]
    candidates: tuple[Candidate, ...]


def _tell(
    db: Database, plan: Plan, frame: Frame, programmed: Programmed, winners: tuple[Any, ...], nearest: int
) -> _Told:
    """Tell what became of the records of the type by one rule."""
    parameters = plan.parameters(frame)
    for pair in plan.rule.same if len(winners) == 2 else ():
        parameters[f"same_{pair}"] = winners[0][pair]
    plan = plan.for_pair if plan.rule.same and len(winners) == 2 else plan
    criteria: list[Criterion] = [each for each in plan.criteria if not isinstance(each, OfType)]
    if programmed.admitted is not None:  # which may hold what the other criteria refuse
        criteria.sort(key=lambda each: not each.binds_all)
    outcomes = [
        _Outcome(CHOSEN, plan.columns["id"].in_([each.id for each in winners]), _of_winner(winners), True),
        *(
            _Outcome(each.rule, each.refuses(plan.columns, parameters), each.reason, each.binds_all)
            for each in criteria
        ),
        _Outcome("get_candidates", false(), lambda *_: f"{programmed.selector} does not admit it"),
        _left(programmed, winners),
    ]
    numbers, rows = _read(db, plan, parameters, outcomes, nearest, programmed.admitted)
    build = record_builder(plan.orm_class)
    ties, time = plan.order
    told = {}
    records = [build(values) for *values, _ in rows]
    said = last_said_of(db, {record.id for record in records})
    for record, (*_, number) in zip(records, rows, strict=True):
        delta = _delta(record[time], parameters["time"])
        outcome = outcomes[_settled(outcomes, number, programmed.admits(record.id))]
        reason = f"{offset(delta)}, {outcome.reason(record, {**parameters, SAID: said})}"
        if outcome.rule in {CHOSEN, FARTHER} and record.id in said and said[record.id].is_here:
            reason += f"; its quality is {in_words(said[record.id], record.quality)}"
        told[record.id] = Candidate(record, outcome.rule, reason, delta)
    ordered = in_order([candidate.record for candidate in told.values()], time, parameters["time"], ties)
    candidates = [told[record.id] for record in ordered]
    candidates.sort(key=lambda candidate: candidate.rule != CHOSEN)
    counts: dict[str, int] = {}
    for number in sorted(numbers):  # two criteria may have one name
        rule = outcomes[number].rule
        counts[rule] = counts.get(rule, 0) + numbers[number]
    return _Told(counts, tuple(candidates[:nearest]))


def _left(programmed: Programmed, winners: tuple[Any, ...]) -> _Outcome:
    """Give the outcome of what no criterion refuses."""
    if programmed.deciding is None or any(not each.is_fallback for each in winners):
        return _Outcome(FARTHER, true(), lambda *_: "it fits, but another is preferred")
    said = f"it fits, but the {programmed.deciding} of {programmed.selector} takes none"
    return _Outcome(programmed.deciding, true(), lambda *_: said)


def _settled(outcomes: Sequence[_Outcome], number: int, is_admitted: bool | None) -> int:
    """Give the outcome's number of a record, of which the criteria say `number`, after `get_candidates` had its say."""
    last = len(outcomes) - 1
    if is_admitted is None or outcomes[number].is_final:
        return number
    if is_admitted:
        return last
    return number if number != last else last - 1


class _Outcome(NamedTuple):
    """What may become of a record: the first outcome that is true of it does; a final one whoever admits it."""

    rule: str
    is_true: ColumnElement[bool]
    reason: Callable[[ORMCalibration, Mapping[str, Any]], str]
    is_final: bool = False


def _of_winner(winners: tuple[Any, ...]) -> Callable[[ORMCalibration, Mapping[str, Any]], str]:
    by_fallback = any(each.is_fallback and each.choice and each.choice.step is None for each in winners)
    return lambda *_: "the fallback's choice" if by_fallback else "the best that fits"


def _read(
    db: Database,
    plan: Plan,
    parameters: Mapping[str, Any],
    outcomes: Sequence[_Outcome],
    nearest: int,
    admitted: frozenset[str] | None,
) -> tuple[Mapping[int, int], list[Any]]:
    """Read how many records have each outcome, by its number, and the rows of the nearest with theirs."""
    outcome = case(*((each.is_true, number) for number, each in enumerate(outcomes)))
    of_type, columns = plan.of_type.clause(plan.columns), plan.columns
    time, asked, equals = columns[plan.order[1]], parameters["time"], order_of_equals(columns)
    neighbours = [
        select(plan.orm_class.table(), outcome).where(clause).order_by(*order).limit(nearest)
        for clause, order in (
            (outcomes[0].is_true, ()),  # which may not be among the nearest
            (of_type & (time <= asked), (time.desc(), *equals)),
            (of_type & (time > asked), (time, *equals)),
            (of_type & time.is_(None), equals),
        )
    ]
    bound = dict(parameters)
    with db.session_manager() as session:
        if admitted is None:
            counting = select(outcome, func.count()).where(of_type).group_by(outcome)
            numbers = {int(number): int(count) for number, count in session.execute(counting, bound)}
        else:  # more ids than a statement can hold
            every = session.execute(select(columns["id"], outcome).where(of_type), bound)
            numbers = Counter()
            for (number, is_admitted), count in Counter((number, one in admitted) for one, number in every).items():
                numbers[_settled(outcomes, number, is_admitted)] += count
        rows = [row for statement in neighbours for row in session.execute(statement, bound)]
    return numbers, rows


def _delta(time: float | None, asked: float) -> float | None:
    return time - asked if time is not None and Finite.test(time) else None
