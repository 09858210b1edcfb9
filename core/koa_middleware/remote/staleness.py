"""How old the local copy is, and what to do about it before a selection."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..database.local import LocalDatabase
from ..disk.writing import cannot_be_written
from ..exceptions import CacheError, RemoteUnavailableError, StaleWarning, warn
from ..instrument.times import elapsed
from .bookmark import last_synced

#: What is said of a copy that a first sync has not completed.
PARTIAL = (
    "The first sync has not come to its end, so some of the archive's calibrations are not here yet; "
    "koa-cal sync goes on with it."
)
#: Time after which a sync that was due and failed is tried again.
_RETRY = timedelta(minutes=5)
#: When a look at the last sync's age is due again, s of the monotonic clock, by database, remote and limit.
_NEXT_LOOK: dict[tuple[Path, str, timedelta], float] = {}


def last_sync(local: LocalDatabase[Any]) -> str | None:
    """End of the last complete sync, UTC by the local clock; None before the first."""
    synced = last_synced(local)
    if synced is None:
        return None
    return datetime.fromtimestamp(synced, UTC).replace(tzinfo=None).isoformat("T", "seconds")


def freshen(local: LocalDatabase[Any], url: str, limit: timedelta, sync: Callable[[], object]) -> None:
    """Sync where the last sync is older than a limit; where the archive is down, warn and go on.

    When the next look is due is known to all stores of this process, so that a pipeline which makes one for each
    step asks once, and waits once for a server that is down.

    Parameters
    ----------
    local : LocalDatabase
    url : str
        Of the remote.
    limit : datetime.timedelta
    sync : callable
        Brings the local database up to date.
    """
    key = (local.path, url, limit)
    if time.monotonic() < _NEXT_LOOK.get(key, 0.0):
        return
    age = _age(local)
    if age is None or age >= limit:
        try:
            sync()
            age = timedelta(0)
        except RemoteUnavailableError as error:
            _NEXT_LOOK[key] = time.monotonic() + min(_RETRY, limit).total_seconds()
            used = "only LOCAL records are used" if age is None else f"the copy of {elapsed(age)} ago is used"
            warn(f"The archive does not answer, so {used}. {error.message}", StaleWarning)
            return
        except CacheError as error:
            if not cannot_be_written(error):
                raise
            _NEXT_LOOK[key] = time.monotonic() + min(_RETRY, limit).total_seconds()
            warn(f"No sync can be stored, so what is here is used. {error.message}", StaleWarning)
            return
    _NEXT_LOOK[key] = time.monotonic() + (limit - age).total_seconds()


def advice(local: LocalDatabase[Any]) -> str:
    """Say what a sync could bring where nothing fits."""
    age = _age(local)
    last = "nothing was synced yet" if age is None else f"the last sync was {elapsed(age)} ago"
    return f"koa-cal sync brings what the archive has; {last}."


def state_in_words(local: LocalDatabase[Any]) -> str:
    """Say of which sync an answer from a copy is that was synced."""
    age = _age(local)
    ago = "" if age is None else f", {elapsed(age)} ago"
    return f"as of the last sync, {str(last_sync(local))[:16].replace('T', ' ')} UTC{ago}"


def _age(local: LocalDatabase[Any]) -> timedelta | None:
    """Time since the last complete sync; None before the first, and where the clock has gone back since."""
    synced = last_synced(local)
    passed = -1.0 if synced is None else time.time() - synced
    return None if passed < 0 else timedelta(seconds=passed)
