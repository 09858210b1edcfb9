"""What killed processes left in a cache, and in an archive that is a folder; its names tell.

It goes by itself, at any registration, sync or pruning that is a day later.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ..disk.checksums import is_of
from ..disk.writing import LEFTOVER_AFTER_S, cache_errors, left_beside
from ..fetch.addresses import Address
from ..fetch.partial import abandoned
from .folder import Cache
from .named import named_elsewhere
from .placing import Holdings


def leftovers(cache: Cache, *, of_dead: bool = False, quick: bool = False) -> list[Path]:
    """Give what was left a day ago; also, where asked, what dead processes have left since.

    Parameters
    ----------
    cache : Cache
    of_dead : bool
    quick : bool
        Whether ``calibrations/``, which may be large, is passed over where nothing is ever left there.
    """
    partial = abandoned(cache.partial, 0.0 if of_dead else LEFTOVER_AFTER_S)
    return sorted({*partial, *cache.left_behind(of_dead=of_dead, quick=quick)})


def remove(path: Path) -> None:
    """Remove a leftover, a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep(cache: Cache) -> None:
    """Remove what was left a day ago; another user's leftovers wait for that user."""
    for path in leftovers(cache, quick=True):
        with suppress(OSError):
            remove(path)


def left_in_archive(calibration_url: str | None) -> list[Path]:
    """Give what killed uploads left, where the archive is a folder that can be read."""
    folder = None if calibration_url is None else Address(calibration_url).folder
    if folder is not None:
        with suppress(OSError):
            return sorted(left_beside(folder, of_dead=True))
    return []


def files_without_record(holdings: Holdings[Any]) -> list[str]:
    """Give the names of files that no table of the cache's databases names.

    Raises
    ------
    CacheError
        When the folder, or another database of the cache, cannot be read.
    """
    with cache_errors(holdings.cache.calibrations, "read"), holdings.database.connect() as connection:
        here = {path.name for path in holdings.cache.calibrations.iterdir() if not path.name.startswith(".")}
        unnamed = here.difference(connection.execute(select(holdings.orm_class.table().c.filename)).scalars())
        return sorted(unnamed - named_elsewhere(connection, holdings) if unnamed else unnamed)


def in_quarantine(cache: Cache) -> list[Path]:
    """Give what was moved aside.

    Raises
    ------
    CacheError
        When the folder cannot be read.
    """
    with cache_errors(cache.quarantined, "read"):
        return sorted(cache.quarantined.iterdir()) if cache.quarantined.is_dir() else []


def last_in_quarantine(cache: Cache, filename: str, checksum: str | None) -> Path | None:
    """Give the last file of a name, and of a content where that is known, that was moved aside; None without one.

    Raises
    ------
    CacheError
        When the folder cannot be read.
    """
    found = [path for path in in_quarantine(cache) if path.stem == filename and path.is_file()]
    last_first = sorted(found, key=lambda path: path.stat().st_ctime, reverse=True)
    return next((path for path in last_first if not checksum or is_of(path, checksum)), None)
