"""Bring the local database up to date with a remote.

The protocol and its proof are in docs/remote.md. In short: the remote's bookmark stands for what a client has seen, and
the client asks for the rows of all else. Before it has a bookmark, or when that means nothing any more, it reads the
whole table in the order of the ids.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from ..database.kept_apart import Conflict
from ..database.local import LocalDatabase
from ..exceptions import warn
from .bookmark import CopyState, Superseded
from .local_copy import LocalCopy, open_copy
from .protocol import Reading, Remote, Source, State


@dataclass(frozen=True)
class SyncResult:
    """What a sync did.

    Attributes
    ----------
    added, changed, withdrawn : int
        Rows of the local database that are new, got other values, or went.
    conflicts : list of Conflict
        All remote rows that are kept apart now.
    full : bool
        Whether the whole table was read.
    """

    added: int
    changed: int
    withdrawn: int
    conflicts: list[Conflict] = field(default_factory=list)
    full: bool = False


def synchronise(local: LocalDatabase[Any], remote: Remote[Any], *, full: bool = False) -> SyncResult:
    """Bring the local table up to date with the remote one.

    Parameters
    ----------
    local : LocalDatabase
    remote : Remote
    full : bool
        Compare everything, also what the remote says has not changed.

    Raises
    ------
    RemoteUnavailableError
        When the server does not answer; what came before that is kept, and the next call goes on from there.
    SchemaMismatchError
        When the remote table is missing, or a column that the class needs.
    RemoteError
        When a right is missing.
    CacheError
        When the local database cannot be read or written.
    """
    with open_copy(local) as copy, remote.connected() as source:
        swept = False
        while True:
            try:
                swept = _follow(copy, source, full=full and not copy.sweeps_begun) or swept
                copy.settle()
            except Superseded:
                continue
            counts = copy.counts
            return SyncResult(counts.added, counts.changed, counts.withdrawn, local.conflicts(), swept)


def _follow(copy: LocalCopy, source: Source, *, full: bool) -> bool:
    """Bring the copy to one state of the remote; whether the whole table was read."""
    known = copy.load()
    if known.bookmark is not None and known.sweep_after is None and not full:
        there = source.state(known.bookmark)
        if there.continues and not there.news:
            copy.mark(bookmark=there.bookmark, synced_at=time.time())
            return False
    with source.reading(known.bookmark) as reading:
        goes_on = _goes_on(known, reading.state)
        since = known.bookmark if goes_on and known.bookmark and not full else reading.state.bookmark
        sweeps = full or not goes_on or known.sweep_after is not None
        if sweeps:
            _sweep(copy, reading, afresh=full or not goes_on)
        _catch_up(copy, reading, since)
    return sweeps


def _goes_on(known: CopyState, there: State) -> bool:
    """Whether to follow from the copy's bookmark.

    A replica may lag behind the bookmark, which then goes back with it, but not behind the beginning of a sweep that it
    is to go on with.
    """
    return there.continues and not (there.behind and known.sweep_after is not None)


def _sweep(copy: LocalCopy, reading: Reading, *, afresh: bool) -> None:
    """Read the whole table in the order of the ids, or what an interrupted reading has left of it.

    The bookmark is the one of the first reading's beginning, so what changed behind its back is caught up afterwards.
    """
    if afresh:
        _warn_of_columns(copy, reading.state)
        copy.mark(bookmark=reading.state.bookmark, sweep_after="")
        copy.sweeps_begun += 1
    after = copy.state.sweep_after or ""
    with closing(reading.sweep(after)) as batches:
        for batch in batches:
            ids = list(copy.names_of(batch))
            last = max(ids)
            with copy.transaction(sweep_after=last):
                if copy.holds_between(after, last):
                    copy.withdraw_between(after, last, ids)
                    copy.take(batch)
                else:
                    copy.take_new(batch)
            after = last
    with copy.transaction(sweep_after=None):
        copy.withdraw_between(after, None, [])


def _catch_up(copy: LocalCopy, reading: Reading, since: str) -> None:
    """Read what was deleted or written since a bookmark, deletions first."""
    with closing(reading.withdrawn(since)) as gone:
        for ids in gone:
            with copy.transaction():
                copy.withdraw(ids)
    with closing(reading.changed(since)) as batches:
        for batch in batches:
            with copy.transaction():
                copy.take(batch)
    copy.mark(bookmark=reading.state.bookmark, synced_at=time.time())


def _warn_of_columns(copy: LocalCopy, there: State) -> None:
    if there.unknown_columns:
        warn(
            f"The installed plugin does not know these columns of the remote table {copy.table_name}, so they are "
            f"ignored: {', '.join(there.unknown_columns)}.",
            UserWarning,
        )
    if there.missing_columns:
        warn(
            f"The remote table {copy.table_name} lacks the columns {', '.join(there.missing_columns)}, which the "
            "installed plugin has; they are empty, or have their default, in the rows that come from it.",
            UserWarning,
        )
