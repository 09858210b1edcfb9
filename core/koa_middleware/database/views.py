"""What a reading connection finds under the names of an instrument's tables.

A database that cannot be brought up to date lacks columns and tables of the class; the rows of a shared cache's
database stand under the user's own. Temporary views say so: they are the connection's own, and hide the tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Column, Table
from sqlalchemy.dialects.sqlite import dialect

from ..exceptions import HeaderError, SchemaMismatchError
from ..instrument.orm import DERIVED, ORMCalibration
from ..instrument.values import normal_form
from .changes import changes_in, former_columns, renamed_columns
from .declared import Declaration
from .feed import feed_table
from .file_names import HAS_OTHERS
from .history import history_table
from .judgements import judgements_table
from .kept_apart import conflicts_table
from .schema import read_schema, table_to_make, tables_to_make, wanted_schema
from .sqlite import quote
from .upgrade import Standing

#: The name under which connections know the shared cache's database.
SHARED = "koa_shared"

#: Before the name of a table: what the user's own database had of it.
_OWN = "koa_own_"

_DIALECT = dialect()


class Then(NamedTuple):
    """How a database tells its state at a time.

    Attributes
    ----------
    moment : str
        UTC, with microseconds.
    follows : bool
        Whether it has entries of an archive, which count for all records but LOCAL ones.
    former : list of tuple
        SQL of the tables that have former versions, and of the numbers that are asked for, where not all are.
    """

    moment: str
    follows: bool
    former: list[tuple[str, str]]

    def of_row(self, alias: str, feed: str) -> str:
        """Clause of a row that has not changed since."""
        whose = f" AND (later.archive_n IS NULL) = ({alias}.origin = 'LOCAL')" if self.follows else ""
        later = f"SELECT 1 FROM {feed} AS later WHERE later.id = {alias}.id AND later.at > '{self.moment}'{whose}"  # noqa: S608
        return f"NOT EXISTS ({later})"

    def of_former(self, alias: str) -> str:
        """Clause of a version that was the row's."""
        whose = f" AND ({alias}.koa_archive_n IS NULL) = ({alias}.origin = 'LOCAL')" if self.follows else ""
        begun = f"{alias}.koa_since <= '{self.moment}'{whose}"
        return f"CASE WHEN {alias}.koa_until > '{self.moment}' THEN {begun} END"

    def of_said(self, alias: str) -> str:
        """Clause of an entry, or a judgement, that was there."""
        return f"{alias}.at <= '{self.moment}'"


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
    @lru_cache(maxsize=64)
    def whole(cls, orm_class: type[ORMCalibration]) -> Readable:
        """Give what a database that is up to date gives."""
        wanted_schema(orm_class)  # which declares all tables
        tables = orm_class.metadata.sorted_tables
        return cls(orm_class, {table.name: [quote(column.name) for column in table.c] for table in tables}, True)

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


def views(
    own: Readable,
    shared: Readable | None = None,
    then: Then | None = None,
    shared_then: Then | None = None,
    *,
    among: str = "",
) -> list[str]:
    """Give the statements that let a connection find what a class wants, the shared database under its own one.

    Of a shared row the user's own word counts: a row of the same id or file name, or what his feed tells of that id,
    which was withdrawn here. So it does of what was said of its quality. With `then`, each is as it was at that time;
    with `among`, a table of file names, only their records are there.
    """
    name = own.orm_class.table().name
    feed, log = feed_table(own.orm_class).name, judgements_table(own.orm_class).name
    below = {name: _unknown(own, then), feed: _unsaid(own, then, name, feed), log: _unsaid(own, then, name, feed, log)}
    history = history_table(own.orm_class).name
    former = {} if then is not None else {history: below[feed]}  # which are told of what is there now
    tables = own.orm_class.metadata.tables
    made = []
    if then is not None:
        made += [_view(f"{_OWN}{each}", tables[each], _arms(own, each, "main", then)) for each in below]
    for table in own.orm_class.metadata.sorted_tables:
        asked = [f"filename IN {among}"] if among and table.name == name else []
        is_below = shared is not None and table.name in (below | former) and table.name in shared.tables
        if then is not None and table.name == conflicts_table(own.orm_class).name:
            arms = []  # what was kept apart is not told of the past
        elif is_below or asked or not own.is_whole or (then is not None and table.name in below):
            arms = _arms(own, table.name, "main", then, *asked)
        else:
            continue
        if shared is not None and is_below:
            arms += _arms(shared, table.name, SHARED, shared_then, (below | former)[table.name], *asked)
        made.append(_view(table.name, table, arms))
    return made


