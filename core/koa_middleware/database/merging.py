"""Rows of one database in another one of the same class: what is there stays, what is not is added."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..instrument.orm import ORMCalibration
from .feed import feed_paused, feed_table
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

    A judgement whose number another entry has gets the next one.

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
        of_judgement = [name for name in _columns(connection, feed) if name not in {"n", "archive_n", "archive_token"}]
        known = f"SELECT token FROM main.{quote(feed)}"  # noqa: S608
        _insert(connection, feed, of_judgement, f"op = 'flagged' AND archive_n IS NULL AND token NOT IN ({known})")
        wanted = f"id NOT IN ({withdrawn(f'main.{quote(feed)}')})" if but_withdrawn else "TRUE"
        added = _insert(connection, table, _columns(connection, table), wanted)
        for name in (conflicts_table(orm_class).name, signatures_table(orm_class).name):
            _insert(connection, name, _columns(connection, name), "TRUE")
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
    wanted = f"id NOT IN ({withdrawn(feed)})" if but_withdrawn else "TRUE"
    asked = (
        f"SELECT id, quality, who, why, at FROM {feed} WHERE op = 'flagged' AND archive_n IS NULL"  # noqa: S608
        f" AND id NOT IN (SELECT id FROM {table}) AND {wanted} ORDER BY at, n"
    )
    found = connection.execute(asked).fetchall()
    return {id_: f"its record is lost; {who} judged it {word} at {at}: {why}" for id_, word, who, why, at in found}


def _columns(connection: sqlite3.Connection, name: str) -> list[str]:
    """Give the columns that a table has in both databases."""
    here, there = (
        [row[1] for row in connection.execute(f"PRAGMA {schema}.table_info({quote(name)})").fetchall()]
        for schema in ("main", "other")
    )
    return [column for column in here if column in there]


def _insert(connection: sqlite3.Connection, name: str, columns: list[str], where: str) -> int:
    places = ", ".join(map(quote, columns))
    chosen = f"SELECT {places} FROM other.{quote(name)} WHERE {where} ORDER BY rowid"  # noqa: S608
    return connection.execute(f"INSERT OR IGNORE INTO main.{quote(name)} ({places}) {chosen}").rowcount
