"""What a selection came to, and what a batch of them needs more than once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..instrument.orm import ORMCalibration
from .bracket import Bracket
from .frame import Frame
from .ruling import Ruling
from .statement import Plan

if TYPE_CHECKING:
    from .selector import CalibrationSelector


@dataclass(slots=True)
class Considered:
    """What a selection came to.

    Attributes
    ----------
    frame : Frame
    plans : tuple of Plan
        One for each step.
    record : ORMCalibration or None
        The chosen one; of a bracket the nearer.
    bracket : Bracket or None
    step : int or None
        Number of the step that gave the record.
    as_pair : bool
        Whether a pair was asked for.
    admitted : frozenset of str or None
        Ids of what the plugin's own `get_candidates` gave; None where it has none.
    """

    frame: Frame
    plans: tuple[Plan, ...]
    record: Any = None
    bracket: Bracket | None = None
    step: int | None = None
    as_pair: bool = False
    admitted: frozenset[str] | None = None


class Prepared:
    """What a batch of choices needs more than once: each selector's rules, and each frame's values.

    Parameters
    ----------
    orm_class : type
    own : mapping
        By cal type, records that the user gave in the place of what the rules choose.
    """

    def __init__(
        self, orm_class: type[ORMCalibration], own: Mapping[str, ORMCalibration] = MappingProxyType({})
    ) -> None:
        self.own = own
        self._orm_class = orm_class
        self._rulings: dict[int, tuple[CalibrationSelector, Ruling]] = {}
        self._frames: dict[int, Frame] = {}

    def ruling(self, selector: CalibrationSelector) -> Ruling:
        """Give a selector's rules, as they were when they were first asked for."""
        if id(selector) not in self._rulings:
            self._rulings[id(selector)] = selector, selector._ruling(self._orm_class)
        return self._rulings[id(selector)][1]

    def frame(self, ruling: Ruling, given: Mapping[str, Any]) -> Frame:
        """Give a frame that rules are asked for; the values of one and the same mapping are looked at once."""
        if id(given) in self._frames:  # which holds it, so that no other one has this id
            return self._frames[id(given)].for_type(ruling.cal_type)
        made = self._frames[id(given)] = ruling.frame(given)
        return made
