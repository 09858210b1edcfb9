"""When no frame of some values gets a calibration, by the rule itself.

Each criterion on the time says which times of frames a calibration serves. What none serves is a gap: whatever is near
or preferred, a rule answers where any calibration is left. Where a rule hangs on another type's choice, see `hanging`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...choosing.frame import Frame
from ...choosing.selector import CalibrationSelector, Database, ruling_of
from ...choosing.statement import Plan
from ...kept import kept_property
from .groups import anchor_of
from .moments import Span, uncovered
from .rows import Row, Rows, Served


@dataclass(frozen=True)
class Standing:
    """A selector beside frames of some values, whenever they are taken.

    Attributes
    ----------
    selector : CalibrationSelector
    values : mapping
        The frames' values by column, without a time.
    db : Database
    rows : Rows
    is_whole : bool
        Whether these are all values that are compared; else nothing is chosen.
    also : tuple of str
        Columns in which another selector looks at these calibrations.
    """

    selector: CalibrationSelector
    values: Mapping[str, Any]
    db: Database
    rows: Rows
    is_whole: bool = True
    also: tuple[str, ...] = ()

    @kept_property
    def _settled(self) -> tuple[Any, tuple[Plan, ...]]:
        ruling = ruling_of(self.selector, self.db.orm_class)
        return ruling.settled(ruling.frame(self.values))

    @property
    def plans(self) -> tuple[Plan, ...]:
        """Steps of the rule, in order."""
        return self._settled[1]

    @property
    def frame(self) -> Frame:
        """A frame of the values, without a time."""
        return ruling_of(self.selector, self.db.orm_class).frame(self.values)

    @kept_property
    def anchor(self) -> Standing | None:
        """The selector on whose choice this one's hangs, beside the same frames."""
        found = anchor_of(self._settled[0], self.db)
        looked_at = (self.selector.time, *self.plans[0].rule.match_anchor)
        return None if found is None else Standing(found, self.values, self.db, self.rows, also=looked_at)

    @property
    def times(self) -> set[str]:
        """Columns of the frame's time that the rule, and what it hangs on, looks at."""
        anchor = self.anchor if self.is_whole else None
        return {self.selector.time} | (set() if anchor is None else anchor.times)

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Boundaries that are never crossed, in days."""
        return tuple(map(float, self.plans[0].rule.never_across))

    @kept_property
    def by_step(self) -> list[tuple[Plan, list[Row]]]:
        """Each step with the rows that fit the frames' values, whatever their quality."""
        frame = self.frame
        return [(plan, self.rows.of(plan, frame, self.also)) for plan in self.plans]

    @kept_property
    def served(self) -> list[list[Served]]:
        """For each step, what its rows serve."""
        return [self.rows.served(plan, rows) for plan, rows in self.by_step]

    def gaps_by_own_time(self, whole: Span) -> list[Span]:
        """Give when nothing serves a frame, near to its own time."""
        return uncovered(((first, last) for step in self.served for first, last, _ in step), whole)


def is_by_interval(plans: Sequence[Plan]) -> bool:
    """Whether a rule goes by intervals of validity."""
    return plans[0].rule.validity is not None
