"""The feed: what happened to an instrument's rows here, in order, judgements of quality too.

Triggers write it, so that it also tells of changes by an older plugin and by SQL of one's own. Each entry has a number
that grows in the order of the commits, and a random token, by which two histories are told apart.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    exists,
    func,
    insert,
    select,
    text,
    update,
)

from ..exceptions import CalibrationNotFoundError
from ..instrument.orm import ORMCalibration
from ..instrument.times import now_iso
from .listed import given, listed
from .sqlite import quote

#: Why a row was added that is made of a file's header and name, where its record was lost.
MADE_OF_FILE = "made of the file alone"


@lru_cache(maxsize=64)
def feed_table(orm_class: type[ORMCalibration]) -> Table:
    """Table of the entries.

    `op` is ``added``, ``changed``, ``flagged``, ``withdrawn``; or, without an id, ``resweep``, or ``begun`` where the
    history begins. `quality` is the row's after the change, `at` is UTC and grows. An entry of the archive has its
    number and token there in the last two columns.
    """
    name = f"{orm_class.table().name}_feed"
    return Table(
        name,
        orm_class.metadata,
        Column("n", Integer, primary_key=True),
        Column("id", String),
        Column("op", String, nullable=False),
        Column("at", String, nullable=False),
        Column("quality", String),
        Column("who", String),
        Column("why", String),
        Column("token", String, nullable=False, server_default=text("(lower(hex(randomblob(16))))")),
        Column("archive_n", Integer, unique=True),
        Column("archive_token", String),
        Index(f"ix_{name}_id_at", "id", "at", "archive_n"),
        Index(f"ix_{name}_begun", "at", sqlite_where=text("op = 'begun'")),
        keep_existing=True,
    )


def trigger_names(orm_class: type[ORMCalibration]) -> dict[str, str]:
    """Names of the triggers that write the entries, by their events."""
    return {event: f"{orm_class.table().name}_feed_{event}" for event in ("insert", "update", "delete")}


@contextmanager
def feed_paused(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> Iterator[None]:
    """Change rows without entries, within the caller's transaction; its rollback also ends the pause.

    The triggers go and come back. To leave them there with a condition that is false takes twice the time of a bulk
    insert, because SQLite keeps a journal of each statement that may fire one.
    """
    asked = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name IN (?, ?, ?)"
    found = connection.execute(asked, tuple(trigger_names(orm_class).values())).fetchall()
    for name, _ in found:
        connection.execute(f"DROP TRIGGER {quote(name)}")
    yield
    for _, sql in found:
        connection.execute(sql)


class Judgement(NamedTuple):
    """Who said what of a calibration's quality, why, and when (UTC)."""

    quality: str
    who: str | None
    why: str | None
    at: str


def judgements_of(connection: Connection, orm_class: type[ORMCalibration], id: str) -> list[Judgement]:
    """All judgements of a calibration, oldest first; one that was made here and sent to the archive counts once."""
    feed = feed_table(orm_class)
    sent = feed.alias()
    said = feed.c.quality, feed.c.who, feed.c.why
    is_sent = exists().where(
        feed.c.archive_n.is_(None),
        sent.c.archive_n.is_not(None),
        sent.c.op == "flagged",
        *(sent.c[column.key].is_not_distinct_from(column) for column in (feed.c.id, *said)),
    )
    of_it = select(*said, feed.c.at).where(feed.c.id == id, feed.c.op == "flagged", ~is_sent).order_by(feed.c.n)
    return [Judgement(*row) for row in connection.execute(of_it)]


def judgements_made_here(
    connection: Connection, orm_class: type[ORMCalibration], ids: Iterable[str]
) -> dict[str, list[Judgement]]:
    """Judgements of some calibrations that did not come from the archive, oldest first, by their ids."""
    feed = feed_table(orm_class).c
    of_them = select(feed.id, feed.quality, feed.who, feed.why, feed.at).where(
        feed.id.in_(listed()), feed.op == "flagged", feed.archive_n.is_(None)
    )
    found: dict[str, list[Judgement]] = {}
    for id_, *said in connection.execute(of_them.order_by(feed.n), given(ids)):
        found.setdefault(id_, []).append(Judgement(*said))
    return found


