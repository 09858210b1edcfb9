"""What an archive's owner sets up on a PostgreSQL server, once; needs PostgreSQL 14 or newer.

Beside the instrument's table, with its indexes, stand two more: ``<table>_withdrawn`` holds the ids of deleted rows,
and ``<table>_quality_history`` who changed a record's quality and why. Triggers stamp every new, changed and deleted
row with the number of the transaction that did it (`SYNC_COLUMN`) and with the server's clock (`last_updated`). How
clients use these stamps is written in docs/remote.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, DefaultClause, Dialect, Engine, MetaData, String, Table, cast, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from ...instrument.values import form_of
from ..protocol import UnfitRow
from .literals import default_literal

#: Column with the number of the transaction that last wrote the row.
SYNC_COLUMN = "sync_xid"

#: Columns in which the server lets only words and versions in form stand.
CHECKED = ("origin", "cal_version", "quality")

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
_XID = "pg_current_xact_id()::text::bigint"

#: How the server's clock is written into `last_updated`, by the column's type.
_CLOCK = {
    "timestamp with time zone": "clock_timestamp()",
    "timestamp without time zone": "clock_timestamp() AT TIME ZONE 'UTC'",
}
_CLOCK_AS_TEXT = """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')"""


def quote(name: str) -> str:
    """Give an identifier as PostgreSQL and SQLite read it."""
    return '"' + name.replace('"', '""') + '"'


def withdrawn_name(table: Table) -> str:
    """Name of the table with the ids of deleted rows."""
    return f"{table.name}_withdrawn"


def history_name(table: Table) -> str:
    """Name of the table that says who changed a record's quality and why."""
    return f"{table.name}_quality_history"


def initialise(engine: Engine, table: Table) -> list[UnfitRow]:
    """Create or complete an instrument's table on a PostgreSQL server, for its owner; running it again changes nothing.

    A table that stands there already keeps its rows and gets the columns, indexes, triggers and checks that it lacks.
    Rows that break a check stay as they are; the check holds for what is written from now on, and for all rows
    once they are mended and this is run again.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Of a role that may create tables and functions in its current schema.
    table : sqlalchemy.Table
        The table of an instrument's class.

    Returns
    -------
    list of UnfitRow
        Rows from before the checks, which any change to them has to mend.
    """
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('koa-cal remote init'))"))
        for statement in _table_statements(table):
            connection.exec_driver_sql(statement)
        for statement in _trigger_statements(connection, table):
            connection.exec_driver_sql(statement)
        return [row for column in _checked(connection, table) for row in _check(connection, column)]


def grants(engine: Engine, table: Table, reader: str = "koa_reader", publisher: str = "koa_publisher") -> list[str]:
    """Statements that the owner runs for a role that reads and one that publishes.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Of the owner; tells the schema.
    table : sqlalchemy.Table
    reader, publisher : str
        Names of the roles.
    """
    with engine.connect() as connection:
        schema = connection.scalar(text("SELECT current_schema()"))
    tables = ", ".join(
        f"{quote(schema)}.{quote(name)}" for name in (table.name, withdrawn_name(table), history_name(table))
    )
    both = f"{quote(reader)}, {quote(publisher)}"
    return [
        f"GRANT USAGE ON SCHEMA {quote(schema)} TO {both};",
        f"GRANT SELECT ON {tables} TO {both};",
        f"GRANT INSERT, UPDATE, DELETE ON {quote(schema)}.{quote(table.name)} TO {quote(publisher)};",
    ]


def _table_statements(table: Table) -> Iterator[str]:
    name = quote(table.name)
    remote = table.to_metadata(MetaData(naming_convention=table.metadata.naming_convention))
    for column in remote.c:
        if isinstance(column.type.dialect_impl(_DIALECT), String):
            column.type = String(collation="C")  # sorts by code point, as SQLite does
        default = default_literal(column)
        column.server_default = None if default is None else DefaultClause(text(default))
    yield str(CreateTable(remote, if_not_exists=True).compile(dialect=_DIALECT))
    for column in remote.c:
        kind = column.type.compile(_DIALECT)
        default = default_literal(column)
        yield f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {quote(column.name)} {kind}" + (
            f" DEFAULT {default}" if default is not None else ""
        )
    # Rows that stand there already get the number of this transaction.
    yield f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {SYNC_COLUMN} bigint NOT NULL DEFAULT ({_XID})"
    for index in sorted(remote.indexes, key=lambda one: str(one.name)):
        yield str(CreateIndex(index, if_not_exists=True).compile(dialect=_DIALECT))
    yield f"CREATE UNIQUE INDEX IF NOT EXISTS {quote(f'uq_{table.name}_filename')} ON {name} (filename)"
    yield f"CREATE INDEX IF NOT EXISTS {quote(f'ix_{table.name}_sync')} ON {name} ({SYNC_COLUMN})"
    withdrawn = quote(withdrawn_name(table))
    yield f"""CREATE TABLE IF NOT EXISTS {withdrawn} (
        id text COLLATE "C" PRIMARY KEY, {SYNC_COLUMN} bigint NOT NULL, last_updated text NOT NULL)"""
    yield f"CREATE INDEX IF NOT EXISTS {quote(f'ix_{withdrawn_name(table)}_sync')} ON {withdrawn} ({SYNC_COLUMN})"
    yield f"""CREATE TABLE IF NOT EXISTS {quote(history_name(table))} (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id text COLLATE "C" NOT NULL, quality_before text, quality text, reason text, flagged_by text,
        role text NOT NULL, flagged_at text NOT NULL)"""


