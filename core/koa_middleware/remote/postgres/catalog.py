"""What a PostgreSQL server has of an archive's set-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, Table, text

from .identifiers import feed_name, history_name

#: Of each column that is unique by itself, what drops that; a constraint goes with its index.
_UNIQUE = """SELECT attname, CASE WHEN conname IS NULL THEN format('DROP INDEX %I', relname)
        ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', indrelid::regclass, conname) END
    FROM pg_index JOIN pg_class AS of_index ON of_index.oid = indexrelid
        JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
        LEFT JOIN pg_constraint ON conindid = indexrelid AND conrelid = indrelid
    WHERE indrelid = {0} AND indisunique AND NOT indisprimary AND indnkeyatts = 1 AND indpred IS NULL"""


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
    former : mapping
        Columns of the table of former versions, and the names of their types; empty where there is none.
    needed, with_default : frozenset of str
        Columns that need a value, and those that have a default.
    unique : mapping
        SQL that drops the rule that a column's values stand once only, by the column.
    checks : mapping
        Whether all rows are known to pass, by the check's name.
    triggers : mapping
    functions : mapping
        Those whose names begin with the table's.
    comment : str or None
        Of the feed's table.
    """

    schema: str
    relations: frozenset[str]
    columns: Mapping[str, str]
    former: Mapping[str, str]
    needed: frozenset[str]
    with_default: frozenset[str]
    unique: Mapping[str, str]
    checks: Mapping[str, bool]
    triggers: Mapping[str, Trigger]
    functions: Mapping[str, Function]
    comment: str | None

    @classmethod
    def of(cls, connection: Connection, table: Table) -> Self:
        """Read it."""

        def read(sql: str, name: str = table.name) -> list[Any]:
            return list(connection.execute(text(sql), {"name": name}))

        schema = "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
        here = f"(SELECT oid FROM pg_class WHERE relnamespace = {schema} AND relname = :name)"
        attributes = f"pg_attribute WHERE attrelid = {here} AND attnum > 0 AND NOT attisdropped"
        types = f"SELECT attname, format_type(atttypid, NULL) FROM {attributes}"
        return cls(
            schema=connection.scalar(text("SELECT quote_ident(coalesce(current_schema(), ''))")) or "",
            relations=frozenset(row[0] for row in read(f"SELECT relname FROM pg_class WHERE relnamespace = {schema}")),
            columns=dict(read(types)),
            former=dict(read(types, history_name(table))),
            needed=frozenset(row[0] for row in read(f"SELECT attname FROM {attributes} AND attnotnull")),
            with_default=frozenset(row[0] for row in read(f"SELECT attname FROM {attributes} AND atthasdef")),
            unique=dict(read(_UNIQUE.format(here))),
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
            comment=connection.scalar(
                text(
                    "SELECT obj_description(oid, 'pg_class') FROM pg_class"
                    f" WHERE relnamespace = {schema} AND relname = :name"
                ),
                {"name": feed_name(table)},
            ),
        )
