"""A store's own judgements of quality, which count over the archive's, and all that was said of a calibration.

They stand in a log beside the rows, so that no sync, withdrawal or bundle touches them. The last line on an id holds;
one without a quality takes back what was said before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Connection, Integer, Select, String, Table, insert, select

from ..exceptions import CalibrationNotFoundError
from ..instrument.judged import Said, judgements_name
from ..instrument.orm import ORMCalibration
from .feed import feed_table, judgements_of
from .history import next_time
from .listed import given, listed
from .sqlite import driver_of, quote


@lru_cache(maxsize=64)
def judgements_table(orm_class: type[ORMCalibration]) -> Table:
    """Table of the log, in order of `n`; `filename` is the record's when it was judged."""
    return Table(
        judgements_name(orm_class.table().name),
        orm_class.metadata,
        Column("n", Integer, primary_key=True),
        Column("id", String, nullable=False, index=True),
        Column("filename", String, nullable=False),
        Column("quality", String),
        Column("who", String, nullable=False),
        Column("why", String, nullable=False),
        Column("at", String, nullable=False),
        keep_existing=True,
    )


@lru_cache(maxsize=64)
def select_judged(orm_class: type[ORMCalibration]) -> Select[Any]:
    """Statement that gives the log: id, and what was said."""
    log = judgements_table(orm_class).c
    return select(log.id, log.quality, log.who, log.why, log.at).order_by(log.n)


def holding(rows: Iterable[Sequence[Any]]) -> dict[str, Said]:
    """Give the judgements of a log that hold, by id."""
    last = {id_: Said(quality, who, why, at, True) for id_, quality, who, why, at in rows}
    return {id_: said for id_, said in last.items() if said.quality is not None}


def write_judgement(connection: Connection, record: ORMCalibration, quality: str | None, reason: str, who: str) -> None:
    """Keep a judgement of this store's own, or take back the one that holds, in the caller's transaction.

    Raises
    ------
    CalibrationNotFoundError
        When none holds that could be taken back.
    """
    log = judgements_table(type(record))
    if quality is None:
        newest = select(log.c.quality).where(log.c.id == record.id).order_by(log.c.n.desc()).limit(1)
        if connection.scalar(newest) is None:
            said = f"{record.filename} was not judged here, so there is nothing to take back."
            raise CalibrationNotFoundError(
                said, f"koa-cal show {record.filename} tells what was said of it.", asked={"id": record.id}
            )
    values = {"id": record.id, "filename": record.filename, "quality": quality}
    at = next_time(driver_of(connection), type(record))
    connection.execute(insert(log).values(**values, who=who, why=reason.strip(), at=at))


def move_judgements(
    connection: sqlite3.Connection, orm_class: type[ORMCalibration], ids: Iterable[tuple[str, str]]
) -> None:
    """Let judgements follow records that got another id: pairs of the old one and the new one."""
    sql = f"UPDATE {quote(judgements_table(orm_class).name)} SET id = ? WHERE id = ?"  # noqa: S608
    connection.executemany(sql, [(new, old) for old, new in ids if old != new])


def all_said_of(connection: Connection, orm_class: type[ORMCalibration], id: str) -> list[Said]:
    """All that was said of a calibration's quality, at the archive and here, oldest first."""
    log = judgements_table(orm_class).c
    flags = [Said(*flag, False) for flag in judgements_of(connection, orm_class, id)]
    own = select(log.quality, log.who, log.why, log.at).where(log.id == id).order_by(log.n)
    return sorted([*flags, *(Said(*row, True) for row in connection.execute(own))], key=lambda said: said.at)


def last_said_of(connection: Connection, orm_class: type[ORMCalibration], ids: Iterable[str]) -> dict[str, Said]:
    """What was said last of the quality of some calibrations, by id; a store's own judgement comes first."""
    feed, log = feed_table(orm_class).c, judgements_table(orm_class).c
    flags = select(feed.id, feed.quality, feed.who, feed.why, feed.at).where(
        feed.id.in_(listed()), feed.op == "flagged"
    )
    flags = flags.order_by(feed.at, feed.n)
    asked = given(ids)
    last = {row.id: Said(row.quality, row.who, row.why, row.at, False) for row in connection.execute(flags, asked)}
    return last | holding(connection.execute(select_judged(orm_class).where(log.id.in_(listed())), asked))
