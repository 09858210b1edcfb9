"""Whether the server is up, and whether it can do its work."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from ..exceptions import KoaMiddlewareError
from .errors import ProblemError, problems
from .served import Served

#: Seconds until a database that says nothing does not answer.
_PATIENCE = 5.0

router = APIRouter(tags=["operations"])


@router.get("/health", summary="Whether the process is up")
async def health() -> dict[str, str]:
    """Answer, whatever the state of databases and disks."""
    return {"status": "up"}


@router.get("/ready", summary="Whether requests can be answered", responses=problems(503))
async def ready(request: Request) -> dict[str, str]:
    """Ask each instrument's database, and look at the cache folder; a problem lists the reasons against it."""
    all_served: Mapping[str, Served] = request.app.state.served
    found = await asyncio.gather(*map(_faults_in_time, all_served.values()))
    faults = {name: said for name, said in zip(all_served, found, strict=True) if said}
    if faults:
        said = f"Not ready: {', '.join(faults)}."
        raise ProblemError(503, "not-ready", "Not ready", said, "See the reasons.", reasons=faults)
    return {"status": "ready"}


async def _faults_in_time(served: Served) -> list[str]:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await run_in_threadpool(_faults, served)
    except TimeoutError:
        return [f"{served.remote.name} did not answer within {_PATIENCE:.0f} s."]


def _faults(served: Served) -> list[str]:
    faults = []
    files = served.store.cache_dir / "calibrations"
    needed = os.R_OK | os.X_OK | (os.W_OK if served.is_writable else 0)
    if not os.access(files, needed):
        faults.append(f"The files' folder cannot be {'written' if served.is_writable else 'read'}.")
    try:
        with served.remote.connected() as source:
            source.state(None, None)
    except KoaMiddlewareError as error:
        faults.append(error.message)
    return faults
