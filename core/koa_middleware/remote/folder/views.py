"""States of a cache folder's database, as those see them who follow it.

Each is one transaction that reads. While it is open nobody commits, so it is as short as a page.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import Column, Table

from ...database.copy_state import copy_table
from ...database.declared import Declaration
from ...database.feed import feed_table
from ...database.history import history_table, is_recorded
from ...database.local import LocalDatabase
from ...database.row_forms import form_check, read_as_bytes
from ...database.sqlite import quote
from ...database.upgrade import Standing
from ...exceptions import RemoteUnavailableError
from ...instrument.orm import ORMCalibration
from ...instrument.times import now_iso
from ...kept import kept_property
from .. import viewed
from ..matching import names_there
from ..origin import Told
from ..others import Others, other_columns
from ..protocol import VERSION, Batch, Entry, Mark
from ..standing import Facts
from .former import Ending, Version, paired

_NO_FEED = (
    "The archive's cache folder was made by an older version and cannot be written, so each sync reads all of it."
)

#: The first entry of a local feed has the number 0, which is that of no entry elsewhere.
_SHIFT = 1
_ENTRY = f"n + {_SHIFT}, id, op, at, quality, who, why, token"
_LAST = (1 << 63) - 1 - _SHIFT
_GIVEN = "IN (SELECT value FROM json_each(?))"


class FolderViews:
    """A cache folder's database that is being read, over one connection.

    Parameters
    ----------
    local : LocalDatabase
    connection : sqlite3.Connection
        Of that database, without transactions of its own.
    table : sqlalchemy.Table
        Of the folder's class, with the columns of other versions that are wanted.
    """

    def __init__(self, local: LocalDatabase[Any], connection: sqlite3.Connection, table: Table) -> None:
        self.table = table
        self.connection = connection
        self.host = str(local.path)
        orm_class: type[ORMCalibration] = local.orm_class
        self.orm_class = orm_class
        self.feed, self.history = (quote(declare(orm_class).name) for declare in (feed_table, history_table))
        self.is_in_form = form_check(orm_class)

    def others(self) -> Others:
        """Give the columns of other versions of the class that the folder has."""
        with self._told_as_an_archive():
            return other_columns(self.connection, self.orm_class)

    def facts(self, asked: Collection[int] = ()) -> Facts:
        """Ask what the folder says of itself, and for the tokens of some entries."""
        with self.view(asked) as view:
            return view.facts

    @contextmanager
    def view(self, asked: Collection[int] = ()) -> Iterator[FolderView]:
        """Give a view; its facts have the tokens of the entries that are asked for."""
        now = now_iso()  # before the view, which has all that was committed by then
        self.fetch("BEGIN")
        try:
            yield FolderView(self, self._facts(asked, now))
        finally:
            with suppress(sqlite3.Error):  # the first one says what happened
                self.connection.execute("ROLLBACK")

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a statement; text that is none comes as bytes."""
        with self._told_as_an_archive():
            return read_as_bytes(self.connection, sql, parameters)

    @contextmanager
    def _told_as_an_archive(self) -> Iterator[None]:
        """Let errors tell those who follow of their archive, not of a disk of theirs."""
        try:
            yield
        except sqlite3.Error as error:
            raise unreadable(self.host, error) from error

    def tokens(self, numbers: Collection[int]) -> dict[int, str]:
        """Give the tokens of entries, as far as they are there, by number."""
        asked = json.dumps([n - _SHIFT for n in numbers])
        return dict(self.fetch(f"SELECT n + {_SHIFT}, token FROM {self.feed} WHERE n {_GIVEN}", (asked,)))

    def _facts(self, asked: Collection[int], now: str) -> Facts:
        with self._told_as_an_archive():
            standing = Standing.of(self.connection, self.orm_class)
        stored = dict(self.fetch("SELECT name, type FROM pragma_table_info(?)", (self.table.name,)))
        declared = [Declaration.read(each.schema) for each in standing.plugins]
        has_feed = {
            feed_table(self.orm_class).name,
            history_table(self.orm_class).name,
        } <= standing.found.columns.keys()
        is_whole = has_feed and is_recorded(self.orm_class, standing.found.triggers)
        last = f"SELECT n + {_SHIFT}, token FROM {self.feed} ORDER BY n DESC LIMIT 1"
        newest = self.fetch(last) if has_feed else []
        return Facts(
            newest=Mark(*newest[0]) if newest else None,
            tokens=self.tokens(asked) if has_feed else {},
            standby=False,
            cluster="a cache folder",
            made=_digest("" if standing.newest is None else standing.newest.schema),
            resweep=self._resweep() if has_feed else (0, None),
            trouble=() if is_whole else (_NO_FEED,),
            clock=self._clock(now, standing.found.columns),
            keeps_history=has_feed,
            stored=stored,
            names=names_there(self.table, stored, declared),
        )

    def _resweep(self) -> tuple[int, str | None]:
        """Give the last entry after which changes may lack their entries: a sync read all, or the history began."""
        asked = (
            f"SELECT n + {_SHIFT}, why FROM {self.feed} WHERE op IN ('resweep', 'begun') AND archive_n IS NULL"
            " ORDER BY n DESC LIMIT 1"
        )
        return next(iter(self.fetch(asked)), (0, None))

    def _clock(self, now: str, columns: Mapping[str, Collection[str]]) -> str | None:
        """Give the time until which all is here that happened: now, or what the folder itself knows of its archive."""
        name = copy_table(self.orm_class).name
        asked = f"SELECT known_until FROM {quote(name)} WHERE bookmark IS NOT NULL"
        followed = self.fetch(asked) if "known_until" in columns.get(name, ()) else []
        if not followed:
            return now
        return min(now, followed[0][0]) if followed[0][0] else None


