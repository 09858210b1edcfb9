"""Columns of the local table that another version of its class declares.

A sync takes them along. So of two versions of a plugin that sync one cache in turn, each brings what the other needs,
and none has to read the archive anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any

import sqlalchemy
from sqlalchemy import Column, MetaData, Table
from sqlalchemy.types import TypeEngine

from ..database.declared import Declaration, DeclaredColumn
from ..database.sqlite import quote
from ..database.upgrade import Standing
from ..instrument.orm import ORMCalibration

#: Columns of other versions of a class, in the order of their names.
Others = tuple[tuple[str, DeclaredColumn], ...]

#: In a column's `info`: it is one of them.
OTHER = "of another version"


def other_columns(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> Others:
    """Give the columns that other versions of a class declared, as the newest one does, and the local table has."""
    standing = Standing.of(connection, orm_class)
    found = standing.found.columns.get(orm_class.table().name, set())
    mine = {name.lower() for name in orm_class.column_names()}
    return others_of([Declaration.read(each.schema) for each in standing.plugins], found - mine)


def others_of(declared: Iterable[Declaration], wanted: Collection[str]) -> Others:
    """Give those of some columns, by their names in lower case, that versions of a class declare, the newest last."""
    others: dict[str, DeclaredColumn] = {}
    for each in declared:
        others |= each.columns
    return tuple(sorted((name, said) for name, said in others.items() if name.lower() in wanted and _type_of(said)))


def insertion_of(connection: sqlite3.Connection, table: Table, others: Others) -> str:
    """SQL that takes the values of a row: those of the class's columns, then those of others, or their defaults."""
    found = connection.execute("SELECT name, dflt_value FROM pragma_table_info(?)", (table.name,)).fetchall()
    defaults = {name: default for name, default in found if default is not None}
    of_others = (f"coalesce(?, {defaults[name]})" if name in defaults else "?" for name, _ in others)
    names = ", ".join(map(quote, [*table.c.keys(), *(name for name, _ in others)]))
    return f"({names}) VALUES ({', '.join([*('?' for _ in table.c), *of_others])})"


@lru_cache(maxsize=64)
def with_others(table: Table, others: Others) -> Table:
    """Give a class's table with the columns of others after its own."""
    if not others:
        return table
    whole = table.to_metadata(MetaData())
    for name, said in others:
        info = {"fold": said.fold, "nulls": said.nulls, "renamed_from": said.renamed_from, OTHER: True}
        whole.append_column(Column(name, _type_of(said), info=info))
    return whole


def _type_of(said: DeclaredColumn) -> TypeEngine[Any] | None:
    """Give the type of a column; None where it is not one of SQLAlchemy's."""
    found = getattr(sqlalchemy, said.type, None)
    return found() if isinstance(found, type) and issubclass(found, TypeEngine) else None
