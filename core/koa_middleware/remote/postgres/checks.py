"""Words and versions that a PostgreSQL archive lets stand in its columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, String, Table, cast, select, text

from ...instrument.values import form_of
from ..protocol import UnfitRow
from .catalog import Catalog
from .identifiers import quote

#: Columns in which the server lets only words and versions in form stand.
CHECKED = ("origin", "cal_version", "quality")


def check_statements(connection: Connection, table: Table, there: Catalog) -> tuple[list[str], list[UnfitRow]]:
    """SQL that lets the server refuse what is not in form, nulls excepted; and the rows that stand against it."""
    statements, unfit = [], []
    name = quote(table.name)
    unchecked = there.columns.keys() - _text_columns(connection, table)  # an older archive's may have other types
    for column in (table.c[name] for name in CHECKED if name not in unchecked):
        constraint = f"koa_{column.name}"
        if there.checks.get(constraint):
            continue
        if constraint not in there.checks:
            statements.append(f"ALTER TABLE {name} ADD CONSTRAINT {constraint} CHECK ({_allowed(column)}) NOT VALID")
        found = list(_unfit_rows(connection, column)) if column.name in there.columns else []
        unfit += found
        if not found:
            statements.append(f"ALTER TABLE {name} VALIDATE CONSTRAINT {constraint}")
    return statements, unfit


def unfit_values(connection: Connection, table: Table, id: str) -> list[tuple[Column[Any], str]]:
    """Values of a row from before the checks that stand against them, with their columns."""
    unfit = []
    found = _text_columns(connection, table)
    for column in (table.c[name] for name in CHECKED if name in found):
        breaking = select(cast(column, String)).where(table.c.id == id, text(f"NOT ({_allowed(column)})"))
        unfit += [(column, value) for value in connection.scalars(breaking)]
    return unfit


def _text_columns(connection: Connection, table: Table) -> set[str]:
    text_columns = """SELECT attname FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
        WHERE attrelid = to_regclass(:name) AND attnum > 0 AND typcategory = 'S'"""
    return set(connection.scalars(text(text_columns), {"name": quote(table.name)}))


def _unfit_rows(connection: Connection, column: Column[Any]) -> Iterator[UnfitRow]:
    name = quote(column.name)
    found = connection.exec_driver_sql(
        f"SELECT id::text, filename::text, {name}::text FROM {quote(column.table.name)}"
        f" WHERE NOT ({_allowed(column)}) ORDER BY filename, id"
    )
    return (UnfitRow(row_id, filename, column.name, value) for row_id, filename, value in found)


def _allowed(column: Column[Any]) -> str:
    """SQL that is true of the values which the server lets stand in a checked column."""
    return form_of(column).allowed(f'({quote(column.name)}::text COLLATE "C")')
