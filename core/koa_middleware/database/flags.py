"""Judgements of quality: who flagged which calibration, when and why. Each one is kept."""

from __future__ import annotations

import getpass
import os
from functools import lru_cache

from sqlalchemy import Column, Connection, String, Table, insert, select, update

from ..exceptions import ConfigurationError
from ..instrument.orm import ORMCalibration
from ..instrument.times import now_iso
from ..instrument.values import QUALITIES


@lru_cache(maxsize=64)
def flags_table(orm_class: type[ORMCalibration]) -> Table:
    """Table of an instrument's judgements: calibration id, quality, reason, who, when (UTC)."""
    return Table(
        f"{orm_class.instrument_name}_flags",
        orm_class.metadata,
        Column("calibration_id", String, nullable=False, index=True),
        Column("quality", String, nullable=False),
        Column("reason", String, nullable=False),
        Column("flagged_by", String, nullable=False),
        Column("flagged_at", String, nullable=False),
        keep_existing=True,
    )


def this_user() -> str:
    """Name of whoever runs this process; its number where the system knows no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def check_judgement(quality: str, reason: str) -> str:
    """Give the quality's word.

    Raises
    ------
    ConfigurationError
        When it is not one, or there is no reason, or one that cannot be kept.
    """
    word = quality.strip().upper() if isinstance(quality, str) else ""
    if word not in QUALITIES:
        raise ConfigurationError(
            f"{quality!r} is not a quality.", f"Use one of {', '.join(QUALITIES)}.", setting="quality"
        )
    if not isinstance(reason, str) or not reason.strip():
        raise ConfigurationError(
            "The flag has no reason.", "Say why, for those who will look for the calibration.", setting="reason"
        )
    try:
        reason.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"The reason {reason!r} holds characters that are not text.", "Write it again.", setting="reason"
        ) from None
    return word


def write_flag(
    connection: Connection, orm_class: type[ORMCalibration], id: str, quality: str, reason: str, who: str
) -> None:
    """Set a record's quality and keep the judgement."""
    table = orm_class.table()
    connection.execute(update(table).where(table.c.id == id).values(quality=quality, last_updated=now_iso()))
    note_flag(connection, orm_class, id, quality, reason, who)


def note_flag(
    connection: Connection, orm_class: type[ORMCalibration], id: str, quality: str, reason: str, who: str
) -> None:
    """Keep a judgement."""
    connection.execute(
        insert(flags_table(orm_class)).values(
            calibration_id=id, quality=quality, reason=reason.strip(), flagged_by=who, flagged_at=now_iso()
        )
    )


def flags_of(connection: Connection, orm_class: type[ORMCalibration], id: str) -> list[dict[str, str]]:
    """All judgements of a calibration, oldest first."""
    flags = flags_table(orm_class)
    found = connection.execute(select(flags).where(flags.c.calibration_id == id).order_by(flags.c.flagged_at))
    return [dict(row) for row in found.mappings()]
