"""Rows of an archive that cannot stand in the instrument's table, and why.

A row is kept apart because another record has its id or file name, or because its column cannot have a value of it.
It is never chosen, and is reachable by its id.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Column, Select, String, Table, bindparam, func, select

from ..exceptions import HeaderError
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
        """The whole row.

        Raises
        ------
        HeaderError
            When the database keeps something else there.
        """
        try:
            return row_of(self.id, self.record_json)
        except ValueError as error:
            raise HeaderError(
                f"The row {self.id} of the archive, which is kept apart, cannot be read here: {error}.",
                "Let koa-cal sync --full bring it again.",
                column="record",
                keywords=(),
                source=f"the row {self.id}",
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """All attributes, with the row's values; as text where they are spoilt, so that the others can be told."""
        try:
            record: dict[str, Any] | str = self.record
        except HeaderError:
            record = self.record_json
        return {**{name: getattr(self, name) for name in ("id", "filename", "reason", "local_id")}, "record": record}


def row_of(id: str, record_json: str) -> dict[str, Any]:
    """Read a row that is kept apart.

    Raises
    ------
    ValueError
        When it is not the row of that id.
    """
    try:
        values: Any = json.loads(record_json)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(values, dict) or values.get("id") != id or "filename" not in values:
        raise ValueError("it is no row of this id")
    return values


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
    """Statement that gives all conflicts of syncs, in no order."""
    columns = conflicts_table(orm_class).c
    shown = columns.filename, columns.id, columns.reason, columns.local_id
    are_texts = [func.typeof(column).in_(("text", "null")) for column in shown]
    return select(*shown, columns.record).where(columns.id.is_not(None), *are_texts)


@lru_cache(maxsize=64)
def select_conflict(orm_class: type[ORMCalibration]) -> Select[Any]:
    """Statement that gives the conflict of an ``id``."""
    return select_conflicts(orm_class).where(conflicts_table(orm_class).c.id == bindparam("id", None))
