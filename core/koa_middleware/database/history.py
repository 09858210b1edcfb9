"""The former versions of an instrument's rows, one for each entry of the feed that replaced or withdrew one.

The triggers of the feed write them too, so that they are kept of what an older plugin or SQL of one's own changes. They
take all columns that the table has at that time, also those that the class does not know.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Column, Connection, Engine, Index, Integer, String, Table, event, select, text

from ..instrument.judged import judgements_name
from ..instrument.orm import ORMCalibration
from ..instrument.times import now_iso
from .feed import feed_table, trigger_names
from .file_names import HAS_OTHERS, has_name
from .flags import this_user
from .sqlite import driver_of, quote

#: Why a history begins: with an empty database, or with the rows that are there.
MADE_NEW, UPGRADED = "made new", "upgraded"

#: The end of the present millisecond, as `now_iso` writes times; SQLite's clock knows no less. Its beginning may have
#: been asked for already, and that answer is to stay.
_NOW = "strftime('%Y-%m-%dT%H:%M:%f999', 'now')"

#: What comes a microsecond after the time ``at``.
_NEXT = (
    "CASE WHEN substr(at, 21) < '999999' THEN substr(at, 1, 20) || printf('%06d', substr(at, 21) + 1)"
    " ELSE strftime('%Y-%m-%dT%H:%M:%S.000000', substr(at, 1, 19), '+1 second') END"
)

_COLUMNS = "SELECT name, type, dflt_value FROM pragma_table_xinfo(?)"

#: Columns of the history's own.
_OWN = ("koa_n", "koa_since", "koa_until", "koa_archive_n")


@lru_cache(maxsize=64)
def history_table(orm_class: type[ORMCalibration]) -> Table:
    """Table of the former versions: their own four columns, then those of the class, which all may be null.

    A version was the row's from `koa_since`, empty where that is before the history, until before `koa_until`.
    `koa_archive_n` is the archive's entry that ended it.
    """
    table = orm_class.table()
    name = f"{table.name}_history"
    if name in orm_class.metadata.tables:
        return orm_class.metadata.tables[name]
    made = Table(
        name,
        orm_class.metadata,
        Column("koa_n", Integer, primary_key=True),
        Column("koa_since", String, nullable=False, server_default=text("''")),
        Column("koa_until", String, nullable=False),
        Column("koa_archive_n", Integer, unique=True),
        *(Column(column.name, column.type) for column in table.c),
    )
    span = made.c.koa_until, made.c.koa_since  # by which versions are passed over without being read
    Index(None, made.c.id)
    Index(None, *span)
    for columns in main_indexes(orm_class):
        Index(f"ix_{name}_{'_'.join(columns)}", *(made.c[column] for column in columns), *span)
    Index(f"ix_{name}_filename_any_case", made.c.filename.collate("NOCASE"))
    Index(f"ix_{name}_filename_not_ascii", made.c.filename, sqlite_where=text(HAS_OTHERS))
    return made


def main_indexes(orm_class: type[ORMCalibration]) -> list[list[str]]:
    """Give the columns of the indexes by which rules look for calibrations."""
    found = [[column.name for column in index.columns] for index in orm_class.table().indexes]
    return sorted(columns for columns in found if columns[0] == "cal_type")


def triggers(orm_class: type[ORMCalibration], columns: Iterable[str]) -> dict[str, str]:
    """SQL of the triggers that write entries and former versions, by their names.

    Parameters
    ----------
    orm_class : type
    columns : iterable of str
        Names of the table's columns, in lower case.
    """
    name, feed, history = orm_class.table().name, quote(feed_table(orm_class).name), quote(_name(orm_class))
    kept = sorted(set(columns) - {*_OWN})
    now = (
        f"(SELECT coalesce(CASE WHEN at < {_NOW} THEN {_NOW} ELSE {_NEXT} END, {_NOW})"  # noqa: S608
        f" FROM (SELECT {_last(orm_class)} AS at))"
    )
    since = (
        f"coalesce((SELECT at FROM {feed} WHERE id = OLD.id AND (archive_n IS NULL OR OLD.origin <> 'LOCAL')"  # noqa: S608
        " ORDER BY at DESC LIMIT 1), '')"
    )
    until = f"(SELECT koa_until FROM {history} WHERE koa_n = (SELECT max(koa_n) FROM {history}))"  # noqa: S608
    keep = (
        f"INSERT INTO {history} (koa_since, koa_until, {', '.join(map(quote, kept))})"
        f" SELECT {since}, {now}, {', '.join(f'OLD.{quote(each)}' for each in kept)};"
    )
    entry = f"INSERT INTO {feed} (id, op, at, quality)"
    bodies = {
        "insert": f"{entry} VALUES (NEW.id, 'added', {now}, NEW.quality);",
        "update": f"{keep} {entry} SELECT OLD.id, 'withdrawn', {until}, NULL WHERE OLD.id <> NEW.id; {entry}"
        f" VALUES (NEW.id, CASE WHEN OLD.id = NEW.id THEN 'changed' ELSE 'added' END, {until}, NEW.quality);",
        "delete": f"{keep} {entry} VALUES (OLD.id, 'withdrawn', {until}, NULL);",
    }
    return {
        trigger: f"CREATE TRIGGER {quote(trigger)} AFTER {event.upper()} ON {quote(name)}"
        f" FOR EACH ROW BEGIN {bodies[event]} END"
        for event, trigger in trigger_names(orm_class).items()
    }


def is_recorded(orm_class: type[ORMCalibration], found: dict[str, str]) -> bool:
    """Whether the triggers that a database has, by their names, keep former versions."""
    names = trigger_names(orm_class)
    writes = f"INTO {quote(_name(orm_class))}"
    return found.keys() >= set(names.values()) and all(writes in found[names[each]] for each in ("update", "delete"))


def add_columns_to_history(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> None:
    """Give the former versions the columns that the rows have and they lack, with the value that old rows have."""
    there = {name.lower() for name, *_ in connection.execute(_COLUMNS, (_name(orm_class),))}
    for name, type_, default in connection.execute(_COLUMNS, (orm_class.table().name,)).fetchall():
        if name.lower() not in there:
            as_old_rows = "" if default is None else f" DEFAULT ({default})"
            connection.execute(f"ALTER TABLE {quote(_name(orm_class))} ADD COLUMN {quote(name)} {type_}{as_old_rows}")


def renew_triggers(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> None:
    """Make the triggers for the columns that the table has, where they are made for others, in a transaction."""
    columns = [name.lower() for name, *_ in connection.execute(_COLUMNS, (orm_class.table().name,))]
    there = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall())
    for name, sql in triggers(orm_class, columns).items():
        if there.get(name) != sql:
            connection.execute(f"DROP TRIGGER IF EXISTS {quote(name)}")
            connection.execute(sql)


def begin_history(connection: sqlite3.Connection, orm_class: type[ORMCalibration], why: str) -> None:
    """Note that all is kept from now on, in the caller's transaction; the first entry of a new feed is number 0."""
    feed = quote(feed_table(orm_class).name)
    last = connection.execute(f"SELECT max(n), max(CASE WHEN archive_n IS NULL THEN at END) FROM {feed}").fetchone()  # noqa: S608
    number = 0 if last[0] is None else last[0] + 1
    entry = f"INSERT INTO {feed} (n, op, at, why) VALUES (?, 'begun', ?, ?)"  # noqa: S608
    connection.execute(entry, (number, after_or_now(last[1] or ""), why))


