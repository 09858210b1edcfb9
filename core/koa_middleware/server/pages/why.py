"""Why a calibration is chosen for a frame and others are not, as ``explain`` says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import UploadFile

from ...choosing.explanation import Candidate, Explanation
from ...choosing.wording import in_numbers
from ...exceptions import KoaMiddlewareError
from ...instrument.orm import ORMCalibration
from ..limits import accepts
from ..served import Served, served
from .asking import takes
from .frame_form import PREFIX, fields, problem_of_typed, query_of, typed_in, values_of
from .problem_page import problem_in
from .rendering import page
from .uploads import MOST_BYTES, form_of, to_address, values_in

router = APIRouter(include_in_schema=False)

#: Candidates that are told one by one.
_NEAREST = 30


@router.get("/{instrument}/why", dependencies=[takes("type", "as_of", prefix=PREFIX)])
def why(request: Request, asked: Annotated[Served, Depends(served)]) -> HTMLResponse:
    """Explain a choice for a frame whose values are typed."""
    return _answer(request, asked, request.query_params.multi_items(), [])


@router.post("/{instrument}/why")
@accepts(MOST_BYTES)
async def why_for_a_file(request: Request, asked: Annotated[Served, Depends(served)]) -> Response:
    """Explain a choice for a frame whose file is given; without a file its values go into the address."""
    async with form_of(request) as form:
        items = form.multi_items()
        files = [each for name, each in items if name == "file" and isinstance(each, UploadFile) and each.filename]
        if not files:
            return to_address(items)
        return await run_in_threadpool(_answer, request, asked, items, files[:1])


def _answer(request: Request, asked: Served, items: Iterable[tuple[str, Any]], files: list[UploadFile]) -> HTMLResponse:
    items = list(items)
    orm_class: type[ORMCalibration] = asked.store.orm_class
    plain = {name: value.strip() for name, value in items if isinstance(value, str)}
    cal_type, as_of, typed = plain.get("type", "").lower(), plain.get("as_of", ""), typed_in(items)
    values: Mapping[str, Any] = typed
    told = fault = None
    try:
        values = values_of(orm_class, typed)
        for given in values_in(files, orm_class, values):
            if isinstance(given.values, KoaMiddlewareError):
                raise given.values
            values = given.values
        if cal_type and values:
            told = asked.store.explain(values, cal_type, _NEAREST, as_of=as_of or None)
    except KoaMiddlewareError as error:
        fault = problem_in(error) if files else problem_of_typed(error, typed)
    return page(
        request,
        "why.html",
        200 if fault is None else fault["status"],
        instrument=asked.plugin.name,
        here="why",
        types=list(orm_class.selectors),
        cal_type=cal_type,
        as_of=as_of,
        fields=fields(orm_class, values),
        columns=orm_class.column_names(),
        fault=fault,
        megabytes=MOST_BYTES // 1_000_000,
        file=files[0].filename if files else "",
        link={"type": cal_type, "as_of": as_of, **query_of(values)} if told is not None else None,
        told=None if told is None else _told(told),
    )


def _told(told: Explanation) -> dict[str, Any]:
    """Give an explanation as plain data for a page."""
    return {
        "headline": told.headline(),
        "is_chosen": bool(told.winners),
        "facts": list(told.facts()),
        "steps": [
            {
                "number": step.number,
                "reason": step.reason,
                "counts": "" if in_numbers(step.counts) in step.reason else in_numbers(step.counts),
                "rows": list(map(_row, step.candidates)),
                "is_chosen": bool(step.winners) and step.number == told.step,
            }
            for step in told.steps
        ],
        "rows": list(map(_row, told.candidates)),
        "left": told.total - len(told.candidates),
    }


def _row(candidate: Candidate) -> dict[str, Any]:
    return {
        "filename": candidate.record.filename,
        "id": candidate.record.id,
        "quality": candidate.record.quality,
        "when": candidate.when,
        "rule": candidate.rule,
        "why": candidate.why,
        "is_chosen": candidate.is_chosen,
        "side": candidate.side,
    }
