"""Rows of an archive that cannot stand in the instrument's table, and why.

A row is kept apart because another record has its id or file name, or because a value of it is none of its column.
It is never chosen, and is reachable by its id.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Column, Select, String, Table, bindparam, select

from ..instrument.orm import ORMCalibration


class Conflict(NamedTuple):
    """A row of the archive that is kept apart.

    Attributes
    ----------
    filename, id : str
        Of that row.
    reason : str
        What stands in its way.
    local_id : str or None
        The record here that has the id or the file name.
    record_json : str
        The whole row as it is stored, read only when `record` is asked for.
    """

    filename: str
    id: str
    reason: str
    local_id: str | None
    record_json: str

    @property
    def record(self) -> dict[str, Any]:
        """The whole row."""
        values: dict[str, Any] = json.loads(self.record_json)
        return values

    def to_dict(self) -> dict[str, Any]:
        """All attributes, with the row's values."""
        shown = ("id", "filename", "reason", "local_id", "record")
        return {name: getattr(self, name) for name in shown}


@lru_cache(maxsize=64)
def conflicts_table(orm_class: type[ORMCalibration]) -> Table:
    """Table of the rows that are kept apart; the row itself is JSON."""
    return Table(
        f"{orm_class.table().name}_conflicts",
        orm_class.metadata,
        Column("id", String, primary_key=True),
        Column("filename", String, nullable=False),
        Column("reason", String, nullable=False),
        Column("local_id", String, index=True),
        Column("record", String, nullable=False),
        keep_existing=True,
    )


@lru_cache(maxsize=64)
def select_conflicts(orm_class: type[ORMCalibration]) -> Select[Any]:
    """Statement that gives all conflicts, in no order."""
    columns = conflicts_table(orm_class).c
    return select(columns.filename, columns.id, columns.reason, columns.local_id, columns.record)


@lru_cache(maxsize=64)
def select_conflict(orm_class: type[ORMCalibration]) -> Select[Any]:
    """Statement that gives the conflict of an ``id``."""
    return select_conflicts(orm_class).where(conflicts_table(orm_class).c.id == bindparam("id", None))
