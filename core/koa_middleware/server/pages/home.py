"""The first page: which instruments are served, and how each stands."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from ..served import Served
from .asking import takes
from .figures import by_type, newest_of
from .rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/", dependencies=[takes()])
def home(request: Request) -> HTMLResponse:
    """Show the instruments."""
    instruments = [_line(each) for each in request.app.state.served.values()]
    return page(request, "home.html", instrument=None, here="home", instruments=instruments)


def _line(each: Served) -> dict[str, Any]:
    types = by_type(each.store)
    return {
        "name": each.plugin.name,
        "number": sum(one.number for one in types),
        "types": len(types),
        "newest": newest_of(types),
        "is_led": each.follower is not None,
        "follows": each.store.settings.remote_database_url is not None,
        "last_sync": each.store.last_sync,
        "conflicts": len(each.store.conflicts()),
    }
