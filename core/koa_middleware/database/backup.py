"""Copies that stay beside a database before it is changed by more than additions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..disk.writing import cache_errors, hidden_name, sync_folder
from .driver import GuardedConnection

#: Copies that are kept.
KEPT = 2


@contextmanager
def copies_kept(path: Path) -> Iterator[Callable[[], None]]:
    """Give a function that leaves a copy of a database beside it; where the work fails, the copy goes again.

    The copy is what was committed last. Older ones than the last `KEPT` are removed once the work is done.

    Raises
    ------
    CacheError
        When a copy cannot be written.
    """
    made: list[Path] = []

    def keep() -> None:
        made.append(_copy(path))

    try:
        yield keep
    except BaseException:
        for copy in made:
            copy.unlink(missing_ok=True)
        raise
    if made:
        for copy in copies_of(path)[:-KEPT]:
            copy.unlink(missing_ok=True)


def copies_of(path: Path) -> list[Path]:
    """Give the copies of a database, oldest first."""
    pattern = re.compile(re.escape(path.name) + r"\.\d{8}T\d{6}\.\d{6}Z\.bak")
    return sorted(each for each in path.parent.iterdir() if pattern.fullmatch(each.name))


def make_as_shared(new: Path, path: Path) -> None:
    """Make an empty file with a database's permissions; SQLite would give it others."""
    new.touch(mode=0o600, exist_ok=False)
    new.chmod(path.stat().st_mode & 0o666)


def _copy(path: Path) -> Path:
    final = path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.bak")
    temporary = hidden_name(path.parent)
    with cache_errors(path.parent, "copied"):
        try:
            make_as_shared(temporary, path)
            with closing(GuardedConnection(str(path))) as source, closing(GuardedConnection(str(temporary))) as sink:
                sink.execute("PRAGMA journal_mode = MEMORY")  # nothing is left beside it when this process is killed
                source.backup(sink)
            temporary.replace(final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    return final