def _view(name: str, table: Table, arms: list[str]) -> str:
    columns = ", ".join(map(quote, table.c.keys()))
    return f"CREATE TEMP VIEW {quote(name)} ({columns}) AS {' UNION ALL '.join(arms or [_nothing(table)])}"


def _arms(readable: Readable, name: str, schema: str, then: Then | None, *clauses: str) -> list[str]:
    """Give what selects a table's rows: those that are there, and with `then` those that were."""
    if name not in readable.tables:
        return []
    alias = "own" if schema == "main" else "shared"
    source = f"{schema}.{quote(name)} AS {alias}"
    if then is None:
        return [_select(readable.tables[name], source, *clauses)]
    orm_class = readable.orm_class
    if name != orm_class.table().name:
        return [_select(readable.tables[name], source, then.of_said(alias), *clauses)]
    feed = f"{schema}.{quote(feed_table(orm_class).name)}"
    columns = readable.tables[history_table(orm_class).name][-len(orm_class.table().c) :]
    return [
        _select(readable.tables[name], source, then.of_row(alias, feed), *clauses),
        *(
            _select(
                columns,
                f"{former} AS {alias}{' NOT INDEXED' if besides else ''}",
                then.of_former(alias),
                *filter(None, [besides]),
                *clauses,
            )
            for former, besides in then.former
        ),
    ]


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
        for old, new in former_columns(connection, orm_class).items():
            yield f"the column {old} holds values of {new}"
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


def _select(columns: list[str], source: str, *clauses: str) -> str:
    where = f" WHERE {' AND '.join(clauses)}" if any(clauses) else ""
    return f"SELECT {', '.join(columns)} FROM {source}{where}"  # noqa: S608 - the class's own names


def _nothing(table: Table) -> str:
    return f"SELECT {', '.join(['NULL'] * len(table.c))} WHERE 0"


def _mine(name: str, then: Then | None) -> str:
    """SQL of what the user's own database has of a table."""
    return f"main.{quote(name)}" if then is None else f"temp.{quote(f'{_OWN}{name}')}"


def _unsaid(own: Readable, then: Then | None, *tables: str) -> str:
    """Clause of what the shared database says of records of which none of some tables of the user's own says a word."""
    said = "NOT EXISTS (SELECT 1 FROM {} AS mine WHERE mine.id = shared.id)".format
    return " AND ".join(said(_mine(name, then)) for name in tables if name in own.tables)


def _unknown(own: Readable, then: Then | None) -> str:
    """Clause of shared rows of which the user's own database knows nothing."""
    table, feed = own.orm_class.table().name, feed_table(own.orm_class).name
    clauses = []
    if table in own.tables:
        mine = f"FROM {_mine(table, then)} AS mine WHERE"
        folded = "koa_folded(shared.filename)"
        clauses += [
            f"NOT EXISTS (SELECT 1 {mine} mine.id = shared.id)",
            f"NOT EXISTS (SELECT 1 {mine} mine.filename COLLATE NOCASE = {folded})",
            f"{folded} NOT IN (SELECT koa_folded(filename) {mine} {HAS_OTHERS})",
        ]
    if feed in own.tables:
        clauses.append(f"NOT EXISTS (SELECT 1 FROM {_mine(feed, then)} AS said WHERE said.id = shared.id)")  # noqa: S608
    return " AND ".join(clauses)
