"""What a connection that only reads finds under the names of an instrument's tables.

A database that cannot be brought up to date lacks columns and tables of the class; the rows of a shared cache's
database stand under the user's own. Temporary views say so: they are the connection's own, and hide the tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Column, Table
from sqlalchemy.dialects.sqlite import dialect

from ..exceptions import HeaderError, SchemaMismatchError
from ..instrument.orm import DERIVED, ORMCalibration
from ..instrument.values import normal_form
from .changes import changes_in, renamed_columns
from .declared import Declaration
from .feed import feed_table
from .file_names import HAS_OTHERS
from .judgements import judgements_table
from .schema import read_schema, table_to_make, tables_to_make, wanted_schema
from .sqlite import quote
from .upgrade import Standing

#: The name under which connections know the shared cache's database.
SHARED = "koa_shared"

_DIALECT = dialect()


class Readable(NamedTuple):
    """What a database that is only read gives of a class's tables.

    Attributes
    ----------
    orm_class : type
    tables : dict
        SQL that gives each column of a table, by the table's name; none of a table that is not there.
    is_whole : bool
        Whether all is there, so that no view is needed.
    """

    orm_class: type[ORMCalibration]
    tables: dict[str, list[str]]
    is_whole: bool

    @classmethod
    def of(cls, connection: sqlite3.Connection, orm_class: type[ORMCalibration], database: str) -> Readable:
        """Find out what a database gives that this class may not change.

        Raises
        ------
        SchemaMismatchError
            When an upgrade would change the rows that are there, so that they cannot be read as they are.
        """
        wanted_schema(orm_class)  # which declares all tables
        standing = Standing.of(connection, orm_class)
        standing.check(database)
        faults = list(_faults(connection, standing))
        if faults:
            raise _not_upgraded(standing, database, faults)
        there = read_schema(connection).columns
        given = {table.name: there.get(table.name, set()) for table in orm_class.metadata.sorted_tables}
        tables = tables_to_make(orm_class.metadata)
        return cls(
            orm_class,
            {
                table.name: [_value(column, given[table.name]) for column in table.c]
                for table in tables
                if given[table.name]
            },
            all(column.name.lower() in given[table.name] for table in tables for column in table.c),
        )


def views(own: Readable, shared: Readable | None = None) -> list[str]:
    """Give the statements that let a connection find what a class wants, the shared database under its own one.

    Of a shared row the user's own word counts: a row of the same id or file name, or what his feed tells of that id,
    which was withdrawn here. So it does of what was said of its quality.
    """
    name = own.orm_class.table().name
    feed, log = feed_table(own.orm_class).name, judgements_table(own.orm_class).name
    below = {name: _unknown(own), feed: _unsaid(own, name, feed), log: _unsaid(own, name, feed, log)}
    made = []
    for table in own.orm_class.metadata.sorted_tables:
        arms = [] if table.name not in own.tables else [_select(own.tables[table.name], f"main.{quote(table.name)}")]
        if shared is not None and table.name in below and table.name in shared.tables:
            source = f"{SHARED}.{quote(table.name)} AS shared"
            arms.append(_select(shared.tables[table.name], source, below[table.name]))
        elif own.is_whole:
            continue
        select = " UNION ALL ".join(arms or [_nothing(table)])
        columns = ", ".join(map(quote, table.c.keys()))
        made.append(f"CREATE TEMP VIEW {quote(table.name)} ({columns}) AS {select}")
    return made


def _faults(connection: sqlite3.Connection, standing: Standing) -> Iterator[str]:
    """Say what an upgrade would do to rows that are there."""
    orm_class = standing.orm_class
    table = orm_class.table()
    there = standing.found.columns.get(table.name)
    if there is None:
        return
    renamed = renamed_columns(connection, orm_class) if standing.leads else {}
    for old, new in renamed.items():
        yield f"the column {old} is called {new} now"
    missing = [column for column in table_to_make(orm_class).c if column.name.lower() not in there]
    for column in missing:
        if column.name in renamed.values():
            continue
        if column.name in table.info[DERIVED]:
            yield f"the column {column.name} is derived from others"
        elif not column.nullable and column.server_default is None:
            yield f"the column {column.name} needs a value in every row"
    if standing.leads and not standing.is_class_known:
        before = None if standing.newest is None else Declaration.read(standing.newest.schema)
        for name in changes_in(connection, orm_class, before, renamed).restated:
            if not _is_in_form(connection, table.c[name]):
                yield f"the column {name} holds values in another form"


def _is_in_form(connection: sqlite3.Connection, column: Column[Any]) -> bool:
    name = quote(column.name)
    values = connection.execute(f"SELECT DISTINCT {name} FROM {quote(column.table.name)}")  # noqa: S608
    try:
        return all(normal_form(column, value, "the database") == value for (value,) in values)
    except HeaderError:
        return False


def _not_upgraded(standing: Standing, database: str, faults: list[str]) -> SchemaMismatchError:
    name = standing.orm_class.instrument_name
    newest = standing.newest
    version = f"version {newest.version}" if newest is not None and newest.version else "an older version"
    return SchemaMismatchError(
        f"The database {database} was made by {version} of {name}'s plugin and cannot be upgraded from here: "
        f"{'; '.join(faults)}.",
        "Let someone who can write to it open it once, or install that version.",
        database=database,
        table=standing.orm_class.table().name,
        missing=(),
    )


def _value(column: Column[Any], there: set[str]) -> str:
    """SQL of a column's values, where a table has the columns `there`."""
    if column.name.lower() in there:
        return quote(column.name)
    default: Any = column.server_default
    if default is None or isinstance(default.arg, str):
        return "NULL"
    return str(default.arg.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


def _select(columns: list[str], source: str, where: str = "") -> str:
    return f"SELECT {', '.join(columns)} FROM {source}{where}"  # noqa: S608 - the class's own names


def _nothing(table: Table) -> str:
    return f"SELECT {', '.join(['NULL'] * len(table.c))} WHERE 0"


def _unsaid(own: Readable, *tables: str) -> str:
    """Clause of what the shared database says of records of which none of some tables of the user's own says a word."""
    said = "NOT EXISTS (SELECT 1 FROM main.{} AS own WHERE own.id = shared.id)".format
    clauses = [said(quote(name)) for name in tables if name in own.tables]
    return f" WHERE {' AND '.join(clauses)}" if clauses else ""


def _unknown(own: Readable) -> str:
    """Clause of shared rows of which the user's own database knows nothing."""
    table, feed = own.orm_class.table().name, feed_table(own.orm_class).name
    clauses = []
    if table in own.tables:
        mine = f"FROM main.{quote(table)} AS own WHERE"
        folded = "koa_folded(shared.filename)"
        clauses += [
            f"NOT EXISTS (SELECT 1 {mine} own.id = shared.id)",
            f"NOT EXISTS (SELECT 1 {mine} own.filename COLLATE NOCASE = {folded})",
            f"{folded} NOT IN (SELECT koa_folded(filename) {mine} {HAS_OTHERS})",
        ]
    if feed in own.tables:
        clauses.append(f"NOT EXISTS (SELECT 1 FROM main.{quote(feed)} AS said WHERE said.id = shared.id)")  # noqa: S608
    return f" WHERE {' AND '.join(clauses)}" if clauses else ""
