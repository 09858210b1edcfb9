"""A frame's values, as the conditions of a selector ask for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column

from ..exceptions import HeaderError
from ..instrument.door import TIMES, finished, in_forms
from ..instrument.forms import is_mjd
from ..instrument.hooks import overrides
from ..instrument.keywords import date_alone
from ..instrument.orm import ORMCalibration
from ..instrument.plain import article, is_masked, is_missing, is_wildcard, shown
from ..instrument.values import normal_form

if TYPE_CHECKING:
    from .criterion import Limit

_NOBODY: Mapping[str, str | None] = {"own_id": None, "own_filename": None}


def says_nothing(value: Any, nulls: tuple[str, ...] | None = None) -> bool:
    """Whether a value, in any form, is none: None, NaN, masked, empty, or a word that stands for "any"; see `plain`."""
    return is_missing(value) or is_wildcard(value, nulls)


def own_values(frame: Mapping[str, Any]) -> Mapping[str, str | None]:
    """Give `own_id` and `own_filename` (without a folder), by which a frame is known; None where it has none."""
    if "id" not in frame and "filename" not in frame:
        return _NOBODY
    id_, filename = frame.get("id"), frame.get("filename")
    return {
        "own_id": None if is_missing(id_) else str(id_),
        "own_filename": None if is_missing(filename) else _as_text(PurePath(str(filename)).name),
    }


def _as_text(name: str) -> str:
    """Give a name that every database takes; one that is no text is that of no calibration."""
    return name.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


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

    Attributes
    ----------
    given : mapping
    source : str
        What the frame is called in messages.
    anchor : ORMCalibration or None
        The calibration that the chosen one hangs on; its time stands for the frame's.
    """

    __slots__ = ("_cal_type", "_columns", "_known", "_names", "_orm_class", "_whole", "anchor", "given", "source")

    def __init__(
        self,
        orm_class: type[ORMCalibration],
        columns: Mapping[str, Column[Any]],
        given: Mapping[str, Any],
        cal_type: str,
    ) -> None:
        self._orm_class = orm_class
        self._columns = columns
        self.given = given
        self._cal_type = cal_type
        name = given.get("filename")
        self.source = name if isinstance(name, str) and name else "the input"
        self._known: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        self._whole: dict[str, Any] = {}  # empty until it is needed
        self.anchor: ORMCalibration | None = None

    def for_type(self, cal_type: str) -> Frame:
        """Give the same frame for the choice of another type; what was found out of its values serves both."""
        other = Frame(self._orm_class, self._columns, self.given, cal_type)
        other.source = self.source
        other._known, other._whole, other._names = self._known, self._whole, self._names
        return other

    def name(self, time: str) -> str:
        """What messages call it, see `frame_name`."""
        if time not in self._names:
            self._names[time] = frame_name(self.given, time)
        return self._names[time]

    @property
    def itself(self) -> Mapping[str, str | None]:
        """What the frame is known by, see `own_values`."""
        return own_values(self.given)

    def known(self, name: str) -> Any:
        """Value of a column; None where the frame says nothing of it.

        Raises
        ------
        HeaderError
            When the value cannot be one of the column.
        """
        if name not in self._known:
            column = self._columns[name]
            value = normal_form(column, self.given.get(name), self.source)
            if value is None and overrides(self._orm_class, "derive"):
                value = self._through_the_door().get(name)
            is_nothing = type(value) is str and is_wildcard(value, column.info.get("nulls"))
            self._known[name] = None if is_nothing else value
        return self._known[name]

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

    def each(self, name: str) -> list[Any]:
        """Values of a column that the frame must have, of which each counts; there is one."""
        return [self.needed(name)]

    def interval(self, limit: Limit, time: float) -> tuple[float, float]:
        """First and last time, in days, that fit the frame at `time`."""
        return limit.interval(time)

    def anchored(self, name: str) -> Any:
        """Value of a column of the calibration that the chosen one hangs on; None where it has none."""
        return None if self.anchor is None else self.anchor[name]

    def time(self, name: str) -> float:
        """Time in days by which near is measured: the anchor's where there is one, else the frame's own.

        Raises
        ------
        HeaderError
            When the frame has none that is finite.
        """
        return self.own_time(name) if self.anchor is None else float(self.anchor[name])

    def own_time(self, name: str) -> float:
        """Time in days by a column; of `mjd_start` and `datetime_obs`, one gives the other.

        Raises
        ------
        HeaderError
            When the frame has none that is finite.
        """
        of_both = name == "mjd_start" and self.given.get("datetime_obs") is not None  # which must agree
        value = self._through_the_door().get(name) if of_both else self.known(name)
        if value is None or not math.isfinite(value):
            raise self._lacks(name)
        return float(value)

    def own_time_if_known(self, name: str) -> float | None:
        """Give its own time in days by a column; None where it has none that is finite."""
        try:
            return self.own_time(name)
        except HeaderError:
            return None

    def _through_the_door(self) -> Mapping[str, Any]:
        """All column values; only what does not stand in the frame itself takes this way."""
        if not self._whole:
            said = in_forms(self._orm_class, self.given, self.source)
            settled = TIMES if said.values.get("datetime_obs") is not None else ()
            self._whole.update(finished(self._orm_class, said, self.source, settled=settled))
        return self._whole

    def _without_start(self, name: str) -> str:
        """Say of another time that is missing that there is no start, from which it may follow."""
        if name in TIMES or not is_mjd(self._columns[name]) or self._through_the_door().get("mjd_start") is not None:
            return ""
        keywords = " or ".join(self._columns["mjd_start"].info.get("keywords", ()))
        return f"; it has no mjd_start{f' (keyword {keywords})' if keywords else ''} either"

    def _lacks(self, name: str) -> HeaderError:
        cal_type = self._cal_type or "calibration"
        value, keywords = self.given.get(name), self._columns[name].info.get("keywords", ())
        found = "has no" if value is None or is_masked(value) else f"has {shown(value)} as its"
        said = f" (keyword {' or '.join(keywords)})" if keywords else ""
        return HeaderError(
            f"{self.source} {found} {name}{said}, which is needed to choose {article(cal_type)} {cal_type}"
            f"{self._without_start(name)}{date_alone(self._columns[name], self.given)}.",
            "Correct the header, or give the value yourself.",
            column=name,
            keywords=keywords,
            source=self.source,
        )
