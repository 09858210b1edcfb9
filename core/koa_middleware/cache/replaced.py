"""A new database in the place of a spoilt one, which is set aside."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from ..disk.checksums import Signature
from ..disk.writing import cache_errors, move_into_place, sync_folder
from ..exceptions import CacheError
from .named import SPOILT


def seen_now(path: Path) -> Signature | None:
    """Give the signature of a file; None where there is none."""
    return Signature.of(path) if path.exists() else None


def replaced(path: Path, new: Path, seen: Signature | None) -> Path:
    """Set a spoilt database aside and put a new one in its place; gives the path of the spoilt one.

    Both have a name until the last step. A journal that SQLite did not use goes along: it would be taken for one of the
    new file.

    Raises
    ------
    CacheError
        When the spoilt file is not what it was when it was `seen`, or cannot be replaced.
    """
    with new.open("rb") as stream:
        os.fsync(stream.fileno())
    if seen_now(path) != seen:
        said = f"The database {path} was changed while it was made anew."
        raise CacheError(said, "Try again when nobody uses it; nothing was changed.", path=path)
    aside = path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}{SPOILT}")
    with cache_errors(path):
        try:
            os.link(path, aside)
        except OSError:  # where links do not work
            path.rename(aside)
        for end in ("-journal", "-wal", "-shm"):
            beside = path.with_name(path.name + end)
            if beside.exists():
                beside.rename(aside.with_name(aside.name + end))
    move_into_place(new, path, replace=True)
    sync_folder(path.parent)
    return aside