class _Begun(NamedTuple):
    """What was there when a transaction began: the last entry of one's own, the last version, and the last time."""

    n: int | None
    version: int | None
    at: str


@contextmanager
def one_moment(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> Iterator[None]:
    """Give all entries of a transaction one time, not before that of the one before, and this user as who did it."""
    begun = _begun(connection, orm_class)
    yield
    _settle(connection, orm_class, begun)


def one_moment_in_sessions(engine: Engine, orm_class: type[ORMCalibration]) -> None:
    """Let an engine's sessions do the same with each of their transactions."""
    all_begun: WeakKeyDictionary[sqlite3.Connection, _Begun] = WeakKeyDictionary()

    @event.listens_for(engine, "before_cursor_execute")
    def before_writing(
        connection: Connection, cursor: sqlite3.Cursor, _statement: str, _parameters: Any, _context: Any, _many: bool
    ) -> None:
        is_session = connection.get_execution_options().get("sqlite_begin") == "DEFERRED"
        if is_session and cursor.connection.in_transaction and cursor.connection not in all_begun:
            all_begun[cursor.connection] = _begun(cursor.connection, orm_class)

    @event.listens_for(engine, "commit")
    def before_commit(connection: Connection) -> None:
        begun = all_begun.pop(driver_of(connection), None)
        if begun is not None:
            _settle(driver_of(connection), orm_class, begun)

    @event.listens_for(engine, "rollback")
    def before_rollback(connection: Connection) -> None:
        if not connection.invalidated:  # as Ctrl-C leaves it: it is closed already
            all_begun.pop(driver_of(connection), None)


def removed_before(connection: Connection, orm_class: type[ORMCalibration], filename: str, checksum: str) -> Any:
    """Give quality and end (UTC) of the last record of a name and content that is not here any more; else None."""
    former, here = history_table(orm_class), orm_class.table()
    asked = select(former.c.quality, former.c.koa_until).where(
        has_name(former, filename), former.c.checksum == checksum, former.c.id.not_in(select(here.c.id))
    )
    return connection.execute(asked.order_by(former.c.koa_n.desc()).limit(1)).first()


def _begun(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> _Begun:
    feed, history = quote(feed_table(orm_class).name), quote(_name(orm_class))
    newest = f"SELECT max(n) FROM {feed} WHERE archive_n IS NULL"  # noqa: S608
    asked = f"SELECT ({newest}), (SELECT max(koa_n) FROM {history}), {_last(orm_class)}"  # noqa: S608
    return _Begun(*connection.execute(asked).fetchone())


def next_time(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> str:
    """Give the time now; where the clock was set back, that after the last thing that happened here."""
    return after_or_now(connection.execute(f"SELECT {_last(orm_class)}").fetchone()[0])


def _last(orm_class: type[ORMCalibration]) -> str:
    """SQL of the time of the last change, or judgement, that was made here; empty where there was none."""
    feed, log = quote(feed_table(orm_class).name), quote(judgements_name(orm_class.table().name))
    entry = f"SELECT at FROM {feed} WHERE archive_n IS NULL ORDER BY n DESC LIMIT 1"  # noqa: S608
    said = f"SELECT at FROM {log} ORDER BY n DESC LIMIT 1"  # noqa: S608
    return f"max(coalesce(({entry}), ''), coalesce(({said}), ''))"


def _settle(connection: sqlite3.Connection, orm_class: type[ORMCalibration], begun: _Begun) -> None:
    feed, history = quote(feed_table(orm_class).name), quote(_name(orm_class))
    is_new = "n > ifnull(?, -1) AND archive_n IS NULL AND id IS NOT NULL"
    if not connection.execute(f"SELECT 1 FROM {feed} WHERE {is_new}", (begun.n,)).fetchone():  # noqa: S608
        return
    at = after_or_now(begun.at)
    connection.execute(
        f"UPDATE {feed} SET at = ?, who = ifnull(who, ?) WHERE {is_new}",  # noqa: S608
        (at, this_user(), begun.n),
    )
    connection.execute(
        f"UPDATE {history} SET koa_until = ?1, koa_since = CASE WHEN koa_since > ?2 THEN ?1 ELSE koa_since END"  # noqa: S608
        " WHERE koa_n > ifnull(?3, -1) AND koa_archive_n IS NULL",
        (at, begun.at, begun.version),
    )


def after_or_now(last: str) -> str:
    """Give the time now; where the clock was set back, the time after the last one."""
    now = now_iso()
    if last < now:
        return now
    with suppress(ValueError, OverflowError):  # what is no time counts for nothing
        return (datetime.fromisoformat(last) + timedelta(microseconds=1)).isoformat(timespec="microseconds")
    return now


def _name(orm_class: type[ORMCalibration]) -> str:
    return f"{orm_class.table().name}_history"