def _checked(connection: Connection, table: Table) -> list[Column[Any]]:
    """Give the columns to check: those of text, since an older archive's may have other types."""
    text_columns = """SELECT attname FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
        WHERE attrelid = to_regclass(:name) AND attnum > 0 AND typcategory = 'S'"""
    found = set(connection.scalars(text(text_columns), {"name": quote(table.name)}))
    return [table.c[name] for name in CHECKED if name in found]


def _check(connection: Connection, column: Column[Any]) -> list[UnfitRow]:
    """Let the server refuse what is not in form, nulls excepted; gives the rows that stand against it."""
    table, name, constraint = quote(column.table.name), quote(column.name), f"koa_{column.name}"
    state = "SELECT convalidated FROM pg_constraint WHERE conrelid = to_regclass(:table) AND conname = :constraint"
    is_valid = connection.scalar(text(state), {"table": table, "constraint": constraint})
    if is_valid:
        return []
    allowed = _allowed(column)
    if is_valid is None:
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} CHECK ({allowed}) NOT VALID")
    breaking = f"SELECT id::text, filename::text, {name}::text FROM {table} WHERE NOT ({allowed}) ORDER BY filename, id"
    found = connection.exec_driver_sql(breaking)
    unfit = [UnfitRow(row_id, filename, column.name, value) for row_id, filename, value in found]
    if not unfit:
        connection.exec_driver_sql(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")
    return unfit


def _allowed(column: Column[Any]) -> str:
    """SQL that is true of the values which the server lets stand in a checked column."""
    return form_of(column).allowed(f'({quote(column.name)}::text COLLATE "C")')


def unfit_values(connection: Connection, table: Table, id: str) -> list[tuple[Column[Any], str]]:
    """Values of a row from before the checks that stand against them, with their columns."""
    unfit = []
    for column in _checked(connection, table):
        breaking = select(cast(column, String)).where(table.c.id == id, text(f"NOT ({_allowed(column)})"))
        unfit += [(column, value) for value in connection.scalars(breaking)]
    return unfit


def _trigger_statements(connection: Connection, table: Table) -> Iterator[str]:
    schema = connection.scalar(text("SELECT current_schema()"))
    kind = connection.scalar(
        text(
            "SELECT format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = to_regclass(:name) AND attname = 'last_updated'"
        ),
        {"name": quote(table.name)},
    )
    name, withdrawn, history = quote(table.name), quote(withdrawn_name(table)), quote(history_name(table))
    clock = _CLOCK.get(str(kind), _CLOCK_AS_TEXT)
    keep = f"""({SYNC_COLUMN}, last_updated) = (excluded.{SYNC_COLUMN}, excluded.last_updated)"""
    bodies = {
        "stamp": f"""
            NEW.{SYNC_COLUMN} := {_XID};
            NEW.last_updated := {clock};
            RETURN NEW;""",
        "withdraw": f"""
            IF TG_OP = 'UPDATE' AND NEW.id = OLD.id THEN RETURN NULL; END IF;
            INSERT INTO {withdrawn} VALUES (OLD.id::text, {_XID}, {_CLOCK_AS_TEXT})
                ON CONFLICT (id) DO UPDATE SET {keep};
            RETURN NULL;""",
        "withdraw_all": f"""
            INSERT INTO {withdrawn} SELECT id::text, {_XID}, {_CLOCK_AS_TEXT} FROM {name}
                ON CONFLICT (id) DO UPDATE SET {keep};
            RETURN NULL;""",
        "history": f"""
            INSERT INTO {history} (id, quality_before, quality, reason, flagged_by, role, flagged_at)
                VALUES (NEW.id::text, OLD.quality, NEW.quality, nullif(current_setting('koa.reason', true), ''),
                        nullif(current_setting('koa.flagged_by', true), ''), session_user, {_CLOCK_AS_TEXT});
            RETURN NULL;""",
    }
    events = {
        "stamp": "BEFORE INSERT OR UPDATE ON {} FOR EACH ROW",
        "withdraw": "AFTER DELETE OR UPDATE ON {} FOR EACH ROW",
        "withdraw_all": "BEFORE TRUNCATE ON {} FOR EACH STATEMENT",
        "history": "AFTER UPDATE ON {} FOR EACH ROW WHEN (OLD.quality IS DISTINCT FROM NEW.quality"
        " OR current_setting('koa.reason', true) <> '')",
    }
    for what, body in bodies.items():
        function = quote(f"{table.name}_{what}")
        trigger = quote(f"koa_{what}")
        # The owner's rights: those who write rows need no right on the side tables.
        yield f"""CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = {quote(schema)}, pg_temp AS $body$ BEGIN {body} END $body$"""
        yield f"CREATE OR REPLACE TRIGGER {trigger} {events[what].format(name)} EXECUTE FUNCTION {function}()"
        # Rows that come by logical replication are stamped too.
        yield f"ALTER TABLE {name} ENABLE ALWAYS TRIGGER {trigger}"
