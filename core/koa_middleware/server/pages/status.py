"""The state of what is served: how much there is, how new it is, and what is not in order."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from ...database.versions import core_version, plugin_version
from ...instrument.orm import ORMCalibration
from ...remote.bookmark import is_partial, last_noticed
from ...remote.staleness import PARTIAL
from ..served import Served, served
from .asking import takes
from .figures import by_type, newest_entry, newest_of, on_disk
from .rendering import page

router = APIRouter(include_in_schema=False)

#: Conflicts that are listed.
_LISTED = 200

#: Characters of a value that is kept apart.
_LONGEST = 300


@router.get("/{instrument}/status", dependencies=[takes()])
def status(request: Request, asked: Annotated[Served, Depends(served)]) -> HTMLResponse:
    """Show the state."""
    store = asked.store
    types, conflicts = by_type(store), store.conflicts()
    entry = newest_entry(store)
    return page(
        request,
        "status.html",
        instrument=asked.plugin.name,
        here="status",
        types=[each._asdict() for each in types],
        number=sum(each.number for each in types),
        newest=newest_of(types),
        entry=None if entry is None else entry._asdict(),
        follows=store.settings.remote_database_url is not None,
        last_sync=store.last_sync,
        is_writable=asked.is_writable,
        disk=on_disk(store)._asdict(),
        versions=_versions(asked),
        conflicts=[
            {"filename": each.filename, "id": each.id, "reason": each.reason[:_LONGEST]} for each in conflicts[:_LISTED]
        ],
        conflicts_number=len(conflicts),
        noticed=[
            *_not_followed(asked),
            *last_noticed(store.local_db),
            *([PARTIAL] if is_partial(store.local_db) else []),
        ],
    )


def _not_followed(asked: Served) -> list[str]:
    """Say that the archive does not answer; not how, since that names machines of the archive's own."""
    if asked.follower is None or asked.follower.error is None:
        return []
    return ["The archive cannot be followed for now; what stands here is of the last sync."]


def _versions(asked: Served) -> list[dict[str, Any]]:
    """Give what serves now, then what opened the database since when."""
    orm_class: type[ORMCalibration] = asked.store.orm_class
    now = [
        {"name": "koa-middleware", "version": core_version()[0], "since": None},
        {"name": f"the plugin of {orm_class.instrument_name}", "version": plugin_version(orm_class), "since": None},
    ]
    opened = [
        {"name": each.name, "version": each.version, "since": each.since} for each in asked.store.local_db.versions()
    ]
    return [*now, *opened]
