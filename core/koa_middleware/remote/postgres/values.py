"""How the rows of a PostgreSQL table come: those in form as they are to be stored, the others as they stand there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Table

from ...instrument.door import agree_in_postgres
from ...instrument.orm import DERIVED
from ...instrument.values import form_of
from ..protocol import Batch, Row
from .identifiers import quote
from .literals import default_literal

_TIMES = ("datetime_obs", "mjd_start")

#: How the names of PostgreSQL's text types begin.
TEXT_TYPES = ("text", "character", "name", '"char"')

#: Encodings whose bytes are in the order of the code points; in SQL_ASCII stands UTF-8.
_IN_ORDER = ("UTF8", "SQL_ASCII", "LATIN1")


def selection(table: Table, columns: Mapping[str, str], names: Mapping[str, str]) -> str:
    """SQL that selects a row: its values in the order of the class's columns, then whether all are in form.

    Parameters
    ----------
    table : sqlalchemy.Table
        The table of an instrument's class.
    columns : mapping
        The remote table's columns and the names of their types.
    names : mapping
        What the class's columns are called there; see `koa_middleware.remote.matching`.
    """
    selected = [_selected(column, names.get(column.name, ""), columns) for column in table.c]
    times = [form_of(table.c[name]).in_postgres(quote(name), columns.get(name, "")) for name in _TIMES]
    agree = [agree_in_postgres(*(each.value for each in times))] if all(each.is_typed for each in times) else []
    whole = [f"{quote(names[name])} IS NOT NULL" if name in names else "FALSE" for name in table.info[DERIVED]]
    in_form = " AND ".join([*(condition for _, condition in selected), *agree, *whole])
    return f"{', '.join(value for value, _ in selected)}, ({in_form}) IS NOT FALSE"


def batch_of(rows: Iterable[Sequence[Any]], names: Sequence[str]) -> Batch:
    """Part rows of a `selection` into those that are in form and those that are odd."""
    in_form: list[Row] = []
    odd: list[dict[str, Any]] = []
    for row in rows:
        if row[-1]:
            in_form.append(tuple(row[:-1]))
        else:
            odd.append(dict(zip(names, row, strict=False)))
    return Batch(in_form, odd)


def order_of_ids(remote_type: str, encoding: str) -> tuple[str, str]:
    """SQL by which rows come in the order of their ids' code points, as SQLite orders them, and that of a parameter.

    Parameters
    ----------
    remote_type : str
        Of the column `id`.
    encoding : str
        The server's parameter ``server_encoding``.
    """
    if remote_type == "uuid":
        return "id", "%s::uuid"
    if encoding not in _IN_ORDER:
        return "convert_to(id::text, 'UTF8')", "convert_to(%s, 'UTF8')"
    return ("id" if remote_type.startswith(TEXT_TYPES) else "id::text") + ' COLLATE "C"', "%s"


def _selected(column: Column[Any], name: str, columns: Mapping[str, str]) -> tuple[str, str]:
    """SQL of a column's value, and SQL that is false where Python has to look at it."""
    remote_type = columns.get(name)
    default = default_literal(column)
    if column.name == "origin":
        return "'REMOTE'", "TRUE"
    nothing_stays = column.nullable and column.default is None
    if remote_type is None:
        return default or "NULL", "TRUE" if default or nothing_stays else "FALSE"
    # A row is known by its id as text, whatever its type.
    value, in_form, is_typed = form_of(column).in_postgres(quote(name), "text" if column.primary_key else remote_type)
    if nothing_stays:
        return value, in_form
    if default and is_typed:
        return f"COALESCE({value}, {default})", in_form
    return value, f"{value} IS NOT NULL AND {in_form}"
