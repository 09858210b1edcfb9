"""Bring the local database up to date with a remote.

A remote has a feed: each change has a number, given in the order of the commits. The bookmark of a copy is the entry up
to which it has followed. Before it has one, or when the feed cannot be followed from it, the copy reads all rows in
the order of their ids. Why nothing is lost stands in docs/architecture.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from ..database.kept_apart import Conflict
from ..database.local import LocalDatabase
from ..display import Report
from ..exceptions import RemoteUnavailableError, warn
from ..fetch.progress import counted
from ..kept import kept_property
from .bookmark import Superseded
from .local_copy import LocalCopy, holds_nothing, open_copy
from .protocol import ANOTHER_HISTORY, Holds, Moved, Reading, Remote, Source, State

#: Times that a reading begins again in one sync since the archive changed under it.
_MOVED_TIMES = 5


@dataclass(frozen=True, repr=False)
class SyncResult(Report):
    """What a sync did.

    Attributes
    ----------
    added, changed, withdrawn : int
        Rows of the local database that are new, got other values, or went.
    full : bool
        Whether the whole table was read.
    noticed : list of str
        Why it was read although nobody asked for that, and what is wrong with the archive's feed; sentences.
    """

    added: int
    changed: int
    withdrawn: int
    full: bool = False
    noticed: list[str] = field(default_factory=list)
    _conflicts: Callable[[], list[Conflict]] = field(default=list, repr=False, compare=False)

    @kept_property
    def conflicts(self) -> list[Conflict]:
        """All remote rows that are kept apart; read when asked for."""
        return self._conflicts()

    def _told(self) -> Mapping[str, Any]:
        return {**super()._told(), "conflicts": self.conflicts}


def synchronise(
    local: LocalDatabase[Any], remote: Remote[Any], *, full: bool = False, holds: Holds = holds_nothing
) -> SyncResult:
    """Bring the local table up to date with the remote one.

    Parameters
    ----------
    local : LocalDatabase
    remote : Remote
    full : bool
        Compare everything, also what the remote says has not changed.
    holds : callable
        Whether the file of a name here has a checksum.

    Raises
    ------
    RemoteUnavailableError
        When the server does not answer; what came before that is kept, and the next call goes on from there.
        Or when it is a standby that has not come as far as the local table.
    SchemaMismatchError
        When the remote table is missing, or a column that the class needs.
    RemoteError
        When a right is missing.
    CacheError
        When the local database cannot be read or written.
    """
    with open_copy(local, holds) as copy, remote.connected(copy.others) as source:
        return follow(local, copy, source, remote.host, full=full)


def follow(local: LocalDatabase[Any], copy: LocalCopy, source: Source, host: str, *, full: bool = False) -> SyncResult:
    """Bring a copy up to date over a connection that is open; see `synchronise`."""
    moved = 0
    while True:
        try:
            swept = _follow(copy, source, host, full=full and not copy.sweeps_begun)
        except Superseded:
            continue
        except Moved:
            moved += 1
            if moved > _MOVED_TIMES:
                raise _moving(host) from None
            continue
        counts = copy.counts
        noticed = json.loads(copy.state.noticed or "[]")
        return SyncResult(counts.added, counts.changed, counts.withdrawn, swept, noticed, local.conflicts)


def _moving(host: str) -> RemoteUnavailableError:
    return RemoteUnavailableError(
        f"The archive at {host} changed each time while it was read, as where several servers of different versions "
        "answer in turn.",
        "What came is kept; sync again later, or tell the archive's owner.",
        host=host,
    )


def _follow(copy: LocalCopy, source: Source, host: str, *, full: bool) -> bool:
    """Bring the copy to one state of the remote; whether the whole table was read."""
    known = copy.load()
    sweeps = full or known.bookmark is None or known.sweep_after is not None
    there = None if sweeps else source.state(known.bookmark, known.seen)
    if there is None or not there.continues or there.news or there.behind or lacks_history(copy, there):
        with source.reading(known.bookmark, known.seen) as reading:
            there = _unless_behind(copy, reading.state, host)
            # Whoever began again since this sync did reads what this one would: they need not undo each other's work.
            is_begun = copy.sweeps_begun > 0 and known.bookmark == there.bookmark
            goes_on = (there.continues or is_begun) and not full
            sweeps = sweeps or not goes_on
            if not goes_on:
                _begin_sweep(copy, there)
            if sweeps or lacks_history(copy, there):
                _learn_history(copy, reading, anew=full)
            if sweeps:
                _sweep(copy, reading)
            _catch_up(copy, reading)
            there = reading.state
    noticed = copy.state.noticed if sweeps else None
    settled = copy.settle()
    copy.mark(
        bookmark=there.bookmark,
        seen=there.bookmark,
        synced_at=time.time(),
        settled=settled,
        noticed=noticed,
        known_until=max(filter(None, [there.clock, copy.state.known_until]), default=None),
    )
    return sweeps


def lacks_history(copy: LocalCopy, there: State) -> bool:
    """Whether the copy may lack a part of the history up to its bookmark."""
    return there.keeps_history and (copy.state.has_history_to is None or copy.state.known_until is None)


def _unless_behind(copy: LocalCopy, there: State, host: str) -> State:
    """Tell how the remote stands to the copy, also where it is a standby that follows another history.

    Raises
    ------
    RemoteUnavailableError
        When that cannot be told yet, the standby being behind.
    """
    if there.behind is None:
        return there
    if copy.contradicts(there.behind):
        return replace(there, continues=False, noticed=(ANOTHER_HISTORY, *there.noticed))
    raise RemoteUnavailableError(
        f"The archive at {host} is a standby that is behind: its newest change has the number {there.behind.n}, and "
        "the local copy has later ones.",
        "Nothing was changed; sync again when it has caught up, or give the primary's URL.",
        host=host,
    )


def _begin_sweep(copy: LocalCopy, there: State) -> None:
    """Begin to read all rows.

    The bookmark is the one of the first reading's beginning, so what changed behind its back is caught up afterwards.
    """
    _warn_of_columns(copy, there)
    copy.begin_sweep(there.bookmark, there.noticed)


def _learn_history(copy: LocalCopy, reading: Reading, *, anew: bool) -> None:
    """Read the history, before the rows, or what the copy lacks of it."""
    after = 0 if anew else reading.goes_on_after(copy.state.has_history_to)
    copy.forget_history(after)
    with closing(reading.history(after)) as parts:
        for past in parts:
            copy.learn(past)


def _sweep(copy: LocalCopy, reading: Reading) -> None:
    """Read the whole table in the order of the ids, or what an interrupted reading has left of it."""
    after = copy.state.sweep_after or ""
    with closing(reading.sweep(after)) as batches:
        for batch in counted(batches, None, "page"):
            ids = list(copy.names_of(batch))
            last = max(ids)
            with copy.following(sweep_after=last, seen=reading.state.bookmark):
                if copy.holds_between(after, last):
                    copy.withdraw_between(after, last, ids)
                    copy.take(batch)
                else:
                    copy.take_new(batch)
            after = last
    copy.end_sweep(reading.state.bookmark)


def _catch_up(copy: LocalCopy, reading: Reading) -> None:
    """Do what the feed tells since the copy's bookmark."""
    with closing(reading.pages(copy.state.bookmark or "")) as pages:
        for page in counted(pages, None, "page"):
            marks = ["bookmark", *(["told"] if copy.state.has_history_to is not None else [])]
            moved = dict.fromkeys(marks, page.bookmark) if page.is_complete else {}
            with copy.following(seen=reading.state.bookmark, **moved):
                copy.follow(page)


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
