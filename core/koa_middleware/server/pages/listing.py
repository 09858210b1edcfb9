"""What there is of an instrument: a search, and a table of what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from ...exceptions import KoaMiddlewareError
from ...instrument.orm import ORMCalibration
from ...instrument.times import iso_from_mjd
from ..served import Served, served
from .asking import takes
from .compared import compared_in
from .figures import by_type
from .problem_page import problem_in
from .rendering import page
from .search import NAMES, TIME, Place, Search
from .walk import Found, find

router = APIRouter(include_in_schema=False)

#: What people look at first; the columns that rules compare come between them.
_FIRST, _LAST = ("filename", "cal_type", TIME, "quality"), ("cal_version", "origin")

#: As many columns of rules are shown.
_MOST_COMPARED = 6

_NOTHING = Found([], None, False, None, None)


@router.get("/{instrument}", dependencies=[takes(*NAMES)])
@router.get("/{instrument}/", dependencies=[takes(*NAMES)])
def listing(request: Request, asked: Annotated[Served, Depends(served)]) -> HTMLResponse:
    """Show what there is."""
    store, search = asked.store, Search.of(request.query_params)
    orm_class = store.orm_class
    names = _columns(asked, search)
    fault = None
    try:
        found = find(store.known_db, search, names)
    except KoaMiddlewareError as error:
        found, fault = _NOTHING, problem_in(error)
    return page(
        request,
        "listing.html",
        200 if fault is None else fault["status"],
        instrument=asked.plugin.name,
        here="calibrations",
        search=search,
        types=_types(asked),
        columns=orm_class.column_names(),
        head=[_heading(orm_class, name, search, found) for name in names],
        rows=found.rows,
        number=found.number,
        fault=fault,
        is_led=asked.follower is not None,
        looked_until=_time_of(found.looked_until),
        pages=_pages(search, found),
    )


def _columns(asked: Served, search: Search) -> Sequence[str]:
    orm_class: type[ORMCalibration] = asked.store.orm_class
    names = orm_class.column_names()
    if search.all_columns:
        return tuple(dict.fromkeys((*_FIRST, *names)))
    compared = compared_in(orm_class, search.cal_type if search.cal_type in orm_class.selectors else None)
    asked_for = [name for name, _ in search.pairs if name in names]
    wanted = [name for name in compared if name not in (*_FIRST, *_LAST)][:_MOST_COMPARED]
    by = [search.sorted_by] if search.sorted_by in names else []
    return tuple(dict.fromkeys((*_FIRST, *wanted, *asked_for, *by, *_LAST)))


def _types(asked: Served) -> list[dict[str, Any]]:
    """Give each type that there is, or that the instrument's class declares, with how many there are."""
    there = {each.cal_type: each.number for each in by_type(asked.store)}
    names = dict.fromkeys([*asked.store.orm_class.cal_types, *there])
    return [{"name": name, "number": there.get(name, 0)} for name in names]


def _heading(orm_class: type[ORMCalibration], name: str, search: Search, found: Found) -> dict[str, Any]:
    """Give a column's heading: how it is sorted, and the address that sorts by it, or the other way round."""
    is_sorted = search.sorted_by == name
    descends = search.is_descending if is_sorted else name != TIME
    sort = f"{'' if descends else '-'}{name}"
    may_sort = found.is_few or name in (TIME, "filename")
    return {
        "name": name,
        "numbers": orm_class.table().c[name].type.python_type in (int, float),
        "sorted": ("descending" if search.is_descending else "ascending") if is_sorted else None,
        "query": search.query(sort=sort) if may_sort else None,
    }


def _pages(search: Search, found: Found) -> dict[str, Any]:
    """Give the addresses of the pages before and behind this one; None where there is none."""

    def beyond(name: str, place: Place | None) -> dict[str, Any] | None:
        return None if place is None else search.query(**{name: place.to_text()})

    is_first = not (search.after or search.before)
    return {
        "first": None if is_first or found.previous is None else search.query(),
        "previous": beyond("before", found.previous),
        "next": beyond("after", found.next),
    }


def _time_of(value: Any) -> str | None:
    return iso_from_mjd(value) if isinstance(value, float) else value
