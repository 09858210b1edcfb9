"""A frame's values, as the conditions of a selector ask for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column

from ..exceptions import HeaderError
from ..instrument.forms import is_masked, is_wildcard
from ..instrument.orm import ORMCalibration
from ..instrument.values import normal_form


def says_nothing(value: Any) -> bool:
    """Whether a value, in any form, is none: None, NaN, masked, empty, or a word that stands for "any"."""
    return is_wildcard(value) or is_masked(value) or bool(value != value)


def frame_name(given: Mapping[str, Any], time: str) -> str:
    """Give a frame as messages call it: its file's name, else its time."""
    name = given.get("filename")
    if not says_nothing(name):
        return str(name)
    for column in dict.fromkeys((time, "mjd_start", "datetime_obs")):
        value = given.get(column)
        if not says_nothing(value):
            return f"the frame of {column} {value}"
    return "the frame"


class Frame:
    """A frame's values in normal form, and the error for one that it lacks.

    Parameters
    ----------
    orm_class : type
    columns : mapping
        The table's columns by name.
    given : mapping
        The frame's column values in any form.
    cal_type : str
        The type that is chosen, for messages.
    """

    __slots__ = ("_cal_type", "_columns", "_given", "_orm_class", "_source")

    def __init__(
        self,
        orm_class: type[ORMCalibration],
        columns: Mapping[str, Column[Any]],
        given: Mapping[str, Any],
        cal_type: str,
    ) -> None:
        self._orm_class = orm_class
        self._columns = columns
        self._given = given
        self._cal_type = cal_type
        self._source = str(given.get("filename") or "the input")

    def known(self, name: str) -> Any:
        """Value of a column; None where the frame says nothing of it.

        Raises
        ------
        HeaderError
            When the value cannot be one of the column.
        """
        value = normal_form(self._columns[name], self._given.get(name), self._source)
        return None if is_wildcard(value) else value

    def needed(self, name: str) -> Any:
        """Value of a column that the frame must have.

        Raises
        ------
        HeaderError
            When it has none, or one that stands for "any", or one that cannot be of the column.
        """
        value = self.known(name)
        if value is None:
            raise self._lacks(name)
        return value

    def time(self, name: str) -> float:
        """Time in days by a column; of `mjd_start` and `datetime_obs`, one gives the other.

        Raises
        ------
        HeaderError
            When the frame has none that is finite.
        """
        value = self.known(name)
        if value is None:
            value = self._orm_class.normalise(self._given, self._source).get(name)
        if value is None or not math.isfinite(value):
            raise self._lacks(name)
        return float(value)

    def _lacks(self, name: str) -> HeaderError:
        value, keywords = self._given.get(name), self._columns[name].info.get("keywords", ())
        found = "has no" if value is None else f"has {value!r} as its"
        said = f" (keyword {' or '.join(keywords)})" if keywords else ""
        return HeaderError(
            f"{self._source} {found} {name}{said}, which is needed to choose a {self._cal_type or 'calibration'}.",
            "Correct the header, or give the value yourself.",
            column=name,
            keywords=keywords,
            source=self._source,
        )
