"""What is searched for: read from a page's address, and written into the addresses of the next ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column, ColumnElement
from starlette.datastructures import QueryParams

from ...exceptions import ConfigurationError, HeaderError, did_you_mean
from ...instrument.judged import QualityHere
from ...instrument.orm import ORMCalibration
from ...instrument.times import mjd_from_iso
from ...instrument.values import normal_form, time_bound

#: The time at which calibrations were observed, by which they are in order where nothing else is asked.
TIME = "datetime_obs"

#: Days by which the two times of a calibration differ at most.
_APART = 1.0

#: What an address may have of a search.
NAMES = ("type", "since", "until", "quality", "column", "value", "sort", "all", "after", "before")

_SOURCE = "the search"

#: The greatest whole number of a database.
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Place:
    """A place in an order, after or before which a page begins.

    Attributes
    ----------
    value : Any
        Of the column by which is sorted.
    id : str or None
        Of the calibration at the page's end; None for a value of which all were looked at, empty where none was.
    """

    value: Any
    id: str | None

    def to_text(self) -> str:
        """Write it for an address."""
        return json.dumps([self.value, self.id], separators=(",", ":"))


@dataclass(frozen=True)
class Search:
    """What is searched for, and the page of it.

    Attributes
    ----------
    cal_type, since, until, quality : str
        As typed; empty where all are wanted.
    pairs : tuple of pairs of str
        Other columns with their values; an empty value means that there is none.
    sort : str
        A column; with a minus before it, the greatest values come first.
    after, before : str
        A place of `Place.to_text`.
    all_columns : bool
    """

    cal_type: str = ""
    since: str = ""
    until: str = ""
    quality: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    sort: str = f"-{TIME}"
    after: str = ""
    before: str = ""
    all_columns: bool = False

    @classmethod
    def of(cls, asked: QueryParams) -> Search:
        """Read it from an address."""
        names, values = asked.getlist("column"), asked.getlist("value")
        pairs = [(name.strip(), value.strip()) for name, value in zip(names, values, strict=False) if name.strip()]
        plain = {name: asked.get(name, "").strip() for name in ("since", "until", "quality", "after", "before")}
        sort = asked.get("sort", "").strip() or cls.sort
        wanted = asked.get("type", "").strip().lower()
        return cls(cal_type=wanted, pairs=tuple(pairs), sort=sort, all_columns=asked.get("all") == "yes", **plain)

    def query(self, **changes: Any) -> dict[str, Any]:
        """Give what stands in the address of this search, with changes; the place in the list only as one."""
        asked = replace(self, **{"after": "", "before": "", **changes})
        return {
            "type": asked.cal_type,
            "since": asked.since,
            "until": asked.until,
            "quality": asked.quality,
            "column": [name for name, _ in asked.pairs],
            "value": [value for _, value in asked.pairs],
            "sort": "" if asked.sort == Search.sort else asked.sort,
            "all": "yes" if asked.all_columns else "",
            "after": asked.after,
            "before": asked.before,
        }

    @property
    def sorted_by(self) -> str:
        """The column by which is sorted."""
        return self.sort.removeprefix("-")

    @property
    def is_descending(self) -> bool:
        """Whether the greatest values come first."""
        return self.sort.startswith("-")


def place_in(column: Column[Any], text: str) -> Place:
    """Read a place in an order by a column.

    Raises
    ------
    ConfigurationError
        When it is none.
    """
    kind = column.type.python_type
    try:
        value, id_ = json.loads(text)
        is_of_it = value is None or isinstance(value, kind) or (kind is float and isinstance(value, int))
        if not is_of_it or not isinstance(id_, str | None) or (isinstance(value, int) and abs(value) > _LARGEST):
            raise ValueError
        f"{value}{id_}".encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise _unusable(f"This page begins at {text!r}, which is no place in a list.", "Search anew.") from error
    return Place(value, id_)


def check_column(orm_class: type[ORMCalibration], name: str) -> None:
    """Check that there is a column.

    Raises
    ------
    ConfigurationError
    """
    known = orm_class.column_names()
    if name not in known:
        hint = f"{did_you_mean(name, known)}Choose one of the list."
        raise _unusable(f"{orm_class.instrument_name} has no column {name!r}.", hint)


def within(orm_class: type[ORMCalibration], search: Search) -> list[ColumnElement[bool]]:
    """Give the clauses of type and time, which an index answers.

    Raises
    ------
    HeaderError
        When a time is none.
    """
    columns = orm_class.table().c
    found: list[ColumnElement[bool]] = []
    if search.cal_type:
        found.append(columns.cal_type == search.cal_type)
    first, last = (_bound(columns[TIME], typed) for typed in (search.since, search.until))
    if first is not None:
        found.append(columns[TIME] >= first)
    if last is not None:
        last = f"{last}T23:59:59.999" if len(last) == len("2026-02-12") else last
        found.append(columns[TIME] <= last)
    if search.cal_type:  # whose index has the other time
        found += [columns.mjd_start >= mjd_from_iso(first) - _APART] if first is not None else []
        found += [columns.mjd_start <= mjd_from_iso(last) + _APART] if last is not None else []
    return found


def _bound(column: Column[Any], typed: str) -> str | None:
    try:
        return time_bound(column, typed or None, _SOURCE)
    except HeaderError as error:
        error.hint = "Give a day or a time, UTC, such as 2026-02-12 or 2026-02-12T10:00:00."
        raise


def besides(orm_class: type[ORMCalibration], search: Search) -> list[ColumnElement[bool]]:
    """Give the clauses of quality and other columns, for which rows are looked at one by one.

    Raises
    ------
    ConfigurationError
        When there is no such column.
    HeaderError
        When a value is none of its column.
    """
    columns = orm_class.table().c
    found: list[ColumnElement[bool]] = []
    pairs: Mapping[str, str] = dict(search.pairs)
    if search.quality:
        pairs = {**pairs, "quality": search.quality}
    for name, value in pairs.items():
        check_column(orm_class, name)
        column: ColumnElement[Any] = columns[name]
        if name == "quality":
            column = QualityHere(columns.id, columns.quality)
        found.append(column.is_(None) if not value else column == normal_form(columns[name], _valid(value), _SOURCE))
    return found


def _valid(value: str) -> str:
    """Give a value that each database takes as text."""
    if value != value.encode("utf-8", "replace").decode() or "\0" in value:
        said = f"The value {value!r} of {_SOURCE} is not valid text."
        raise HeaderError(said, "Write it without these characters.", column="", keywords=(), source=_SOURCE)
    return value


def too_many(name: str, most: int) -> ConfigurationError:
    """Give the error of a list that is too long to be sorted by a column."""
    said = f"More than {most} calibrations are of this type and time, too many to sort by {name}."
    return _unusable(said, "Choose a type or a shorter time, or sort by time or file name.")


def _unusable(message: str, hint: str) -> ConfigurationError:
    return ConfigurationError(message, hint, setting="search", variable=None)
