"""The table that says how far a local copy of an archive is."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import REAL, CheckConstraint, Column, Integer, String, Table

from ..instrument.orm import ORMCalibration


@lru_cache(maxsize=64)
def copy_table(orm_class: type[ORMCalibration]) -> Table:
    """Table of one row, or none before the first sync."""
    return Table(
        f"{orm_class.table().name}_sync",
        orm_class.metadata,
        Column("one", Integer, CheckConstraint("one = 1"), primary_key=True),
        Column("revision", Integer, nullable=False),
        Column("bookmark", String),
        Column("seen", String),
        Column("sweep_after", String),
        Column("synced_at", REAL),
        Column("settled", Integer),
        Column("noticed", String),
        Column("known_until", String),
        Column("told", String),
        Column("told_revision", Integer),
        keep_existing=True,
    )
