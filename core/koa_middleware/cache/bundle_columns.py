"""Columns of a bundle's records beyond those of the class: former and newer names, and what the class does not know.

A value of an unknown column is kept: the table gets a column of that name.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from ..database.declared import Declaration
from ..database.history import add_columns_to_history, renew_triggers
from ..database.local import LocalDatabase
from ..database.sqlite import driver_of, quote
from ..instrument.declaration import fault_of_name
from ..instrument.orm import ORMCalibration

#: Names of types that a column which is added may have; of another one it holds values as they come.
_TYPES = frozenset({"VARCHAR", "TEXT", "INTEGER", "BIGINT", "SMALLINT", "FLOAT", "REAL", "NUMERIC", "BOOLEAN", "BLOB"})
#: Columns that the records of one bundle may have, and characters of a name.
MOST, LONGEST = 500, 500
_BYTES = "base64"


def other_columns(connection: Connection, orm_class: type[ORMCalibration]) -> dict[str, str]:
    """Give a table's columns that its class does not know, and the names of their types.

    Those that no class may have, which only SQL can have added, are left out: no bundle brings them.
    """
    mine = {name.lower() for name in orm_class.column_names()}
    others = {name: type_ for name, type_ in _columns(connection, orm_class).items() if name.lower() not in mine}
    return {name: type_ for name, type_ in others.items() if not fault_of_name(ORMCalibration, name)}


def other_values(database: LocalDatabase[Any], others: Sequence[str], ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give what some records have in columns that the class does not know, as JSON holds it, by id."""
    if not others:
        return {}
    table = quote(database.orm_class.table().name)
    asked = (
        f"SELECT id, {', '.join(map(quote, others))} FROM {table} "  # noqa: S608 - names, quoted
        "WHERE id IN (SELECT value FROM json_each(?))"
    )
    with database.connect() as connection:
        found = connection.exec_driver_sql(asked, (json.dumps(ids),)).all()
    return {row[0]: dict(zip(others, map(to_json, row[1:]), strict=True)) for row in found}


def named_as_here(
    orm_class: type[ORMCalibration], values: Mapping[str, Any], declared: Declaration | None
) -> dict[str, Any]:
    """Give a record's values under the names of the class, which may be an older or a newer one.

    Parameters
    ----------
    orm_class : type
    values : mapping
    declared : Declaration, optional
        What the class declares that wrote them.
    """
    table, named = orm_class.table(), dict(values)
    for column in table.c:
        if column.name in named:
            continue
        new = None if declared is None else declared.new_name_of(column.name)
        names = [*column.info.get("renamed_from", ()), *([new] if new else [])]
        there = next((name for name in names if name in named and name not in table.c), None)
        if there is not None:
            named[column.name] = named.pop(there)
    return named


def is_kept(value: Any) -> bool:
    """Whether a value of a manifest can stand in a column that the class does not know."""
    if isinstance(value, dict):
        try:
            return value.keys() == {_BYTES} and _from_json(value) is not None
        except (TypeError, ValueError, binascii.Error):
            return False
    if isinstance(value, str):
        return value.isascii() or value.encode(errors="replace").decode() == value
    return (
        value is None or isinstance(value, float | bool) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 63)
    )


def keep_others(
    connection: Connection,
    orm_class: type[ORMCalibration],
    id: str,
    values: Mapping[str, Any],
    types: Mapping[str, str],
) -> None:
    """Write what a record has in columns that the class does not know, in the caller's transaction.

    A column that is missing is added for a value. One that has no value in the bundle keeps what it has.
    """
    table = quote(orm_class.table().name)
    there = {name.lower(): name for name in _columns(connection, orm_class)}
    given = {name: _from_json(value) for name, value in values.items() if value is not None}
    missing = [name for name in given if name.lower() not in there]
    for name in missing:
        type_ = types.get(name, "").upper().partition("(")[0].strip()
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {quote(name)} {type_ if type_ in _TYPES else ''}")
    if missing:
        add_columns_to_history(driver_of(connection), orm_class)
        renew_triggers(driver_of(connection), orm_class)
    if given:
        setting = ", ".join(f"{quote(name)} = ?" for name in given)
        connection.exec_driver_sql(f"UPDATE {table} SET {setting} WHERE id = ?", (*given.values(), id))  # noqa: S608


def others_of(orm_class: type[ORMCalibration], values: Mapping[str, Any]) -> dict[str, Any]:
    """Give those of a record's values whose columns the class does not know."""
    return dict(_others(orm_class, values))


def _others(orm_class: type[ORMCalibration], values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    taken = {name.lower() for name in orm_class.column_names()}
    for name, value in values.items():
        if name.lower() not in taken:
            taken.add(name.lower())
            yield name, value


def _columns(connection: Connection, orm_class: type[ORMCalibration]) -> dict[str, str]:
    asked = "SELECT name, type FROM pragma_table_info(?)"
    found = connection.exec_driver_sql(asked, (orm_class.table().name,))
    return {str(name): str(type_) for name, type_ in found}


def to_json(value: Any) -> Any:
    """Give a column's value as a manifest holds it."""
    return {_BYTES: base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _from_json(value: Any) -> Any:
    return base64.b64decode(value[_BYTES], validate=True) if isinstance(value, dict) else value
