"""What a server serves of one instrument, and where a request finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from ..plugins import InstrumentPlugin
from ..remote.following import Follower
from ..remote.origin import Origin
from ..store import CalibrationStore
from .errors import ProblemError


@dataclass(frozen=True)
class Served:
    """One instrument.

    Attributes
    ----------
    plugin : InstrumentPlugin
    store : CalibrationStore
        Whose cache folder holds the files. Where a PostgreSQL archive is served, its database follows that one, for
        the pages.
    remote : Origin
        Whose rows and feed are served: a PostgreSQL archive, or this cache's own database.
    is_writable : bool
        Whether there is anything to publish to.
    follower : Follower or None
        What keeps the store's database up to date; None where it is what is served.
    """

    plugin: InstrumentPlugin
    store: CalibrationStore[Any]
    remote: Origin[Any]
    is_writable: bool
    follower: Follower | None = None


async def served(instrument: str, request: Request) -> Served:
    """Give what is served under an instrument's name; a dependency of the routes below it, which takes no thread.

    Raises
    ------
    ProblemError
        404.
    """
    all_served: Mapping[str, Served] = request.app.state.served
    found = all_served.get(instrument)
    if found is None:
        said = f"This server has no instrument {instrument!r}."
        raise ProblemError(404, "unknown-instrument", "No such instrument", said, f"It has {', '.join(all_served)}.")
    return found
