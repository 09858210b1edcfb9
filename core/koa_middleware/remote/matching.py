"""Which column of an archive is which column of a class, whose version may differ from the archive's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Column, Table

from ..database.declared import Declaration


def is_required(column: Column[Any]) -> bool:
    """Whether a row cannot do without a value in this column."""
    return column.primary_key or (not column.nullable and column.default is None)


def former_name(column: Column[Any], columns: Collection[str], table: Table) -> str | None:
    """Give the former name by which an archive has a class's column; None where it has the present one, or neither."""
    if column.name in columns:
        return None
    known: Sequence[str] = column.info.get("renamed_from", ())
    return next((name for name in known if name in columns and name not in table.c), None)


def names_there(table: Table, columns: Collection[str], declared: Sequence[Declaration]) -> dict[str, str]:
    """Give the names that an archive has for the columns of a class, as far as it has them.

    Parameters
    ----------
    table : sqlalchemy.Table
        The table of an instrument's class.
    columns : collection of str
        The archive's.
    declared : sequence of Declaration
        What the classes declare that set it up, oldest first; they tell new names, where this class is an older one.
    """
    names: dict[str, str] = {}
    for column in table.c:
        new = column.name
        for each in declared:
            new = each.new_name_of(new) or new
        found = column.name if column.name in columns else former_name(column, columns, table)
        if found is None and new in columns and new not in table.c:
            found = new
        if found is not None:
            names[column.name] = found
    return names
