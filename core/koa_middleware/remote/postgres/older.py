"""What earlier versions set up on a PostgreSQL server, and how it is taken over into the feed."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, Table, text

from .catalog import Catalog
from .identifiers import feed_name, history_name, quote

#: Column with the number of the transaction that last wrote the row.
_STAMP = "sync_xid"
_TRIGGERS = ("withdraw", "withdraw_all", "history")


def _withdrawn(table: Table) -> str:
    return f"{table.name}_withdrawn"


def _history(table: Table) -> str:
    return f"{table.name}_quality_history"


def take_over_history(table: Table, there: Catalog) -> Iterator[str]:
    """SQL that writes the judgements of an older archive into its new feed, with their own times.

    A time that is not after the one before is moved to a microsecond after it.
    """
    if _history(table) not in there.relations:
        return
    yield f"LOCK TABLE {quote(table.name)}"  # so that nobody judges a record meanwhile
    step = "row_number * interval '1 microsecond'"
    yield f"""INSERT INTO {quote(feed_name(table))} (n, id, op, at, quality, who, why, token)
    SELECT row_number, id, 'flagged', max(own - {step}) OVER (ORDER BY row_number) + {step},
        quality, coalesce(flagged_by, role), reason, gen_random_uuid()
    FROM (SELECT *, row_number() OVER (ORDER BY number), flagged_at::timestamp AT TIME ZONE 'UTC' AS own
        FROM {quote(_history(table))}) AS judged"""


def drop_older(connection: Connection, table: Table, there: Catalog) -> Iterator[str]:
    """SQL that removes what the feed replaces; who could read it may read the feed."""
    name = quote(table.name)
    for what in _TRIGGERS:
        if f"koa_{what}" in there.triggers:
            yield f"DROP TRIGGER koa_{what} ON {name}"
        if f"{table.name}_{what}" in there.functions:
            yield f"DROP FUNCTION {quote(f'{table.name}_{what}')}()"
    if _withdrawn(table) in there.relations:
        for role in granted(connection, _withdrawn(table), "SELECT"):
            yield f"GRANT SELECT ON {quote(feed_name(table))}, {quote(history_name(table))} TO {role}"
    for side in (_withdrawn(table), _history(table)):
        if side in there.relations:
            yield f"DROP TABLE {quote(side)}"
    if _STAMP in there.columns:
        yield f"ALTER TABLE {name} DROP COLUMN {_STAMP}"


def granted(connection: Connection, name: str, right: str) -> list[str]:
    """Roles that were granted a right on a table, as SQL writes them."""
    roles = """SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
        FROM pg_class, aclexplode(relacl)
        WHERE pg_class.oid = to_regclass(:name) AND privilege_type = :right AND grantee <> relowner ORDER BY 1"""
    return list(connection.scalars(text(roles), {"name": quote(name), "right": right}))
