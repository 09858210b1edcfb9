"""A night: what each of its frames gets of each type, what is missing and why, and what is not on this disk."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import UploadFile

from ...choosing.batch import records_in
from ...choosing.bracket import Bracket
from ...choosing.night import FrameSets, reason_of
from ...choosing.wording import offset
from ...exceptions import ConfigurationError, HeaderError, KoaMiddlewareError
from ...instrument.orm import ORMCalibration
from ..limits import accepts
from ..served import Served, served
from .asking import takes
from .compared import given_columns
from .frame_form import PREFIX, query_of, typed_in, values_of
from .problem_page import problem_in
from .rendering import page
from .search import TIME
from .uploads import MOST_BYTES, MOST_FILES, Given, form_of, to_address, values_in

router = APIRouter(include_in_schema=False)


@router.get("/{instrument}/night", dependencies=[takes("as_of", "frames", prefix=PREFIX)])
def night(request: Request, asked: Annotated[Served, Depends(served)]) -> HTMLResponse:
    """Tell what frames get whose values are typed."""
    return _answer(request, asked, request.query_params.multi_items(), [])


@router.post("/{instrument}/night")
@accepts(MOST_BYTES)
async def night_of_files(request: Request, asked: Annotated[Served, Depends(served)]) -> Response:
    """Tell what frames get whose files are given; without files their values go into the address."""
    async with form_of(request) as form:
        items = form.multi_items()
        files = [each for name, each in items if name == "file" and isinstance(each, UploadFile) and each.filename]
        if not files:
            return to_address(items)
        return await run_in_threadpool(_answer, request, asked, items, files)


def _answer(request: Request, asked: Served, items: Iterable[tuple[str, Any]], files: list[UploadFile]) -> HTMLResponse:
    items = list(items)
    orm_class: type[ORMCalibration] = asked.store.orm_class
    plain = {name: value for name, value in items if isinstance(value, str)}
    typed, as_of, lines = typed_in(items), plain.get("as_of", "").strip(), plain.get("frames", "")
    told = fault = None
    unread: list[dict[str, str]] = []
    try:
        common = values_of(orm_class, typed)
        written = _typed(orm_class, lines, common)
        frames = [*written, *values_in(files, orm_class, common)]
        unread = [
            {"name": each.name, "said": each.values.message, "hint": each.values.hint}
            for each in frames
            if isinstance(each.values, KoaMiddlewareError)
        ]
        read = [(each.name, each.values) for each in frames if not isinstance(each.values, KoaMiddlewareError)]
        if read:
            found = asked.store.select_sets([dict(values) for _, values in read], as_of=as_of or None)
            told = _told(found, read, as_of, len(written))
    except KoaMiddlewareError as error:
        fault = problem_in(error)
    return page(
        request,
        "night.html",
        200 if fault is None else fault["status"],
        instrument=asked.plugin.name,
        here="night",
        most=MOST_FILES,
        lines=lines,
        as_of=as_of,
        example=f"{TIME}=2026-02-12T10:00:00",
        given=[{"column": name, "value": typed.get(name, "")} for name in given_columns(orm_class)],
        prefix=PREFIX,
        megabytes=MOST_BYTES // 1_000_000,
        fault=fault,
        unread=unread,
        told=told,
    )


def _typed(orm_class: type[ORMCalibration], lines: str, common: Mapping[str, Any]) -> list[Given]:
    """Give the frames that were typed, one a line: ``COLUMN=VALUE COLUMN=VALUE``.

    Raises
    ------
    ConfigurationError, HeaderError
        When a line is none.
    """
    written = [line.strip() for line in lines.splitlines() if line.strip()]
    if len(written) > MOST_FILES:
        said = f"{len(written)} frames were typed, and a page tells of {MOST_FILES}."
        raise ConfigurationError(said, "Ask for the others on another page.", setting="frames", variable=None)
    found = []
    for number, line in enumerate(written, 1):
        values = {**common, **values_of(orm_class, _pairs(line, number))}
        found.append(Given(str(values.get("filename") or values.get(TIME) or f"frame {number}"), values))
    return found


def _pairs(line: str, number: int) -> dict[str, str]:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise _no_frame(number, line, "has a quotation mark without its other one") from error
    if fault := next((word for word in words if "=" not in word), ""):
        raise _no_frame(number, line, f"has {fault!r}, which is not COLUMN=VALUE")
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _no_frame(number: int, line: str, fault: str) -> ConfigurationError:
    said = f"Line {number} of the frames, {line!r}, {fault}."
    hint = f"Write each frame on a line of its own, such as {TIME}=2026-02-12T10:00:00."
    return ConfigurationError(said, hint, setting="frames", variable=None)


def _told(found: FrameSets, read: Sequence[tuple[str, Mapping[str, Any]]], as_of: str, written: int) -> dict[str, Any]:
    """Give what frames get as plain data: a cell for each frame and type, and what they get in words, each once.

    The first frames, so many as were written, were typed: what they do not say is no fault of theirs, but not asked.
    """
    types = list(dict.fromkeys(cal_type for one in found for cal_type in one))
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for number, ((name, values), one, of_types) in enumerate(zip(read, found, found.configurations, strict=True)):
        asked = {"as_of": as_of, **query_of(values)}
        cells: list[dict[str, Any] | None] = []
        for cal_type in types:
            if cal_type not in one:
                cells.append(None)
                continue
            cell = _cell(one[cal_type], found.not_here)
            if number < written:
                cell |= _unasked(one[cal_type], values)
            cell["query"] = {"type": cal_type, **asked}
            cells.append(cell)
            compared = ", ".join(str(value) for value in of_types[cal_type].values() if value is not None)
            key = cal_type, f"{compared}{cell['said']}{[each['filename'] for each in cell['records']]}"
            group = groups.setdefault(key, {"type": cal_type, "compared": compared, "cell": cell, "frames": []})
            group["frames"].append(name)
        rows.append({"name": name, "time": values.get(TIME), "cells": cells})
    asked_for = [cell for row in rows for cell in row["cells"] if cell is not None and not cell["lacks"]]
    return {
        "types": types,
        "rows": rows,
        "incomplete": [(row["name"], lacks) for row in rows if (lacks := _lacking(row["cells"]))],
        "groups": sorted(groups.values(), key=lambda group: (group["type"], group["compared"])),
        "needed": len(asked_for),
        "lacking": sum(cell["is_missing"] for cell in asked_for),
        "not_here": sorted(found.not_here),
        "left_out": {name: list(columns) for name, columns in found.left_out.items()},
    }


def _unasked(answer: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a cell has besides where the line of its frame lacks a column that the type compares."""
    if not isinstance(answer, HeaderError) or not answer.column or values.get(answer.column) is not None:
        return {}
    return {"lacks": answer.column, "is_missing": False, "said": f"no {answer.column} on its line"}


def _lacking(cells: Iterable[Mapping[str, Any] | None]) -> list[str]:
    return list(dict.fromkeys(cell["lacks"] for cell in cells if cell is not None and cell["lacks"]))


def _cell(answer: Any, not_here: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a frame gets of a type: the records and how far they are, or why there is none."""
    if isinstance(answer, KoaMiddlewareError):
        return {"records": [], "said": reason_of(answer), "lacks_side": "", "lacks": "", "is_missing": True}
    records = [
        {
            "filename": each.filename,
            "id": each.id,
            "offset": offset(each.choice.delta_days),
            "is_here": each.filename not in not_here,
            "fallback": (f"step {each.choice.step}" if each.choice.step else "fallback") if each.is_fallback else "",
        }
        for each in records_in(answer)
    ]
    lacks = (
        "" if not isinstance(answer, Bracket) or len(records) == 2 else "before" if answer.before is None else "after"
    )
    return {"records": records, "said": "", "lacks_side": lacks, "lacks": "", "is_missing": False}
