"""Remote values as the local database stores them; most of the work is the server's."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Float, Integer, Numeric, String

from ...instrument.times import parse_iso
from ..protocol import Row
from .schema import default_literal, quote

#: How the names of PostgreSQL's text types begin.
TEXT_TYPES = ("text", "character", "name", '"char"')


def is_required(column: Column[Any]) -> bool:
    """Whether a row cannot do without a value in this column."""
    return column.primary_key or (not column.nullable and column.default is None)


def normalised(column: Column[Any], remote_type: str | None) -> str:
    """SQL that gives a remote column as the local database stores it."""
    default = default_literal(column)
    if column.name == "origin":
        return "'REMOTE'"
    if remote_type is None:
        return default or "NULL"
    name = quote(column.name)
    if column.name in {"id", "filename"}:
        return f"{name}::text"
    is_text = remote_type.startswith(TEXT_TYPES)
    value = f"NULLIF(btrim({name}), '')" if is_text else name
    if isinstance(column.type, String):
        value = _as_text(column, name, remote_type)
    elif isinstance(column.type, Boolean):
        value = value if remote_type == "boolean" else f"{value}::boolean" if is_text else f"({name} <> 0)"
    elif isinstance(column.type, Integer):
        is_whole = remote_type in {"integer", "bigint", "smallint"}
        value = value if is_whole else f"NULLIF({value}::numeric, 'NaN')::bigint"
    elif isinstance(column.type, (Float, Numeric)):
        value = f"NULLIF({value}::float8, 'NaN')"
    return value if default is None else f"COALESCE({value}, {default})"


def _as_text(column: Column[Any], name: str, remote_type: str) -> str:
    if remote_type.startswith("timestamp"):
        moment = f"{name} AT TIME ZONE 'UTC'" if remote_type.endswith("with time zone") else name
        digits = "US" if column.name == "last_updated" else "MS"
        return f"""to_char({moment}, 'YYYY-MM-DD"T"HH24:MI:SS.{digits}')"""
    value = f"rtrim({name}::text)"
    if column.info.get("fold"):
        value = f"lower({value})"
    return f"NULLIF({value}, '')"


def is_plain_time(text: Any) -> bool:
    """Whether a time is as it is stored, by its shape."""
    return text is None or (len(text) == 23 and text[10] == "T")


def with_plain_time(row: Row, position: int) -> Row:
    """Give a row with its time as it is stored; one that cannot be read stays as it is."""
    try:
        return (*row[:position], parse_iso(row[position]).text, *row[position + 1 :])
    except ValueError:
        return row
