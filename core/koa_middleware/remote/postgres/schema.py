"""What an archive's owner sets up on a PostgreSQL server, once; needs PostgreSQL 14 or newer.

Beside the instrument's table, with its indexes, stand its feed, which tells what happened to each row and in which
order, and its history, the former versions of the rows. Triggers write both, and stamp each row with the server's clock
(`last_updated`). Another table keeps the answers that a server over HTTP gave to publishers; see `once`. The table of
tokens is one for all instruments of the schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection, DefaultClause, Dialect, Engine, MetaData, String, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from ...database.declared import unique_columns
from ...database.tokens import TOKENS
from ...exceptions import RemoteError
from ...instrument.orm import ORMCalibration
from ..protocol import UnfitRow
from .catalog import Catalog
from .checks import check_statements
from .errors import host_of
from .feed_schema import feed_statements
from .identifiers import feed_name, history_name, quote, requests_name
from .literals import default_literal
from .notes import note_statement, read_notes
from .once import RIGHTS, requests_statements
from .upgrading import upgrade

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

#: Each statement sees what was committed before it; how a transaction begins that writes to the feed.
READ_COMMITTED = {"isolation_level": "READ COMMITTED"}

_ALONE = "SELECT pg_advisory_xact_lock(hashtext('koa-cal remote init'))"


class Plan(NamedTuple):
    """What an archive lacks.

    Attributes
    ----------
    schema : str
        Where it stands or will stand, as SQL writes it.
    statements : list of str
        SQL that gives it that, in one transaction; empty where nothing is missing.
    unfit : list of UnfitRow
        Rows from before the checks, which any change to them has to mend.
    told : list of str
        What old rows don't obey of what the class declares, a sentence each.
    """

    schema: str
    statements: list[str]
    unfit: list[UnfitRow]
    told: list[str]

    @property
    def script(self) -> list[str]:
        """The statements as psql runs them, in one transaction."""
        if not self.statements:
            return []
        begin = f"BEGIN ISOLATION LEVEL {READ_COMMITTED['isolation_level']}"
        here = f"SET LOCAL search_path = {self.schema}"
        return [f"{statement};" for statement in (begin, here, _ALONE, *self.statements, "COMMIT")]


def initialise(engine: Engine, orm_class: type[ORMCalibration], *, resweep: bool = False) -> Plan:
    """Create or upgrade an instrument's table on a PostgreSQL server, for its owner; running it again changes nothing.

    A table that stands there already keeps its rows and gets the columns, indexes, triggers and checks that it lacks.
    Where another version set it up, its columns get the names, types and forms that the class declares now.

    Rows that break a check stay as they are; the check holds for what is written from now on, and for all rows
    once they are mended and this is run again.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Of a role that may create tables and functions in its current schema.
    orm_class : type
    resweep : bool
        Whether all who follow the archive are asked to read everything once.

    Returns
    -------
    Plan
        What was run.

    Raises
    ------
    RemoteError
        When the table belongs to another role, or is a view or partitioned.
    SchemaMismatchError
        When values there cannot be what the class declares, or a newer class has changed what this one knows.
    """
    with engine.execution_options(**READ_COMMITTED).begin() as connection:
        connection.exec_driver_sql(_ALONE)
        _require_own_table(connection, orm_class.table())
        found = _plan(connection, orm_class, resweep=resweep)
        for statement in found.statements:
            connection.exec_driver_sql(statement)
        return found


def _require_own_table(connection: Connection, table: Table) -> None:
    facts = "current_user, pg_has_role(relowner, 'USAGE'), relkind = 'r' AND NOT relhassubclass"
    question = text(f"SELECT {facts} FROM pg_class WHERE oid = to_regclass(:name)")
    where = f"{table.name} on the remote database at {host_of(connection.engine)}"
    for role, is_owner, is_plain in connection.execute(question, {"name": quote(table.name)}):
        if not is_plain:
            raise RemoteError(
                f"{where} is no plain table, so no feed can record its changes.",
                "Nothing was changed. It can be followed as it is; each sync reads all of it.",
            )
        if not is_owner:
            raise RemoteError(
                f"The role {role} is not the owner of {where}.", "Ask the owner to do this; nothing was changed."
            )


def planned(engine: Engine, orm_class: type[ORMCalibration], *, resweep: bool = False) -> Plan:
    """Tell what `initialise` would run; only reads."""
    with engine.execution_options(postgresql_readonly=True).connect() as connection:
        return _plan(connection, orm_class, resweep=resweep)


def _plan(connection: Connection, orm_class: type[ORMCalibration], *, resweep: bool) -> Plan:
    table = orm_class.table()
    found = Catalog.of(connection, table)
    changed = upgrade(connection, orm_class, found)
    there = changed.there
    statements = [*changed.statements, *_table_statements(table, there, with_indexes=changed.leads)]
    statements += _token_statements(there)
    checks, unfit = check_statements(connection, table, there)
    feed = feed_statements(connection, table, there, asked=resweep, restates=changed.restates)
    statements += [*checks, *feed, *requests_statements(connection, table, there)]
    if changed.notes != read_notes(found.comment) or feed_name(table) not in found.relations:
        statements.append(note_statement(table, changed.notes))
    return Plan(there.schema, statements, unfit, changed.told)


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
        schema = connection.scalar(text("SELECT coalesce(current_schema(), '')")) or ""
    tables = ", ".join(f"{quote(schema)}.{quote(name)}" for name in _readable(table))
    both = f"{quote(reader)}, {quote(publisher)}"
    return [
        f"GRANT USAGE ON SCHEMA {quote(schema)} TO {both};",
        f"GRANT SELECT ON {tables} TO {both};",
        f"GRANT INSERT, UPDATE, DELETE ON {quote(schema)}.{quote(table.name)} TO {quote(publisher)};",
        f"GRANT {RIGHTS} ON {quote(schema)}.{quote(requests_name(table))} TO {quote(publisher)};",
        f"GRANT SELECT ON {quote(schema)}.{quote(TOKENS.name)} TO {quote(publisher)};",
    ]


def _readable(table: Table) -> tuple[str, ...]:
    return table.name, feed_name(table), history_name(table)


def _table_statements(table: Table, there: Catalog, *, with_indexes: bool) -> Iterator[str]:
    name = quote(table.name)
    remote = table.to_metadata(MetaData(naming_convention=table.metadata.naming_convention))
    for column in remote.c:
        if isinstance(column.type.dialect_impl(_DIALECT), String):
            column.type = String(collation="C")  # sorts by code point, as SQLite does
        default = default_literal(column)
        column.server_default = None if default is None else DefaultClause(text(default))
    is_new = table.name not in there.relations
    if is_new:
        yield str(CreateTable(remote).compile(dialect=_DIALECT)).strip()
    else:
        yield from _column_statements(remote, there)
        unique = f"uq_{table.name}_filename"
        if unique not in there.relations:
            yield f"CREATE UNIQUE INDEX {quote(unique)} ON {name} (filename)"
    for index in sorted(remote.indexes, key=lambda one: str(one.name)) if is_new or with_indexes else ():
        if _DIALECT.identifier_preparer.format_index(index).strip('"') not in there.relations:
            yield str(CreateIndex(index).compile(dialect=_DIALECT))


def _token_statements(there: Catalog) -> Iterator[str]:
    """SQL that makes the table of tokens, one for all instruments."""
    if TOKENS.name not in there.relations:
        yield str(CreateTable(TOKENS).compile(dialect=_DIALECT)).strip()
        for index in TOKENS.indexes:
            yield str(CreateIndex(index).compile(dialect=_DIALECT))


def _column_statements(remote: Table, there: Catalog) -> Iterator[str]:
    """SQL that adds columns, with defaults by which those who don't know them go on writing."""
    name, unique = quote(remote.name), unique_columns(remote)
    for column in remote.c:
        default = default_literal(column)
        if column.name not in there.columns:
            yield f"ALTER TABLE {name} ADD COLUMN {quote(column.name)} {column.type.compile(_DIALECT)}" + (
                f" DEFAULT {default}" if default is not None else ""
            )
            if (column.name,) in unique:
                index = quote(f"uq_{remote.name}_{column.name}")
                yield f"CREATE UNIQUE INDEX {index} ON {name} ({quote(column.name)})"
