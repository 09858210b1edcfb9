"""Rows of an archive that cannot stand in the instrument's table, and why.

A row is kept apart because a LOCAL record has its id or file name, or because a value of it is none of its column.
It is never chosen, and is reachable by its id.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Select, String, Table, bindparam, or_, select

from ..instrument.orm import ORMCalibration


@dataclass(frozen=True)
class Conflict:
    """A row of the archive that is kept apart.

    Attributes
    ----------
    id, filename : str
        Of that row.
    reason : str
        What stands in its way.
    local_id : str or None
        The LOCAL record that has the id or the file name.
    record : dict
        The whole row.
    """

    id: str
    filename: str
    reason: str
    local_id: str | None
    record: dict[str, Any]


@lru_cache(maxsize=64)
def conflicts_table(orm_class: type[ORMCalibration]) -> Table:
    """Table of the rows that are kept apart; the row itself is JSON."""
    return Table(
        f"{orm_class.table().name}_conflicts",
        orm_class.metadata,
        Column("id", String, primary_key=True),
        Column("filename", String, nullable=False),
        Column("reason", String, nullable=False),
        Column("local_id", String),
        Column("record", String, nullable=False),
        keep_existing=True,
    )


@lru_cache(maxsize=64)
def select_conflicts(orm_class: type[ORMCalibration]) -> Select[Any]:
    """Statement that gives the conflicts by file name: all of them, or the one of the parameter ``id``."""
    columns = conflicts_table(orm_class).c
    asked: Any = bindparam("id", None)
    return select(*columns).where(or_(asked.is_(None), columns.id == asked)).order_by(columns.filename, columns.id)


def conflict_of(row: tuple[str, str, str, str | None, str]) -> Conflict:
    """Give a row of the table as a conflict."""
    identifier, filename, reason, local_id, record = row
    return Conflict(identifier, filename, reason, local_id, json.loads(record))
