"""Rows of which a column has one of many values, which go to SQLite as one parameter: a JSON list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Select, bindparam, func, literal_column, select

from ..instrument.orm import ORMCalibration

if TYPE_CHECKING:
    from .local import LocalDatabase

R = TypeVar("R", bound=ORMCalibration)


def listed() -> Select[Any]:
    """Give what stands in the place of the values, for ``column.in_(...)``."""
    return select(literal_column("value")).select_from(func.json_each(bindparam("listed", None)))


def given(values: Iterable[Any]) -> Mapping[str, str]:
    """Give the parameter with the values."""
    return {"listed": json.dumps(list(values))}


def records_by(database: LocalDatabase[R], column: str, values: Iterable[str]) -> dict[Any, list[R]]:
    """Records of which a column has one of some values, by that value."""
    asked = list(dict.fromkeys(values))
    found: dict[Any, list[R]] = {}
    for record in database.fetch(_records(database.orm_class, column), given(asked)) if asked else ():
        found.setdefault(record[column], []).append(record)
    return found


@lru_cache(maxsize=64)
def _records(orm_class: type[ORMCalibration], column: str) -> Select[Any]:
    table = orm_class.table()
    return select(table).where(table.c[column].in_(listed()))
