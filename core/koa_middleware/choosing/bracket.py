"""The pair of calibrations around a frame."""

from __future__ import annotations

from typing import Any, NamedTuple


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


def _record(side: Any) -> Any:
    return getattr(side, "calibration", side)


def _delta(side: Any) -> float | None:
    delta: float | None = _record(side).choice.delta_days
    return delta


def _is_inferred(side: Any) -> bool:
    return bool(_record(side).get("time_inferred"))
