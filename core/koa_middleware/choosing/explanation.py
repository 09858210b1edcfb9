"""Why a calibration was chosen, and why each other one was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select, true

from ..display import render
from ..instrument.detached import record_builder
from ..instrument.values import normal_form
from .statement import Plan, Refusal

if TYPE_CHECKING:
    from ..instrument.orm import ORMCalibration
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
        ``"chosen"``, ``"farther"`` (it fits, another one is nearer), or the rule that refused it first.
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
    """

    cal_type: str
    asked: Mapping[str, Any]
    total: int
    counts: Mapping[str, int]
    candidates: tuple[Candidate, ...]
    winner: ORMCalibration | None

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
        if self.winner is not None and self.winner.is_fallback:
            chosen += " by the fallback, nothing fits the rule"
        title = f"{self.cal_type} for {asked}: {chosen}\n{self.total} known: {counts or 'none'}"
        rows = [(candidate.record.filename, candidate.rule, candidate.reason) for candidate in self.candidates]
        return render(("calibration", "rule", "reason"), rows, title=title, width=width)


def offset(delta: float | None) -> str:
    """A time difference in days as text: ``12.4 d older`` than the frame, or newer."""
    if delta is None:
        return "no time"
    return f"{abs(delta):.{1 if abs(delta) >= 1 else 3}f} d {'older' if delta < 0 else 'newer'}"


def explain(
    db: Database,
    plan: Plan,
    parameters: Mapping[str, Any],
    refusals: Sequence[Refusal],
    winner: ORMCalibration | None,
    nearest: int,
) -> Explanation:
    """Count all records of the type by the refusal that comes first, and tell of the `nearest` one by one."""
    table = plan.orm_class.table()
    time, asked = table.c[plan.declaration.time], parameters["time"]
    cal_type = normal_form(table.c.cal_type, plan.declaration.cal_type, "the selector")
    of_type = true() if cal_type is None else table.c.cal_type == cal_type
    chosen = table.c.id == (winner.id if winner is not None else None)
    outcomes = [
        (
            CHOSEN,
            chosen,
            "the fallback's choice" if winner is not None and winner.is_fallback else "the best that fits",
        ),
        *((refusal.rule, refusal.holds, refusal.reason) for refusal in refusals),
        (FARTHER, true(), "it fits, another one is preferred"),
    ]
    outcome = case(*((holds, number) for number, (_, holds, _) in enumerate(outcomes)))
    counting = select(outcome, func.count()).where(of_type).group_by(outcome)
    neighbours = [
        select(table, outcome).where(clause).order_by(*order).limit(nearest)
        for clause, order in (
            (chosen, ()),  # a fallback may be of another type
            (of_type & (time <= asked), (time.desc(), table.c.id)),
            (of_type & (time > asked), (time, table.c.id)),
            (of_type & time.is_(None), (table.c.id,)),
        )
    ]
    with db.session_manager() as session:
        counted = {int(number): int(count) for number, count in session.execute(counting)}
        rows = {row[0]: row for statement in neighbours for row in session.execute(statement)}
    build = record_builder(plan.orm_class)
    candidates = []
    for *values, number in rows.values():
        record = build(values)
        rule, _, reason = outcomes[number]
        delta = _delta(record[time.key], asked)
        said = reason if isinstance(reason, str) else reason(record)
        candidates.append(Candidate(record, rule, f"{offset(delta)}, {said}", delta))
    candidates.sort(key=_rank)
    counts: dict[str, int] = {}
    for number, (rule, _, _) in enumerate(outcomes):  # two rules may compare one column
        if number in counted:
            counts[rule] = counts.get(rule, 0) + counted[number]
    return Explanation(
        plan.declaration.cal_type,
        plan.compared(parameters),
        sum(counted.values()),
        counts,
        tuple(candidates[:nearest]),
        winner,
    )


def _rank(candidate: Candidate) -> tuple[bool, bool, float, float, str]:
    delta = candidate.delta
    return candidate.rule != CHOSEN, delta is None, abs(delta or 0.0), delta or 0.0, str(candidate.record.id)


def _delta(time: float | None, asked: float) -> float | None:
    return None if time is None or time - time != 0 else time - asked
