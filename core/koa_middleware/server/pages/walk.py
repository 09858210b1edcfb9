"""A page of a list of any length: no page reads more for standing far behind, or for finding little.

The list is walked along an index, from the place where the page before ended. What no index answers is looked for in
portions, for a bounded time: then the page says how far it came, and the next one goes on from there. By a column
without an index is sorted what type and time have made few.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, and_, func, literal, or_, select, tuple_

from ...database.local import LocalDatabase
from ...instrument.judged import QualityHere
from ...instrument.orm import ORMCalibration
from .search import TIME, Place, Search, besides, check_column, place_in, too_many, within

#: Calibrations of a page; of an index's entries that are looked at in one go; for how long, in s.
PAGE, PORTION, BUDGET = 50, 10_000, 0.05

#: As many can be sorted by any column.
MOST_SORTED = 20_000


class Found(NamedTuple):
    """A page.

    Attributes
    ----------
    rows : list of dict
        By column, in order.
    number : int or None
        How many there are in all, by type and time, where they are few and nothing else is asked.
    is_few : bool
        Whether they can be sorted by any column.
    next, previous : Place or None
        Where the pages behind and before this one begin; None where there is none.
    looked_until : Any
        Where the search stopped before the page was full, the value of the order's column up to which it came.
    """

    rows: list[dict[str, Any]]
    number: int | None
    is_few: bool
    next: Place | None
    previous: Place | None
    looked_until: Any = None


@dataclass(frozen=True)
class _Order:
    """An order of a list.

    Attributes
    ----------
    column, id : Column
    is_descending : bool
    has_nulls : bool
        Whether the column may have no value; such calibrations stand at the end, whatever the direction.
    """

    column: Column[Any]
    id: Column[Any]
    is_descending: bool
    has_nulls: bool

    def terms(self, is_back: bool) -> list[ColumnElement[Any]]:
        """Give what rows are ordered by; from the end to the beginning where it goes back."""
        falls = self.is_descending != is_back
        columns: tuple[ColumnElement[Any], ...] = (self.column, self.id)
        ordered: list[ColumnElement[Any]] = [each.desc() if falls else each.asc() for each in columns]
        if not self.has_nulls:
            return ordered
        is_null = self.column.is_(None)
        return [is_null.desc() if is_back else is_null.asc(), *ordered]

    def beyond(self, place: Place, is_back: bool) -> ColumnElement[bool]:
        """Clause of what stands behind a place, or before it."""
        falls = self.is_descending != is_back
        value: ColumnElement[Any] = literal(place.value, self.column.type)
        if place.id is None:
            return _beyond(self.column, value, falls)
        if not place.id:
            return self.upto(place.value, not is_back)
        if not self.has_nulls:
            return _beyond(tuple_(self.column, self.id), tuple_(value, place.id), falls)
        is_null, by_id = self.column.is_(None), _beyond(self.id, place.id, falls)
        if place.value is None:
            return or_(~is_null, and_(is_null, by_id)) if is_back else and_(is_null, by_id)
        found = or_(_beyond(self.column, value, falls), and_(self.column == value, by_id))
        return found if is_back else or_(found, is_null)

    def upto(self, value: Any, is_back: bool) -> ColumnElement[bool]:
        """Clause of what stands before the last of a value."""
        there: ColumnElement[Any] = literal(value, self.column.type)
        falls = self.is_descending != is_back
        found: ColumnElement[bool] = self.column >= there if falls else self.column <= there
        return found


def _beyond(here: Any, there: Any, falls: bool) -> ColumnElement[bool]:
    found: ColumnElement[bool] = here < there if falls else here > there
    return found


def find(database: LocalDatabase[Any], search: Search, names: Sequence[str]) -> Found:
    """Give the page of a search.

    Parameters
    ----------
    database : LocalDatabase
    search : Search
    names : sequence of str
        The columns that are wanted.

    Raises
    ------
    ConfigurationError, HeaderError
        When what is searched for is not to be had, or no index sorts so many by that column.
    """
    return _Walk(database, search, names).page()


class _Walk:
    def __init__(self, database: LocalDatabase[Any], search: Search, names: Sequence[str]) -> None:
        self._database, self._search = database, search
        self._orm_class: type[ORMCalibration] = database.orm_class
        check_column(self._orm_class, search.sorted_by)
        self._within, self._besides = within(self._orm_class, search), besides(self._orm_class, search)
        self._number = self._count()
        self._order = self._order_of(search.sorted_by)
        self._names = tuple(dict.fromkeys(("id", *names)))
        self._is_back = bool(search.before)
        text = search.before or search.after
        self._place = place_in(self._order.column, text) if text else None

    def page(self) -> Found:
        """Give it."""
        found, stopped = self._rows()
        is_more = len(found) > PAGE
        found = found[:PAGE]
        ends = [Place(row["koa_key"], row["id"]) for row in (found[:1] + found[-1:])]
        onwards = ends[-1] if is_more else stopped
        backwards = ends[0] if ends else self._turned_round()
        backwards = None if self._place is None else backwards
        until = None if stopped is None else stopped.value
        number = self._number if not self._besides else None
        rows, ahead, behind = (found[::-1], backwards, onwards) if self._is_back else (found, onwards, backwards)
        return Found(rows, number, self._number is not None, ahead, behind, until)

    def _turned_round(self) -> Place | None:
        """Give the place at which an empty page began, for the way back, on which nothing of it was looked at."""
        place = self._place
        return place if place is None or place.id is not None else Place(place.value, "")

    def _count(self) -> int | None:
        """Count what is of the type and the time; None where they are many."""
        one = select(literal(1).label("one")).select_from(self._orm_class.table())
        some = one.where(*self._within).limit(MOST_SORTED + 1).subquery()
        number = int(self._database.execute(select(func.count()).select_from(some))[0][0])
        return number if number <= MOST_SORTED else None

    def _order_of(self, name: str) -> _Order:
        """Give the order by a column; of a type by the time that its index has, however many there are."""
        columns = self._orm_class.table().c
        if self._number is None and name not in (TIME, "filename"):
            raise too_many(name, MOST_SORTED)
        column = columns.mjd_start if name == TIME and self._search.cal_type else columns[name]
        return _Order(column, columns.id, self._search.is_descending, bool(column.nullable))

    def _rows(self) -> tuple[list[dict[str, Any]], Place | None]:
        """Give the page's rows and one more where there is one; and where the search stopped before it came so far."""
        if not self._besides or self._number is not None:
            return self._read(self._place, None, PAGE + 1), None
        found: list[dict[str, Any]] = []
        place, until = self._place, time.monotonic() + BUDGET
        while len(found) <= PAGE:
            edge = self._edge(place)
            found += self._read(place, edge, PAGE + 1 - len(found))
            if edge is None or len(found) > PAGE:
                return found, None
            place = Place(edge, None)
            if time.monotonic() > until:
                return found, place
        return found, None

    def _edge(self, place: Place | None) -> Any:
        """Give the value up to which a portion reaches from a place; None where it reaches to the end."""
        asked = select(self._order.column).where(*self._within)
        if place is not None:  # by its value alone, which is in the index
            reached = place if place.id is None else Place(place.value, "")
            asked = asked.where(self._order.beyond(reached, self._is_back))
        in_order = self._order.terms(self._is_back)[-2]
        found = self._database.execute(asked.order_by(in_order).limit(1).offset(PORTION))
        return found[0][0] if found else None

    def _read(self, place: Place | None, edge: Any, most: int) -> list[dict[str, Any]]:
        columns = self._orm_class.table().c
        wanted = [
            QualityHere(columns.id, columns.quality).label(name) if name == "quality" else columns[name]
            for name in self._names
        ]
        asked = select(*wanted, self._order.column.label("koa_key")).where(*self._within, *self._besides)
        if place is not None:
            asked = asked.where(self._order.beyond(place, self._is_back))
        if edge is not None:
            asked = asked.where(self._order.upto(edge, self._is_back))
        asked = asked.order_by(*self._order.terms(self._is_back)).limit(most)
        return [dict(row._mapping) for row in self._database.execute(asked)]
