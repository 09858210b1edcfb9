"""The table that the older ``koa_middleware`` made in the same file, under the instrument's bare name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from .local import LocalDatabase
from .sqlite import quote


def of_older_table(local: LocalDatabase[Any]) -> str:
    """Say that there is such a table with rows, which nothing here reads; empty where there is none."""
    name = local.orm_class.instrument_name
    found = text("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = :name").bindparams(name=name)
    if not local.execute(found)[0][0]:
        return ""
    rows = local.execute(text(f"SELECT count(*) FROM {quote(name)}"))[0][0]  # noqa: S608 - the class's own name
    return f"The older koa_middleware left {rows} rows in its table {name}, which are not read." if rows else ""
