"""What is said where nothing fits; of several types each cause once."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from ..exceptions import CalibrationNotFoundError, KoaMiddlewareError
from .explanation import Explanation

#: Stands in a message for the types that it concerns.
_TYPES = "\0"

#: Reasons that are told of several types together.
_MOST_REASONS = 3


class Told(NamedTuple):
    """A cause and the types that it concerns.

    Attributes
    ----------
    cal_types : list of str
    message, hint : str
    error : KoaMiddlewareError
        That of the first type.
    """

    cal_types: list[str]
    message: str
    hint: str
    error: KoaMiddlewareError


def not_found(explanation: Explanation, deciding: str | None) -> CalibrationNotFoundError:
    """Give the error for a selection that came to nothing.

    Parameters
    ----------
    explanation : Explanation
    deciding : str or None
        The selector's own method that takes one of what fits, or none.
    """
    asked = ", ".join(f"{name} {value}" for name, value in explanation.asked.items())
    hint = "koa-cal explain lists them all."
    if not explanation.total:
        found, hint = "the database holds none of that type", "Add one with koa-cal register."
    else:
        reasons = "; ".join(f"{refused.record.filename}: {refused.reason}" for refused in explanation.candidates)
        found = f"of the {explanation.total} known, the nearest were refused ({reasons})"
        if fit := explanation.counts.get(deciding or ""):
            found = f"{fit} of the {explanation.total} known fit, but its {deciding} takes none ({reasons})"
    return CalibrationNotFoundError(
        f"No {explanation.cal_type} fits {asked}: {found}.",
        hint,
        cal_type=explanation.cal_type,
        asked=explanation.asked,
        total=explanation.total,
        nearest=explanation.candidates,
    )


def told_once(errors: Mapping[str, KoaMiddlewareError]) -> list[Told]:
    """Put together the errors, by cal type, that have one cause: the same rules refused, or the same is said."""
    groups: dict[Hashable, dict[str, KoaMiddlewareError]] = {}
    for cal_type, error in errors.items():
        groups.setdefault((type(error), _cause(cal_type, error)), {})[cal_type] = error
    return [_told(group) for group in groups.values()]


def _cause(cal_type: str, error: KoaMiddlewareError) -> Hashable:
    """Give what an error is about, without what differs from type to type: its name, files, offsets."""
    if isinstance(error, CalibrationNotFoundError) and error.asked:
        return frozenset(candidate.rule for candidate in error.nearest)
    return _without(cal_type, error.message)


def _told(group: Mapping[str, KoaMiddlewareError]) -> Told:
    (cal_type, first), *others = group.items()
    names = ", ".join(group)
    if not others:
        message = first.message
    elif isinstance(first, CalibrationNotFoundError) and first.asked:
        message = f"No {names} fits {_asked_of_all(list(group.values()))}: {_reasons(list(group.values()))}."
    else:
        message = _without(cal_type, first.message).replace(_TYPES, names)
    return Told(list(group), message, first.hint, first)


def _without(cal_type: str, message: str) -> str:
    return re.sub(rf"\b{re.escape(cal_type)}\b", _TYPES, message)


def _reasons(errors: Sequence[Any]) -> str:
    """Why nothing fits, without files and offsets."""
    nearest = [candidate for error in errors for candidate in error.nearest]
    reasons = list(dict.fromkeys(candidate.reason.split(", ", 1)[-1] for candidate in nearest))
    more = "; ..." if len(reasons) > _MOST_REASONS else ""
    said = "; ".join(reasons[:_MOST_REASONS]) + more
    return f"the nearest were refused ({said})" if reasons else "the database holds none of that type"


def _asked_of_all(errors: Sequence[KoaMiddlewareError]) -> str:
    """Give the values by which each type was compared, in words."""
    asked = [dict(getattr(error, "asked", {})) for error in errors]
    common = {name: value for name, value in asked[0].items() if all(each.get(name) == value for each in asked)}
    return ", ".join(f"{name} {value}" for name, value in common.items()) or "the frame"
