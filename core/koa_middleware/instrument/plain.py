"""Values as Python has them, whatever package made them: numpy, pandas, astropy; and those that say nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .scales import is_time

#: Words that mean "no value" in a column that declares none of its own.
NULLS = ("N/A", "NAN", "UNKNOWN")

#: Characters of a value that a message shows, and of one that stands in its sentences several times.
_SHOWN, _BRIEF = 120, 60

_WILDCARDS = frozenset({"", "*", "%"})
#: Words that no number can be, whatever words a column declares.
NOTHING = _WILDCARDS | {"N/A", "NA", "NAN", "NONE", "NULL", "UNKNOWN"}


def is_wildcard(value: Any, nulls: tuple[str, ...] | None = None) -> bool:
    """Whether a value says nothing: None, empty text, or a word that stands for "any" or "unknown".

    A column's own `nulls` stand in the place of the usual words, but not of the wildcards ``*`` and ``%``.
    """
    if not isinstance(value, str):
        return value is None
    word = value.strip().upper()
    if nulls is None:
        return word in NOTHING
    return word in _WILDCARDS or word in map(str.upper, nulls)


def is_masked(value: Any) -> bool:
    """Whether a value is one that its array or table masks."""
    return getattr(value, "ndim", None) == 0 and bool(getattr(value, "mask", False))


def is_missing(value: Any) -> bool:
    """Whether a value is None, masked, or not equal to itself, as NaN, NaT and pandas' NA."""
    if value is None or is_masked(value):
        return True
    if _is_several(value):
        return False
    try:
        return bool(value != value)
    except (TypeError, ArithmeticError):  # of pandas' NA, which is neither true nor false, and a signalling NaN
        return True


def plain(value: Any) -> Any:
    """Give a value as Python has it: bytes are text, what is missing is None.

    Raises
    ------
    ValueError
        When it is several.
    """
    if is_missing(value):
        return None
    if is_time(value):
        return value
    if _is_scalar(value):
        value = _as_python(value)
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value).decode(errors="surrogateescape")
    if _is_several(value):
        raise ValueError(f"a {type(value).__name__}, not one value")
    return None if is_missing(value) else value


def shown(value: Any) -> str:
    """Give a value as messages show it: one of numpy as Python's own, ``3`` and not ``np.int64(3)``; a long one cut.

    One that Python cannot write, such as a number of 5,000 digits, is named by its type.
    """
    if is_masked(value):
        return "a masked value"
    try:
        written = repr(_as_python(value) if _is_scalar(value) else value)
    except Exception:  # noqa: BLE001 - a value's own code may raise any
        return f"a value of the type {type(value).__name__}"
    return written if len(written) <= _SHOWN else f"{written[:_SHOWN]}..."


def brief(value: Any) -> str:
    """Give a value as it stands in a sentence, without quotation marks; a long one cut."""
    written = str(value)
    return written if len(written) <= _BRIEF else f"{written[:_BRIEF]}..."


def is_text(value: Any) -> bool:
    """Whether a value is text that a database can hold."""
    return isinstance(value, str) and "\0" not in value and value == value.encode(errors="replace").decode()


def _as_python(value: Any) -> Any:
    """Give a value of numpy's as Python's; a time as text, since the ones in ns would be numbers."""
    return str(value) if getattr(value.dtype, "kind", "") == "M" else value.item()


def _is_scalar(value: Any) -> bool:
    """Whether a value is one of numpy's, of no dimension and without a unit."""
    return getattr(value, "ndim", None) == 0 and hasattr(value, "dtype") and not hasattr(value, "unit")


def _is_several(value: Any) -> bool:
    dimensions = getattr(value, "ndim", None)
    if dimensions is not None:
        return bool(dimensions != 0)
    return isinstance(value, Collection) and not isinstance(value, str | bytes | bytearray | memoryview)


def is_quantity(value: Any) -> bool:
    """Whether a value is an `astropy.units.Quantity`, told without importing astropy."""
    return hasattr(value, "unit") and hasattr(value, "to_value")


def in_unit(quantity: Any, unit: str | None) -> float:
    """Give the number of a quantity in a unit.

    Raises
    ------
    ValueError
        When it is none of that unit, or has a unit where there should be none.
    """
    if unit is None and str(quantity.unit):
        raise ValueError(f"in {quantity.unit}, and the column has no unit")
    return float(quantity.to_value(unit or quantity.unit))


def article(word: str) -> str:
    """Give the indefinite article of a word."""
    return "an" if word[:1].lower() in "aeiou" else "a"
