"""Bring the local database up to date with the remote one.

The protocol and its proof are in docs/remote.md. In short: every remote row carries the number of the transaction
that wrote it. A client keeps the set of transactions that it has seen, and reads the rows of all others. Before it
has such a set, or when the set means nothing any more, it reads the whole table in the order of the ids.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from ..exceptions import warn
from ..instrument.orm import ORMCalibration
from .bookmark import Bookmark, Conflict
from .local_copy import LocalCopy, Superseded, open_copy, read_copy
from .postgres.table import RemoteState, RemoteTable, open_remote


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


def synchronise(local: Engine, remote: Engine, orm_class: type[ORMCalibration], *, full: bool = False) -> SyncResult:
    """Bring the local table up to date with the remote one.

    Parameters
    ----------
    local : sqlalchemy.Engine
        SQLite; holds the table.
    remote : sqlalchemy.Engine
        PostgreSQL, set up by `koa_middleware.remote_schema.initialise`.
    orm_class : type
        The instrument's class.
    full : bool
        Compare everything, also what the protocol says has not changed.

    Raises
    ------
    RemoteUnavailableError
        When the server does not answer; what came before that is kept, and the next call goes on from there.
    SchemaMismatchError
        When the remote table is missing, or a column that the class needs.
    RemoteError
        When a right is missing.
    """
    with open_copy(local, orm_class) as copy, open_remote(remote, orm_class.table()) as source:
        swept = False
        while True:
            try:
                swept = _follow(copy, source, full=full and not copy.sweeps_begun) or swept
                copy.settle()
            except Superseded:
                source.end()
                continue
            counts = copy.counts
            return SyncResult(counts.added, counts.changed, counts.withdrawn, copy.conflicts(), swept)


def last_synced(local: Engine, orm_class: type[ORMCalibration]) -> float | None:
    """End of the last complete sync, in seconds since 1970-01-01 UTC by the local clock; None before the first."""
    with read_copy(local, orm_class) as copy:
        return None if copy is None else copy.load().synced_at


def conflicts(local: Engine, orm_class: type[ORMCalibration]) -> list[Conflict]:
    """Remote rows that are kept apart now, by file name; asks no network."""
    with read_copy(local, orm_class) as copy:
        return [] if copy is None else copy.conflicts()


def conflict_row(local: Engine, orm_class: type[ORMCalibration], id: str) -> dict[str, Any] | None:
    """Column values of a remote row that is kept apart; None where no such id is."""
    return next((conflict.record for conflict in conflicts(local, orm_class) if conflict.id == id), None)


def _follow(copy: LocalCopy, source: RemoteTable, *, full: bool) -> bool:
    """Bring the copy to one state of the remote; whether the whole table was read."""
    known = copy.load()
    since = known.bookmark
    there = source.state(since)
    if not full and known.sweep_after is None and not there.news and _is_continued(copy, there, source):
        with copy.transaction(bookmark=there.bookmark, synced_at=time.time()):
            pass
        return False
    there = source.state(since, begin=True)
    source.require_columns(there.columns)
    sweeps = full or known.sweep_after is not None or not _is_continued(copy, there, source)
    if sweeps:
        _sweep(copy, source, there, afresh=full or not _is_continued(copy, there, source))
    _catch_up(copy, source, there)
    source.end()
    return sweeps


def _is_continued(copy: LocalCopy, there: RemoteState, source: RemoteTable) -> bool:
    """Whether the copy's bookmark means something: same archive, same columns, and it didn't go back in time.

    A standby may lag behind the bookmark, which then goes back with it, but not behind the beginning of a sweep that
    it is to go on with.
    """
    state = copy.state
    if state.bookmark is None or state.archive != there.archive or state.columns != _columns(source, there.columns):
        return False
    may_lag = there.standby and state.sweep_after is None
    return may_lag or there.bookmark.next_xid >= state.bookmark.next_xid


def _columns(source: RemoteTable, remote_columns: Mapping[str, str]) -> str:
    here = {column.name: str(column.type) for column in source.table.c}
    return json.dumps([here, dict(remote_columns)], sort_keys=True)


def _sweep(copy: LocalCopy, source: RemoteTable, there: RemoteState, *, afresh: bool) -> None:
    """Read the whole table in the order of the ids, or what an interrupted reading has left of it.

    The bookmark is the one of the reading's beginning, so what changed behind its back is caught up afterwards.
    """
    if afresh:
        _warn_of_unknown(source, there)
        with copy.transaction(
            archive=there.archive,
            bookmark=there.bookmark,
            columns=_columns(source, there.columns),
            sweep_after="",
        ):
            pass
        copy.sweeps_begun += 1
    after = copy.state.sweep_after or ""
    with closing(source.sweep(after, there.columns)) as batches:
        for batch in batches:
            ids = copy.ids_of(batch)
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


def _catch_up(copy: LocalCopy, source: RemoteTable, there: RemoteState) -> None:
    """Read what was deleted or written since the copy's bookmark, deletions first."""
    since = copy.state.bookmark or Bookmark(0, ())  # a copy that is followed has one
    if since != there.bookmark or there.standby:  # a standby's bookmark does not tell states apart
        with closing(source.withdrawn(since)) as gone:
            for ids in gone:
                with copy.transaction():
                    copy.withdraw(ids)
        with closing(source.changed(since, there.columns)) as batches:
            for batch in batches:
                with copy.transaction():
                    copy.take(batch)
    with copy.transaction(bookmark=there.bookmark, synced_at=time.time()):
        pass


def _warn_of_unknown(source: RemoteTable, there: RemoteState) -> None:
    unknown = source.unknown_columns(there.columns)
    if unknown:
        warn(
            f"The remote table {source.table.name} has columns that the installed plugin does not know and that are "
            f"ignored: {', '.join(unknown)}.",
            UserWarning,
        )
