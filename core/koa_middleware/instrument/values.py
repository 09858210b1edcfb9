"""The one form in which each value is stored and compared.

`normal_form` is the door that all column values pass: of calibrations and of frames, from headers, mappings, records
and other databases.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Boolean, Column, Float, Integer, String

from ..exceptions import HeaderError
from .times import parse_iso

QUALITIES = ("GOOD", "BAD", "UNKNOWN")
ORIGIN_WORDS = {"LOCAL": "LOCAL", "REMOTE": "REMOTE", "KECK": "REMOTE"}

_NOTHING = frozenset({"", "*", "%", "N/A", "NA", "NONE", "NULL"})


def is_wildcard(value: Any) -> bool:
    """Whether a value says nothing: None, empty text, or a word that stands for "any" or "unknown"."""
    return value is None or (isinstance(value, str) and value.strip().upper() in _NOTHING)


def normal_form(column: Column[Any], value: Any, source: str) -> Any:
    """Give the normal form of one column's value.

    Text loses its trailing blanks, and its letter case where the column folds it; empty text and NaN are None. Numbers
    and booleans written as text become numbers and booleans. Times become UTC, ``YYYY-MM-DDTHH:MM:SS.sss``.

    Raises
    ------
    HeaderError
        When the value cannot be one of the column; `source` says where it stood.
    """
    if value is None:
        return None
    try:
        form: Callable[[Any, Any], Any] = _FORMS.get(column.key, _typed)
        return form(value, column)
    except (ValueError, TypeError, OverflowError) as error:
        raise HeaderError(
            f"{value!r} is not a value of {column.key} ({error}) in {source}.",
            "Correct it there, or give it as a column value.",
            column=column.key,
            keywords=column.info.get("keywords", ()),
            source=source,
        ) from error


def default_value(column: Column[Any]) -> Any:
    """Give a column's default, None where it has none."""
    default: Any = column.default
    if default is None:
        return None
    return default.arg(None) if callable(default.arg) else default.arg


def _typed(value: Any, column: Column[Any]) -> Any:
    """Give a value as its column's type holds it; text that says nothing is None in a column that isn't text."""
    if type(value) is str and isinstance(column.type, String):  # most values are
        text = value.rstrip()
        return (text.lower() if column.info.get("fold") else text) or None
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(column.type, String):
        text = str(value).rstrip()
        return (text.lower() if column.info.get("fold") else text) or None
    if isinstance(value, str):
        value = value.strip()
        if is_wildcard(value):
            return None
    if isinstance(column.type, Boolean):
        return _boolean(value)
    if isinstance(column.type, Integer):
        return _integer(value)
    return _number(value) if isinstance(column.type, Float) else value


def _number(value: Any) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number


def _boolean(value: Any) -> bool:
    word = str(value).lower()
    if word in {"true", "t", "1", "1.0", "yes"}:
        return True
    if word in {"false", "f", "0", "0.0", "no"}:
        return False
    raise ValueError("not a boolean")


def _integer(value: Any) -> int:
    number = int(value)
    if isinstance(value, float) and value != number:
        raise ValueError("not a whole number")
    return number


def _word(words: Mapping[str, str]) -> Callable[[Any, Any], str | None]:
    def form(value: Any, _: Any) -> str | None:
        word = str(value).strip().upper()
        if not word:
            return None
        if word not in words:
            raise ValueError(f"it should be one of {', '.join(words)}")
        return words[word]

    return form


def _version(value: Any, _: Any) -> str | None:
    if not str(value).strip():
        return None
    number = _integer(value if isinstance(value, float) else str(value).strip())
    if not 1 <= number <= 999:
        raise ValueError("versions go from 001 to 999")
    return f"{number:03d}"


def _time(value: Any, _: Any) -> str | None:
    if not str(value).strip():
        return None
    time = parse_iso(str(value))
    return time.text if time.has_clock else time.text[:10]


def _checksum(value: Any, _: Any) -> str | None:
    text = str(value).strip().lower()
    if text and not re.fullmatch(r"(sha256|md5):[0-9a-f]+", text):
        raise ValueError("it should be sha256: or md5: and hexadecimal digits")
    return text or None


def _identity(value: Any, _: Any) -> Any:
    return value


def _path(value: Any, _: Any) -> str:
    return os.fsdecode(value)


_FORMS: dict[str, Callable[[Any, Any], Any]] = {
    "origin": _word(ORIGIN_WORDS),
    "quality": _word({word: word for word in QUALITIES}),
    "cal_version": _version,
    "datetime_obs": _time,
    "checksum": _checksum,
    "filename": _path,
    "last_updated": _identity,
}
