"""The coverage of an instrument as a timeline: what there is, gaps, boundaries and eras."""

from __future__ import annotations

from threading import Lock
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from ...exceptions import ConfigurationError, KoaMiddlewareError
from ...reports.coverage.report import Coverage
from ..served import Served, served
from .asking import takes
from .figures import by_type
from .problem_page import problem_in
from .rendering import page
from .timeline import timeline_of

router = APIRouter(include_in_schema=False)

#: Calibrations of all types of which a page tells without being asked for one; and those of which it tells at all.
_FEW, _MOST = 20_000, 200_000

#: One at a time, so that it takes no more than one core.
_COUNTING = Lock()


@router.get("/{instrument}/coverage", dependencies=[takes("type", "start", "end")])
def coverage(
    request: Request,
    asked: Annotated[Served, Depends(served)],
    type: str = "",
    start: str = "",
    end: str = "",
) -> HTMLResponse:
    """Show what there is over time."""
    cal_type = type.strip().lower()
    fault = found = None
    numbers = {each.cal_type: each.number for each in by_type(asked.store)}
    number = numbers.get(cal_type, 0) if cal_type else sum(numbers.values())
    is_for_one_type = not cal_type and number > _FEW
    try:
        if not is_for_one_type:
            found = timeline_of(_found(asked, cal_type, start.strip(), end.strip(), number))
    except KoaMiddlewareError as error:
        fault = problem_in(error)
    return page(
        request,
        "coverage.html",
        200 if fault is None else fault["status"],
        instrument=asked.plugin.name,
        here="coverage",
        types=[{"name": name, "number": numbers.get(name, 0)} for name in asked.store.orm_class.selectors],
        cal_type=cal_type,
        start=start,
        end=end,
        number=number,
        is_for_one_type=is_for_one_type,
        found=found,
        fault=fault,
    )


def _found(asked: Served, cal_type: str, start: str, end: str, number: int) -> Coverage:
    if number > _MOST:
        said = f"{number} calibrations are of the type {cal_type}, and a page tells of {_MOST}."
        raise ConfigurationError(said, "Ask koa-cal coverage.", setting="type", variable=None)
    with _COUNTING:
        return asked.store.coverage(cal_type or None, start or None, end or None)