class FolderView:
    """One state of a cache folder's database.

    Parameters
    ----------
    views : FolderViews
        Whose connection has a transaction open.
    facts : Facts
    """

    def __init__(self, views: FolderViews, facts: Facts) -> None:
        self.facts = facts
        self._views = views
        self._columns = views.table.c.keys()
        self._selected = ", ".join(map(self._value, views.table.c))

    def tokens(self, numbers: Collection[int]) -> dict[int, str]:
        """Give the tokens of entries, as far as they are there, by number."""
        return self._views.tokens(numbers)

    def changes(self, after: int, limit: int) -> Told:
        """Give the first entries after a number, with the rows of their records."""
        told = self.history(after, _LAST, limit)
        return replace(told, batch=self._rows_of({entry.id for entry in told.entries if entry.id is not None}))

    def history(self, after: int, until: int, limit: int) -> Told:
        """Give the first entries after a number and up to another."""
        if self.facts.newest is None:
            return Told([], Batch([]))
        sql = f"SELECT {_ENTRY} FROM {self._views.feed} WHERE n > ? AND n <= ? ORDER BY n LIMIT ?"
        bounds = (after - _SHIFT, min(until, _LAST) - _SHIFT, limit + 1)
        entries = [Entry(*row) for row in self._views.fetch(sql, bounds)]
        # The entries of one transaction have one time.
        is_complete = len(entries) <= limit or entries[limit].at != entries[limit - 1].at
        return Told(entries[:limit], self._former(entries[:limit]), is_complete=is_complete)

    def lookup(self, ids: Sequence[str]) -> Told:
        """Give the rows of some ids, and all entries on them."""
        if self.facts.newest is None:
            return Told([], Batch([]), self._rows_of(ids))
        sql = f"SELECT {_ENTRY} FROM {self._views.feed} WHERE id {_GIVEN} ORDER BY n"
        entries = [Entry(*row) for row in self._views.fetch(sql, (json.dumps(list(ids)),))]
        return Told(entries, self._former(entries), self._rows_of(ids))

    def rows(self, after: str, limit: int) -> Batch:
        """Give the first rows whose id comes after a given one, in the order of their ids' code points."""
        sql = f"SELECT {self._selected} FROM {self._name} WHERE id > ? ORDER BY id LIMIT ?"
        return self._batch_of(self._views.fetch(sql, (after, limit)))

    def sweep(self, after: str) -> Generator[Batch]:
        """All rows whose id comes after a given one, in that order."""
        sql = f"SELECT id, {self._selected} FROM {self._name} WHERE id > ? ORDER BY id LIMIT ?"
        while found := self._views.fetch(sql, (after, viewed.BATCH)):
            after = found[-1][0]
            yield self._batch_of([row[1:] for row in found])

    def _rows_of(self, ids: Collection[str]) -> Batch:
        sql = f"SELECT {self._selected} FROM {self._name} WHERE id {_GIVEN}"
        return self._batch_of(self._views.fetch(sql, (json.dumps(list(ids)),)))

    def _former(self, entries: Sequence[Entry]) -> Batch:
        """Give the versions that some entries ended."""
        numbers = {entry.n for entry in entries}
        ids = json.dumps(sorted({entry.id for entry in entries if entry.id is not None}))
        feed, history = self._views.feed, self._views.history
        spans = f"koa_since, koa_until, {self._selected_former}"
        number = f"(SELECT n + {_SHIFT} FROM {feed} WHERE archive_n = koa_archive_n)"
        of_archive = f"koa_archive_n IN (SELECT archive_n FROM {feed} WHERE n {_GIVEN})"
        asked = f"SELECT {number}, {spans} FROM {history} WHERE {of_archive}"
        found = self._views.fetch(asked, (json.dumps([n - _SHIFT for n in numbers]),))
        here = f"FROM {history} WHERE koa_archive_n IS NULL AND id {_GIVEN} ORDER BY koa_n"
        versions = self._views.fetch(f"SELECT id, koa_n, koa_until {here}", (ids,))
        if versions:
            ended = self._endings(versions, ids)
            own = self._views.fetch(f"SELECT koa_n, {spans} {here}", (ids,))
            found += [(ended[row[0]], *row[1:]) for row in own if ended.get(row[0]) in numbers]
        return self._batch_of(sorted(found, key=lambda row: row[0]), VERSION)

    def _endings(self, versions: Sequence[tuple[Any, ...]], ids: str) -> dict[int, int]:
        asked = (
            f"SELECT id, n + {_SHIFT}, at, op, archive_n IS NULL FROM {self._views.feed} WHERE id {_GIVEN} ORDER BY n"
        )
        return paired(map(Version._make, versions), map(Ending._make, self._views.fetch(asked, (ids,))))

    @property
    def _name(self) -> str:
        return quote(self._views.table.name)

    @kept_property
    def _selected_former(self) -> str:
        sql = "SELECT name FROM pragma_table_info(?)"
        there = {name for (name,) in self._views.fetch(sql, (history_table(self._views.orm_class).name,))}
        return ", ".join(self._value(column, there) for column in self._views.table.c)

    def _value(self, column: Column[Any], there: Collection[str] | None = None) -> str:
        """SQL of a column's value, in the table or in another one with some of its columns."""
        name = self.facts.names.get(column.name)
        if column.name == "origin":
            return "'REMOTE'"
        return "NULL" if name is None or (there is not None and name not in there) else quote(name)

    def _batch_of(self, rows: Sequence[tuple[Any, ...]], before: Sequence[str] = ()) -> Batch:
        """Part rows, with some values before the columns', into those that are in form and those that are odd."""
        names, first = [*before, *self._columns], len(before)
        last = first + len(self._views.orm_class.table().c)
        batch = Batch([])
        for row in rows:
            if self._views.is_in_form(row[first:last]):
                batch.rows.append(row)
            else:
                batch.odd.append({name: _as_text(value) for name, value in zip(names, row, strict=True)})
        return batch


def unreadable(host: str, reason: object) -> RemoteUnavailableError:
    """Give the error of a folder whose database cannot be read."""
    return RemoteUnavailableError(
        f"The archive is a cache folder, and its database cannot be read: {str(reason).rstrip('.')}.",
        "Ask its owner to look at it with koa-cal verify; nothing was changed.",
        host=host,
    )


def _digest(declared: str) -> str:
    """Text that changes when the class that leads declares something else: an upgrade makes no entry for each row."""
    return hashlib.sha256(declared.encode()).hexdigest()[:32]


def _as_text(value: Any) -> Any:
    """Give bytes that are no text such that they are refused for what they are."""
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value
