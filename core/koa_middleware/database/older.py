"""The table that the older ``koa_middleware`` made in the same file, under the instrument's bare name."""

from __future__ import annotations

import shlex
from typing import Any

from sqlalchemy import text

from ..exceptions import SchemaWarning, warn
from .local import LocalDatabase
from .sqlite import quote


def of_older_table(local: LocalDatabase[Any]) -> str:
    """Say that there is such a table with rows that are not here, and how to bring them in; empty where there is none.

    Its folder is the cache that the database stands in.
    """
    name, ours = local.orm_class.instrument_name, local.orm_class.table().name
    if not local.execute(text("SELECT 1 FROM pragma_table_info(:name) WHERE name = 'id'").bindparams(name=name)):
        return ""
    here = f"SELECT id FROM {quote(ours)}"  # noqa: S608 - the class's own name
    left = text(f"SELECT count(*) FROM {quote(name)} WHERE id NOT IN ({here})")  # noqa: S608
    rows = local.execute(left)[0][0]
    if not rows:
        return ""
    folder = shlex.quote(str(local.path.parent.parent))
    said = f"The older koa_middleware left {rows} rows in its table {name}, which are not read;"
    return f"{said} koa-cal import-legacy {folder} brings them in."


def tell_of_older_table(local: LocalDatabase[Any]) -> None:
    """Warn of such a table."""
    if said := of_older_table(local):
        warn(said, SchemaWarning)
