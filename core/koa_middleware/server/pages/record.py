"""One calibration: its columns, what happened to it, its file's header, and what was made with it."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from ...database.told import known_or_former
from ...disk.fits import is_fits_name
from ...exceptions import CalibrationNotFoundError, SourceFileError
from ...instrument.orm import ORMCalibration
from ...remote.http.problems import Problem, problem
from ...reports.provenance.uses import Keywords, uses_in
from ...store import CalibrationStore
from ..served import Served, served
from .asking import takes
from .figures import by_type, on_disk
from .header_cards import headers_in
from .problem_page import problem_in, problem_page
from .rendering import page

router = APIRouter(include_in_schema=False)

#: As many files of as many calibrations are looked through for what was made of one without being asked to.
_FEW_FILES, _FEW = 300, 20_000

#: One such look at a time, so that it takes no more than one core.
_LOOKING = Lock()


@router.get("/{instrument}/record", dependencies=[takes("name", "made")])
def record(request: Request, asked: Annotated[Served, Depends(served)], name: str = "") -> HTMLResponse:
    """Show a calibration, also one that is gone."""
    store, known = asked.store, asked.store.known_db
    try:
        found, is_there = known.find(name), True
    except CalibrationNotFoundError:
        try:
            found, is_there = known_or_former(known, name), False
        except CalibrationNotFoundError:
            return problem_page(request, _no_record(asked.plugin.name, name), browse=asked.plugin.name)
    judged = known.judged_here().get(found.id)
    is_here = is_there and store.calibration_in_cache(found)
    looks = request.query_params.get("made") == "yes" or _are_few(store)
    return page(
        request,
        "record.html",
        instrument=asked.plugin.name,
        here="calibrations",
        record=found.to_dict(),
        is_there=is_there,
        is_here=is_here,
        is_spoilt=is_there and not is_here and store.get_local_filepath(found).exists(),
        may_come=is_there and store.settings.calibration_url is not None,
        judged=None if judged is None else judged._asdict(),
        columns=_columns(store.orm_class, found),
        said=[each._asdict() for each in known.all_said_of(found.id)],
        events=[_event(each) for each in store.history(found.id)],
        made_with=_made_with(store, found) if is_here else [],
        made=_made(store, found) if looks else None,
        **_header(store, found, is_here),
    )


def _no_record(instrument: str, name: str) -> Problem:
    said = f"{instrument} has no calibration with the file name or id {name!r}."
    return problem(404, "not-found", "No such calibration", said, "Browse shows what there is.")


def _are_few(store: CalibrationStore[Any]) -> bool:
    return on_disk(store).files <= _FEW_FILES and sum(each.number for each in by_type(store)) <= _FEW


def _columns(orm_class: type[ORMCalibration], found: ORMCalibration) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "value": found[name],
            "unit": column.info.get("unit", ""),
            "keywords": column.info.get("keywords", ()),
        }
        for name, column in orm_class.table().c.items()
    ]


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Give what happened, with the columns in which the versions differ."""
    before, after = event["before"], event["after"]
    changed = [
        {"column": name, "before": before[name], "after": after[name]}
        for name in after
        if name in before and name != "last_updated"
    ]
    judged = after.get("quality") if event["what"] == "judged here" else None
    told = {name: event[name] for name in ("time", "who", "what", "why")}
    return {**told, "changed": changed, "judged": judged}


def _header(store: CalibrationStore[Any], found: ORMCalibration, is_here: bool) -> dict[str, Any]:
    """Give the headers of its file, or why they cannot be read."""
    if not is_here or not is_fits_name(found.filename):
        return {"units": [], "unread": None}
    try:
        return {"units": headers_in(store.get_local_filepath(found)), "unread": None}
    except SourceFileError as error:
        return {"units": [], "unread": problem_in(error)}


def _made_with(store: CalibrationStore[Any], found: ORMCalibration) -> list[str]:
    """Give the names of the calibrations that its file's header says it was made with."""
    if not is_fits_name(found.filename):
        return []
    uses = uses_in(str(store.get_local_filepath(found)), Keywords.of(store.orm_class))
    return [] if isinstance(uses, str) else list(dict.fromkeys(each.filename for each in uses if each.filename))


def _made(store: CalibrationStore[Any], found: ORMCalibration) -> dict[str, Any]:
    """Give the masters of this cache that were made of it."""
    with _LOOKING:
        return store.affected(found).to_dict()
