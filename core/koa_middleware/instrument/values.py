"""The one form in which each value is stored and compared.

`normal_form` is the door that all column values pass: of calibrations and of frames, from headers, mappings, models,
bundles, queries and other databases. Each column has one `Form`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Column

from ..exceptions import HeaderError
from . import forms
from .forms import Form
from .plain import shown

QUALITIES = ("GOOD", "BAD", "UNKNOWN")
ORIGIN_WORDS = {"LOCAL": "LOCAL", "REMOTE": "REMOTE", "KECK": "REMOTE"}

#: Forms of common columns, by name.
COMMON_FORMS: dict[str, Form] = {
    "id": forms.ID,
    "filename": forms.FILENAME,
    "datetime_obs": forms.TIME,
    "origin": forms.Words(ORIGIN_WORDS),
    "cal_version": forms.VERSION,
    "quality": forms.Words({word: word for word in QUALITIES}),
    "checksum": forms.CHECKSUM,
    "file_size": forms.FILE_SIZE,
    "last_updated": forms.STAMP,
}


@cache
def form_of(column: Column[Any]) -> Form:
    """Give the form of a column's values."""
    if column.key in COMMON_FORMS:
        return COMMON_FORMS[column.key]
    return forms.by_type(column)


def normal_form(column: Column[Any], value: Any, source: str, how: str = "") -> Any:
    """Give the normal form of one column's value.

    Text loses the blanks around it, and its letter case where the column folds it; the column's null words and NaN
    are None. Numbers and booleans written as text become numbers and booleans. Times become UTC,
    ``YYYY-MM-DDTHH:MM:SS.sss``.

    Raises
    ------
    HeaderError
        When the value cannot be one of the column; `source` says where it stood, and `how` which keyword said it, or
        that it was derived.
    """
    if value is None:
        return None
    try:
        return form_of(column).of(value)
    except (ValueError, TypeError, ArithmeticError) as error:
        said = f" ({how})" if how else ""
        raise HeaderError(
            f"The {column.key}{said} of {source} is {shown(value)}, which is {error}.",
            "Correct it there, or give it as a column value.",
            column=column.key,
            keywords=column.info.get("keywords", ()),
            source=source,
        ) from error


def time_bound(column: Column[Any], value: Any, source: str) -> str | None:
    """Give a bound of a column of times in its form; it may lie beyond the years of observations.

    Raises
    ------
    HeaderError
        When it is no time.
    """
    try:
        return forms.TIME_BOUND.of(value)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise HeaderError(
            f"The {column.key} of {source} is {shown(value)}, which is {error}.",
            "Give an ISO time, a datetime or an astropy Time.",
            column=column.key,
            keywords=(),
            source=source,
        ) from error


def default_value(column: Column[Any]) -> Any:
    """Give a column's default, None where it has none."""
    default: Any = column.default
    if default is None:
        return None
    return default.arg(None) if callable(default.arg) else default.arg
