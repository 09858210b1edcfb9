"""Rows of one database in another one of the same class: what is there stays, what is not is added."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..instrument.orm import ORMCalibration
from .feed import feed_paused, feed_table
from .history import history_table
from .judgements import judgements_table
from .kept_apart import conflicts_table
from .rescue import withdrawn
from .sqlite import quote, read_only_uri
from .verified_files import signatures_table


@contextmanager
def attached(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Let a connection read another database too, as ``other``.

    It could not be written: a transaction of two files needs a third one, whose name a killed process would leave.
    """
    connection.execute("ATTACH DATABASE ? AS other", (read_only_uri(path),))
    try:
        yield
    finally:
        connection.execute("DETACH DATABASE other")


def add_missing(connection: sqlite3.Connection, orm_class: type[ORMCalibration], *, but_withdrawn: bool) -> int:
    """Add what the attached database has of the instrument, in the caller's transaction, without entries of its own.

    A judgement whose number another one has gets the next one.

    Parameters
    ----------
    connection : sqlite3.Connection
    orm_class : type
    but_withdrawn : bool
        Whether records stay away that went here since.

    Returns
    -------
    int
        Number of records that were added.
    """
    table, feed = orm_class.table().name, feed_table(orm_class).name
    with feed_paused(connection, orm_class):
        _insert(connection, feed, _columns(connection, feed), "TRUE")
        of_judgement = _columns_of_judgement(connection, feed)
        known = f"SELECT token FROM main.{quote(feed)}"  # noqa: S608
        _insert(connection, feed, of_judgement, f"op = 'flagged' AND archive_n IS NULL AND token NOT IN ({known})")
        add_judgements(connection, orm_class)
        wanted = f"id NOT IN ({withdrawn(f'main.{quote(feed)}')})" if but_withdrawn else "TRUE"
        added = _insert(connection, table, _columns(connection, table), wanted)
        for name in (conflicts_table(orm_class).name, signatures_table(orm_class).name):
            _insert(connection, name, _columns(connection, name), "TRUE")
        history = history_table(orm_class).name
        is_new = f"(id, koa_until) NOT IN (SELECT id, koa_until FROM main.{quote(history)})"  # noqa: S608
        _insert(connection, history, [name for name in _columns(connection, history) if name != "koa_n"], is_new)
    return added


