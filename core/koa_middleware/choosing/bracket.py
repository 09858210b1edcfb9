"""The pair of calibrations around a frame."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..display import html_table
from .wording import offset


class Bracket(NamedTuple):
    """The nearest calibration at or before a frame, and the nearest after it.

    Attributes
    ----------
    before, after : record or CalibrationResult, or None
        One of them may be missing, not both.
    """

    before: Any
    after: Any

    @property
    def weight(self) -> float | None:
        """Weight of `after` in a linear interpolation at the frame's time, 0 to 1.

        None when one side is missing, when the time of one is inferred, or when the frame has no time of its own and an
        anchor's stands for it.
        """
        if self.before is None or self.after is None or any(map(_is_inferred, self)):
            return None
        before, after = map(_delta, self)
        if before is None or after is None:
            return None
        return min(max(-before / (after - before), 0.0), 1.0)

    def _repr_html_(self) -> str:
        weight = self.weight
        weights = ("", "") if weight is None else (f"{1 - weight:.3f}", f"{weight:.3f}")
        rows = [(name, *_told(side, of)) for name, side, of in zip(self._fields, self, weights, strict=True)]
        return html_table(("", "calibration", "weight", "distance", "time (UTC)", "quality"), rows)


def _told(side: Any, weight: str) -> tuple[str, ...]:
    if side is None:
        return ("none", "", "", "", "")
    record = _record(side)
    return record.filename, weight, offset(_delta(side)), record.datetime_obs, record.quality


def _record(side: Any) -> Any:
    return getattr(side, "calibration", side)


def _delta(side: Any) -> float | None:
    choice = _record(side).choice
    return None if choice is None else choice.delta_days


def _is_inferred(side: Any) -> bool:
    return bool(_record(side).get("time_inferred"))
