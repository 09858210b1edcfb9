"""A class's constants as SQL, which means the same whatever the server has set."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column

from ...instrument.values import default_value, normal_form


def default_literal(column: Column[Any]) -> str | None:
    """Give a column's constant default as SQL, which the driver reads in the class's type.

    None where it has none, and where it is of a kind that Python has to fill in.
    """
    if column.default is None or not column.default.is_scalar:
        return None
    value = normal_form(column, default_value(column), "the class's default")
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return f"'{value!r}'::{'bigint' if isinstance(value, int) else 'float8'}"
    return text_literal(value) if isinstance(value, str) else None


def text_literal(value: str) -> str:
    """Quote a text such that no backslash depends on the server, and no percent sign is the driver's."""
    if "\\" not in value and "%" not in value:
        return "'" + value.replace("'", "''") + "'"
    return "E'" + value.replace("\\", "\\\\").replace("'", "''").replace("%", "\\x25") + "'"
