"""One rule: what a selector declares, for one frame's cases and one of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from .amounts import Step, Unchanged

Pairs = tuple[tuple[str, Any], ...]


class Declared(Protocol):
    """The settings of a selector, or of a step on top of them, without cases; see `CalibrationSelector`."""

    cal_type: str
    match: tuple[str, ...]
    given: tuple[str, ...]
    match_if_known: tuple[str, ...]
    within: Mapping[str, Any]
    require: Mapping[str, Any]
    exclude: Mapping[str, Any]
    never_across: tuple[float, ...]
    validity: tuple[str, str | None] | None
    prefer: tuple[Step, ...]
    anchor: str | None
    match_anchor: tuple[str, ...]
    max_age: timedelta | None
    direction: str
    same: tuple[str, ...]
    time: str


@dataclass(frozen=True, eq=False)
class Rule:
    """What holds for a calibration; see `CalibrationSelector` for the settings.

    Attributes
    ----------
    within, require, exclude : tuple of pairs
        Column and setting; a column may be required twice.
    step : int or None
        Number of the step that it is of, from 1; None where there are no preferences.
    """

    cal_type: str
    match: tuple[str, ...]
    given: tuple[str, ...]
    match_if_known: tuple[str, ...]
    within: Pairs
    require: Pairs
    exclude: Pairs
    never_across: tuple[float, ...]
    validity: tuple[str, str | None] | None
    match_anchor: tuple[str, ...]
    max_age: timedelta | None
    direction: str
    same: tuple[str, ...]
    time: str
    step: int | None = None


def rules_of(declared: Declared) -> tuple[Rule, ...]:
    """Give the rules of settings that are without faults: one for each step, in order."""
    steps: list[tuple[int | None, Step]] = list(enumerate(declared.prefer, 1)) or [(None, Step())]
    return tuple(
        Rule(
            cal_type=declared.cal_type.strip().lower(),
            match=tuple(declared.match),
            given=tuple(declared.given),
            match_if_known=tuple(declared.match_if_known),
            within=tuple({**declared.within, **step.within}.items()),
            require=(*declared.require.items(), *step.require.items()),
            exclude=tuple(declared.exclude.items()),
            never_across=tuple(declared.never_across),
            validity=tuple(declared.validity) if declared.validity else None,  # type: ignore[arg-type]
            match_anchor=tuple(declared.match_anchor),
            max_age=_replaced(declared.max_age, step.max_age),
            direction=_replaced(declared.direction, step.direction),
            same=tuple(declared.same),
            time=declared.time,
            step=number,
        )
        for number, step in steps
    )


def _replaced(setting: Any, by_step: Any) -> Any:
    return setting if isinstance(by_step, Unchanged) else by_step
