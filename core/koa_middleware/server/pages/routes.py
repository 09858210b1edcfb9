"""All pages, and the files that they use, put into the application."""

from __future__ import annotations

import asyncio

from fastapi import Depends, FastAPI
from starlette.staticfiles import StaticFiles

from ..auth import may
from . import coverage, home, listing, night, record, status, why
from .rendering import STATIC
from .uploads import AT_ONCE


def add_pages(app: FastAPI) -> None:
    """Add the pages; last of all routes, since a path of one part is taken for an instrument's."""
    app.state.uploads = asyncio.Semaphore(AT_ONCE)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for each in (home, record, why, night, coverage, status, listing):
        app.include_router(each.router, dependencies=[Depends(may("read"))])
