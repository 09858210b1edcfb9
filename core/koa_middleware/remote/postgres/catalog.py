"""What stands on a PostgreSQL server of what an archive's owner sets up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, Table, text


class Trigger(NamedTuple):
    """A trigger on the instrument's table.

    Attributes
    ----------
    enabled : str
        ``A`` where it always fires, also for rows that come by replication.
    comment : str or None
    """

    enabled: str
    comment: str | None


class Function(NamedTuple):
    """A function of the schema.

    Attributes
    ----------
    body : str
    settings : tuple of str
        Such as ``search_path=public, pg_temp``.
    is_owners : bool
        Whether it runs with its owner's rights.
    """

    body: str
    settings: tuple[str, ...]
    is_owners: bool


@dataclass(frozen=True)
class Catalog:
    """What stands in the connection's current schema.

    Attributes
    ----------
    schema : str
        As SQL writes it.
    relations : frozenset of str
        Names of tables and indexes.
    columns : mapping
        The instrument's table's columns, and the names of their types.
    checks : mapping
        Whether all rows are known to pass, by the check's name.
    triggers : mapping
    functions : mapping
        Those whose names begin with the table's.
    """

    schema: str
    relations: frozenset[str]
    columns: Mapping[str, str]
    checks: Mapping[str, bool]
    triggers: Mapping[str, Trigger]
    functions: Mapping[str, Function]

    @classmethod
    def of(cls, connection: Connection, table: Table) -> Self:
        """Read it."""

        def read(sql: str) -> list[Any]:
            return list(connection.execute(text(sql), {"name": table.name}))

        schema = "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
        here = f"(SELECT oid FROM pg_class WHERE relnamespace = {schema} AND relname = :name)"
        return cls(
            schema=connection.scalar(text("SELECT quote_ident(coalesce(current_schema(), ''))")) or "",
            relations=frozenset(row[0] for row in read(f"SELECT relname FROM pg_class WHERE relnamespace = {schema}")),
            columns=dict(
                read(
                    "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
                    f" WHERE attrelid = {here} AND attnum > 0 AND NOT attisdropped"
                )
            ),
            checks=dict(read(f"SELECT conname, convalidated FROM pg_constraint WHERE conrelid = {here}")),
            triggers={
                name: Trigger(enabled, comment)
                for name, enabled, comment in read(
                    "SELECT tgname, tgenabled, obj_description(oid, 'pg_trigger') FROM pg_trigger"
                    f" WHERE tgrelid = {here} AND NOT tgisinternal"
                )
            },
            functions={
                name: Function(body, tuple(settings), is_owners)
                for name, body, settings, is_owners in read(
                    "SELECT proname, prosrc, coalesce(proconfig, '{}'), prosecdef FROM pg_proc"
                    f" WHERE pronamespace = {schema} AND pronargs = 0 AND starts_with(proname, :name)"
                )
            },
        )