def unsent(made: Iterable[Judgement], there: Iterable[tuple[str, str | None, str | None]]) -> list[Judgement]:
    """Judgements made here that are not among the archive's: quality, who and why of each, in their order."""
    rest = deque(made)
    for said in there:
        if rest and rest[0][:3] == tuple(said):
            rest.popleft()
    return list(rest)


def write_flag(
    connection: Connection, orm_class: type[ORMCalibration], id: str, quality: str, reason: str, who: str
) -> None:
    """Set a record's quality and keep the judgement, in the caller's transaction.

    Raises
    ------
    CalibrationNotFoundError
        When there is no such record any more.
    """
    table, feed = orm_class.table(), feed_table(orm_class)
    changed = connection.execute(update(table).where(table.c.id == id).values(quality=quality, last_updated=now_iso()))
    if not changed.rowcount:
        raise CalibrationNotFoundError(
            f"The calibration {id!r} was removed meanwhile.", "koa-cal list shows what there is.", asked={"id": id}
        )
    newest = select(func.max(feed.c.n)).scalar_subquery()
    judgement = {"op": "flagged", "who": who, "why": reason.strip()}
    connection.execute(update(feed).where(feed.c.n == newest).values(judgement))


def note_flag(
    connection: Connection, orm_class: type[ORMCalibration], id: str, quality: str, reason: str, who: str
) -> None:
    """Keep a judgement of a row whose quality is set already."""
    connection.execute(
        insert(feed_table(orm_class)).values(
            id=id, op="flagged", at=now_iso(), quality=quality, who=who, why=reason.strip()
        )
    )


def has_older_flags(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> bool:
    """Whether there are judgements in the table in which older versions keep them."""
    return connection.execute(f"SELECT 1 FROM {quote(flags_name(orm_class))} LIMIT 1").fetchone() is not None  # noqa: S608


def note_withdrawal(connection: Connection, orm_class: type[ORMCalibration], who: str, why: str) -> None:
    """Say who removed the row that was removed last, and why, in the transaction that removed it."""
    feed = feed_table(orm_class)
    newest = select(func.max(feed.c.n)).scalar_subquery()
    connection.execute(update(feed).where(feed.c.n == newest).values(who=who, why=why))


def note_made_of_files(connection: Connection, orm_class: type[ORMCalibration], ids: Iterable[str]) -> None:
    """Say of rows that were added that they were made of files alone, in the transaction that added them."""
    feed = feed_table(orm_class)
    of_them = update(feed).where(feed.c.op == "added", feed.c.id.in_(listed()))
    connection.execute(of_them.values(why=MADE_OF_FILE), given(ids))


def made_of_files(connection: Connection, orm_class: type[ORMCalibration]) -> tuple[int, str]:
    """Give the number of records that were made of files alone and not judged since, and the time of the last (UTC)."""
    table, feed = orm_class.table(), feed_table(orm_class)
    judged = feed.alias()
    is_judged = exists().where(judged.c.id == feed.c.id, judged.c.op == "flagged")
    of_it = (feed.c.op == "added", feed.c.why == MADE_OF_FILE, feed.c.id.in_(select(table.c.id)), ~is_judged)
    number, last = connection.execute(select(func.count(), func.max(feed.c.at)).where(*of_it)).one()
    return number, last or ""


def take_over_flags(connection: Connection, orm_class: type[ORMCalibration]) -> None:
    """Move judgements from the table in which older versions keep them; the table stays, as these make it again."""
    older, entries = quote(flags_name(orm_class)), quote(feed_table(orm_class).name)
    connection.exec_driver_sql(
        f"INSERT INTO {entries} (op, id, quality, who, why, at)"  # noqa: S608
        f" SELECT 'flagged', calibration_id, quality, flagged_by, reason, flagged_at FROM {older} ORDER BY rowid"
    )
    connection.exec_driver_sql(f"DELETE FROM {older}")  # noqa: S608


def flags_name(orm_class: type[ORMCalibration]) -> str:
    """Name of the table in which older versions kept judgements."""
    return f"{orm_class.instrument_name}_flags"
