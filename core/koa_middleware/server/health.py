"""Whether the server is up, and whether it can do its work."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from ..exceptions import KoaMiddlewareError
from .errors import ProblemError, outward, problems
from .served import Served

#: Seconds until a database that says nothing does not answer.
_PATIENCE = 5.0

#: Seconds for which an answer holds, so that those who ask cost the database little.
_FRESH = 1.0

router = APIRouter(tags=["operations"])


class Readiness:
    """What keeps a server from its work, found out at most once a second.

    Parameters
    ----------
    served : iterable of Served
    """

    def __init__(self, served: Iterable[Served]) -> None:
        self._served = tuple(served)
        self._lock = asyncio.Lock()
        self._at = float("-inf")
        self._faults: dict[str, list[str]] = {}

    async def faults(self) -> dict[str, list[str]]:
        """Give the reasons by instrument; empty where there are none."""
        async with self._lock:
            if time.monotonic() - self._at > _FRESH:
                found = await asyncio.gather(*map(_faults_in_time, self._served))
                named = zip(self._served, found, strict=True)
                self._faults = {each.plugin.name: reasons for each, reasons in named if reasons}
                self._at = time.monotonic()
            return self._faults


@router.get("/health", summary="Whether the process is up")
async def health() -> dict[str, str]:
    """Answer, whatever the state of databases and disks."""
    return {"status": "up"}


@router.get("/ready", summary="Whether requests can be answered", responses=problems(503))
async def ready(request: Request) -> dict[str, str]:
    """Ask each instrument's database, and look at the cache folder; a problem lists the reasons against it."""
    readiness: Readiness = request.app.state.readiness
    if faults := await readiness.faults():
        said = f"This server is not ready for {' and '.join(faults)}."
        raise ProblemError(503, "not-ready", "Not ready", said, "The reasons say what to mend.", reasons=faults)
    return {"status": "ready"}


async def _faults_in_time(served: Served) -> list[str]:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await run_in_threadpool(_faults, served)
    except TimeoutError:
        return [f"The archive did not answer within {_PATIENCE:.0f} s."]


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
        faults.append(outward(error).message)
    return faults
