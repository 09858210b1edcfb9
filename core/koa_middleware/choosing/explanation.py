"""Why a calibration was chosen, and why each other one was not: as data, and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..display import in_brackets, render
from ..instrument.orm import ORMCalibration
from .explanation_html import as_html
from .wording import in_numbers, in_pairs, offset

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
    why : str
        In words, with amounts.
    when : str
        How far it is from the frame in time, or from the anchor, or for when it is valid; in words.
    delta : float or None
        Calibration time minus frame time, in days; negative when the calibration is older.
    side : str or None
        Of a bracket ``"before"`` or ``"after"``.
    """

    record: ORMCalibration
    rule: str
    why: str
    when: str
    delta: float | None
    side: str | None = None

    @property
    def is_chosen(self) -> bool:
        """Whether it is the answer, or one of a pair."""
        return self.rule == CHOSEN

    @property
    def reason(self) -> str:
        """When and why, in one."""
        return f"{self.when}, {self.why}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "id": self.record.id,
            "filename": self.record.filename,
            "rule": self.rule,
            "reason": self.reason,
            "delta_days": self.delta,
            "side": self.side,
        }


@dataclass(frozen=True)
class StepExplanation:
    """What one of a rule's preferences gave.

    Attributes
    ----------
    number : int
        From 1.
    reason : str
        What it gave, or why it gave nothing, in words.
    counts, candidates
        As in `Explanation`, by this step alone.
    winners : tuple of ORMCalibration
        What was chosen by this step.
    """

    number: int
    reason: str
    counts: Mapping[str, int]
    candidates: tuple[Candidate, ...]
    winners: tuple[ORMCalibration, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "number": self.number,
            "reason": self.reason,
            "counts": dict(self.counts),
            "winners": [each.id for each in self.winners],
            "candidates": [each.to_dict() for each in self.candidates],
        }


@dataclass(frozen=True)
class SideExplanation:
    """What a bracket has on one side of the frame.

    Attributes
    ----------
    side : str
        ``"before"`` or ``"after"``.
    winner : ORMCalibration or None
    reason : str
        How far it is from the frame, or why there is none, in words.
    """

    side: str
    winner: ORMCalibration | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        choice = None if self.winner is None else self.winner.choice
        return {
            "side": self.side,
            "id": None if self.winner is None else self.winner.id,
            "filename": None if self.winner is None else self.winner.filename,
            "step": choice and choice.step,
            "delta_days": choice and choice.delta_days,
            "reason": self.reason,
        }


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
    sides : tuple of SideExplanation
        Of a bracket both sides.
    weight : float or None
        Of a bracket that of the later one, in an interpolation at the frame's time.
    same : mapping
        In which values both of a bracket agree.
    same_reason : str
        Why in these.
    steps : tuple of StepExplanation
        What each preference gave; empty where the rule has none.
    anchor : ORMCalibration or None
        The calibration on which the chosen one hangs.
    failure : str
        Why the rule could not be asked, such as that there is no anchor; else empty.
    """

    cal_type: str
    asked: Mapping[str, Any]
    total: int
    counts: Mapping[str, int]
    candidates: tuple[Candidate, ...]
    winner: ORMCalibration | None
    winners: tuple[ORMCalibration, ...] = ()
    sides: tuple[SideExplanation, ...] = ()
    weight: float | None = None
    same: Mapping[str, Any] | None = None
    same_reason: str = ""
    steps: tuple[StepExplanation, ...] = ()
    anchor: ORMCalibration | None = None
    failure: str = ""

    @property
    def step(self) -> int | None:
        """Number of the preference that gave the winner, from 1; None where there is none."""
        return self.winner.choice.step if self.winner is not None and self.winner.choice else None

    @property
    def is_fallback(self) -> bool:
        """Whether a later step or a fallback gave the winner."""
        return self.winner is not None and self.winner.is_fallback

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON; docs/choosing.md tells what stands in it."""
        return {
            "cal_type": self.cal_type,
            "asked": dict(self.asked),
            "total": self.total,
            "counts": dict(self.counts),
            "winner": None if self.winner is None else self.winner.to_dict(),
            "winners": [each.to_dict() for each in self.winners],
            "is_fallback": self.is_fallback,
            "step": self.step,
            "steps": [each.to_dict() for each in self.steps],
            "sides": [each.to_dict() for each in self.sides],
            "weight": self.weight,
            "same": dict(self.same or {}),
            "same_reason": self.same_reason,
            "anchor": self._anchor(),
            "failure": self.failure,
            "candidates": [each.to_dict() for each in self.candidates],
        }

    def _anchor(self) -> dict[str, Any] | None:
        if self.anchor is None:
            return None
        delta = self.anchor.choice and self.anchor.choice.delta_days
        names = ("id", "filename", "cal_type")
        return {**{name: getattr(self.anchor, name) for name in names}, "delta_days": delta}

    def __repr__(self) -> str:
        return in_brackets(self, self.headline())

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, width: int | None = None) -> str:
        """Give the table as text, no wider than `width` characters where that is given; no name is broken."""
        steps = (f"step {step.number}: {step.reason}" for step in self.steps)
        title = "\n".join([self.headline(), *self.facts(), *steps])
        rows = [(each.record.filename, each.rule, each.reason) for each in self.candidates]
        return render(("calibration", "rule", "reason") if rows else (), rows, title=title, width=width)

    def _repr_html_(self) -> str:
        """Give the table as HTML, for notebooks."""
        return as_html(self)

    def headline(self) -> str:
        """What was asked, and what was chosen, in one line."""
        asked = ", ".join(f"{name} {value}" for name, value in self.asked.items()) or "the frame"
        chosen = "nothing fits"
        if self.winners:
            names = " and ".join(each.filename for each in self.winners)
            chosen = f"{names} {'is' if len(self.winners) == 1 else 'are'} chosen"
        if self.is_fallback:
            chosen += f" by step {self.step}" if self.step else " by the fallback, as nothing fits the rule"
        return f"{self.cal_type} for {asked}: {chosen}"

    def facts(self) -> Iterator[str]:
        """What else is told, a line each; not the steps and the candidates."""
        yield self.failure or f"{self.total} known: {in_numbers(self.counts) or 'none'}"
        if self.anchor is not None:
            delta = self.anchor.choice and self.anchor.choice.delta_days
            yield f"hangs on {self.anchor.filename}, the frame's {self.anchor.cal_type}: {offset(delta)}"
        for side in self.sides:
            winner = f"{side.winner.filename}, " if side.winner is not None else ""
            yield f"{side.side}: {winner}{side.reason}"
        if self.weight is not None:
            yield f"weight of the later one: {self.weight:.3f}"
        if self.same:
            yield f"same {in_pairs(self.same)}: {self.same_reason}"
