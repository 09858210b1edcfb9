"""What may stand in a selector's settings besides plain values: amounts, cases and steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import Enum
from typing import Any, Final, Self

from ..exceptions import ConfigurationError, did_you_mean


@dataclass(frozen=True)
class Relative:
    """A tolerance as a fraction of the frame's value; `relative` makes one."""

    fraction: float


def relative(fraction: float) -> Relative:
    """Give a tolerance as a fraction of the frame's value: ``relative(0.1)`` is 10 % of it."""
    return Relative(fraction)


@dataclass(frozen=True)
class Range:
    """Values from one to another, both inclusive; None is open. `at_least`, `at_most` and `between` make one."""

    low: Any = None
    high: Any = None

    @property
    def bounds(self) -> list[Any]:
        """The bounds that are not open."""
        return [each for each in (self.low, self.high) if each is not None]

    def __str__(self) -> str:
        if self.high is None:
            return f"at least {self.low}"
        return f"at most {self.high}" if self.low is None else f"{self.low} to {self.high}"


def at_least(low: Any) -> Range:
    """Give the range of all values from `low` on, inclusive."""
    return Range(low=low)


def at_most(high: Any) -> Range:
    """Give the range of all values up to `high`, inclusive."""
    return Range(high=high)


def between(low: Any, high: Any) -> Range:
    """Give the range from `low` to `high`, both inclusive."""
    return Range(low, high)


@dataclass(frozen=True)
class By:
    """A setting that depends on the frame's value of a column; `by` makes one.

    Attributes
    ----------
    column : str
    cases : tuple of pairs
        Value and setting; what is no mapping stands here as it was given.
    """

    column: str
    cases: Any


def by(column: str, cases: Mapping[Any, Any]) -> By:
    """Give a setting, or a tolerance, that depends on the frame's value of a column.

    A frame whose value is not among the cases is refused with a `HeaderError`.

    Parameters
    ----------
    column : str
    cases : mapping
        The frame's value to the setting that holds for it.
    """
    return By(column, tuple(cases.items()) if isinstance(cases, Mapping) else cases)


class Unchanged(Enum):
    """What a step leaves as the selector has it."""

    UNCHANGED = "as the selector has it"

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Unchanged.UNCHANGED


@dataclass(frozen=True)
class Step:
    """One of the preferences in a selector's `prefer`, which are tried in order.

    Parameters
    ----------
    require : mapping
        Is added to the selector's.
    within : mapping
        Its tolerances replace the selector's of the same columns.
    max_age : datetime.timedelta or None
        Replaces the selector's.
    direction : str
        Replaces the selector's; ``"nearest"``, ``"before"`` or ``"after"``.

    Raises
    ------
    ConfigurationError
        For a setting that a step does not have.
    """

    require: Any = field(default_factory=dict)
    within: Any = field(default_factory=dict)
    max_age: timedelta | By | Unchanged | None = UNCHANGED
    direction: str | By | Unchanged = UNCHANGED

    def __new__(cls, *arguments: Any, **settings: Any) -> Self:
        """Make a step; refuse what it does not have.

        Raises
        ------
        ConfigurationError
        """
        known = [each.name for each in fields(cls)]
        for name in (name for name in settings if name not in known):
            hint = f"{did_you_mean(name, known)}It has {', '.join(known)}; what else a rule compares is the selector's."
            raise ConfigurationError(f"A Step has no {name}.", hint, setting="prefer")
        if len(arguments) > len(known):
            hint = f"Give {', '.join(known)} in this order, or by name."
            raise ConfigurationError(f"A Step was given {len(arguments)} values.", hint, setting="prefer")
        return super().__new__(cls)