def add_judgements(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> None:
    """Add the store's own judgements of the attached database, in the order of their times."""
    log = quote(judgements_table(orm_class).name)
    said = "id, filename, quality, who, why, at"
    logs = " UNION ".join(f"SELECT {said} FROM {schema}.{log}" for schema in ("main", "other"))  # noqa: S608
    rows = connection.execute(f"{logs} ORDER BY at").fetchall()
    connection.execute(f"DELETE FROM main.{log}")  # noqa: S608
    connection.executemany(f"INSERT INTO main.{log} ({said}) VALUES (?, ?, ?, ?, ?, ?)", rows)  # noqa: S608


def add_for_files(
    connection: sqlite3.Connection, orm_class: type[ORMCalibration], filenames: Iterable[str]
) -> set[str]:
    """Add the records of some files that the attached database has, in the caller's transaction.

    Their judgements come with them, and their entries say that they were added now. What is here stays as it is, and
    records that went here stay away.

    Returns
    -------
    set of str
        Ids of the records that were added.
    """
    table, feed, files = orm_class.table().name, feed_table(orm_class).name, signatures_table(orm_class).name
    own, entries = quote(table), quote(feed)
    connection.execute(
        f"CREATE TEMP TABLE koa_wanted AS SELECT id, filename FROM other.{own}"  # noqa: S608
        " WHERE filename IN (SELECT value FROM json_each(?))"
        f" AND filename NOT IN (SELECT filename FROM main.{own}) AND id NOT IN (SELECT id FROM main.{own})"
        f" AND id NOT IN ({withdrawn(f'main.{entries}')})",
        (json.dumps(list(filenames)),),
    )
    is_wanted = "id IN (SELECT id FROM koa_wanted)"
    is_new = f"op = 'flagged' AND archive_n IS NULL AND token NOT IN (SELECT token FROM main.{entries})"  # noqa: S608
    _insert(connection, feed, _columns_of_judgement(connection, feed), f"{is_wanted} AND {is_new}")
    _insert(connection, table, _columns(connection, table), is_wanted)
    said = f"FROM other.{entries} AS said WHERE said.id = entry.id AND said.op = 'added' AND said.why IS NOT NULL"
    connection.execute(
        f"UPDATE main.{entries} AS entry SET (who, why) = (SELECT who, why {said})"  # noqa: S608
        f" WHERE op = 'added' AND {is_wanted} AND EXISTS (SELECT 1 {said})"
    )
    _insert(connection, files, _columns(connection, files), "filename IN (SELECT filename FROM koa_wanted)")
    add_judgements(connection, orm_class)
    added = {id_ for (id_,) in connection.execute("SELECT id FROM koa_wanted")}
    connection.execute("DROP TABLE koa_wanted")
    return added


def newest_qualities(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> dict[str, str]:
    """Give the quality that the newest entry of each record says, by the ids."""
    feed = quote(feed_table(orm_class).name)
    asked = f"SELECT id, quality FROM {feed} WHERE id IS NOT NULL AND quality IS NOT NULL ORDER BY at, n"  # noqa: S608
    return dict(connection.execute(asked).fetchall())


def set_qualities(connection: sqlite3.Connection, orm_class: type[ORMCalibration], qualities: dict[str, str]) -> None:
    """Give records a quality without new entries, in the caller's transaction."""
    table = quote(orm_class.table().name)
    with feed_paused(connection, orm_class):
        pairs = [(quality, identifier) for identifier, quality in qualities.items()]
        connection.executemany(f"UPDATE {table} SET quality = ? WHERE id = ?", pairs)  # noqa: S608


def orphaned_judgements(
    connection: sqlite3.Connection, orm_class: type[ORMCalibration], *, but_withdrawn: bool
) -> dict[str, str]:
    """Give the judgements made here of records that are lost, or of withdrawn ones too, in words, by id."""
    table, feed = quote(orm_class.table().name), quote(feed_table(orm_class).name)
    log = quote(judgements_table(orm_class).name)
    wanted = f"id NOT IN ({withdrawn(feed)})" if but_withdrawn else "TRUE"
    asked = (
        f"SELECT id, quality, who, why, at FROM {feed} WHERE op = 'flagged' AND archive_n IS NULL"  # noqa: S608
        f" AND id NOT IN (SELECT id FROM {table}) AND {wanted} ORDER BY at, n"
    )
    found = connection.execute(asked).fetchall()
    own = f"SELECT id, quality, who, why, at FROM {log} WHERE id NOT IN (SELECT id FROM {table}) AND {wanted}"  # noqa: S608
    last = {row[0]: row for row in connection.execute(f"{own} ORDER BY n")}
    found += [row for row in last.values() if row[1] is not None]
    return {id_: f"its record is lost; {who} judged it {word} at {at}: {why}" for id_, word, who, why, at in found}


def _columns(connection: sqlite3.Connection, name: str) -> list[str]:
    """Give the columns that a table has in both databases."""
    here, there = (
        [row[1] for row in connection.execute(f"PRAGMA {schema}.table_info({quote(name)})").fetchall()]
        for schema in ("main", "other")
    )
    return [column for column in here if column in there]


def _columns_of_judgement(connection: sqlite3.Connection, feed: str) -> list[str]:
    return [name for name in _columns(connection, feed) if name not in {"n", "archive_n", "archive_token"}]


def _insert(connection: sqlite3.Connection, name: str, columns: list[str], where: str) -> int:
    places = ", ".join(map(quote, columns))
    chosen = f"SELECT {places} FROM other.{quote(name)} WHERE {where} ORDER BY rowid"  # noqa: S608
    return connection.execute(f"INSERT OR IGNORE INTO main.{quote(name)} ({places}) {chosen}").rowcount
