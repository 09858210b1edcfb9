"""Old rows in the form that a class declares now, and their former versions: values restated, a table made anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Table, text
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import UserDefinedType

from ..exceptions import SchemaMismatchError
from ..instrument.orm import ORMCalibration
from ..instrument.values import form_of
from .changes import Changes, built, built_for, n_rows
from .declared import unique_columns
from .feed import trigger_names
from .file_names import name_indexes
from .history import history_table
from .schema import table_to_make, tables_to_make
from .sqlite import quote

_DIALECT = dialect()

_NAMED = "SELECT type, name FROM sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql NOTNULL"
_MADE = _NAMED.replace("name FROM", "name, sql FROM")

#: Values that an error shows.
_SHOWN = 3


class _Verbatim(UserDefinedType[Any]):
    """A column type as SQL writes it, of a column that the class does not know."""

    cache_ok = True

    def __init__(self, written: str) -> None:
        self.written = written

    def get_col_spec(self, **_: Any) -> str:
        return self.written


class _Restating:
    """SQL that gives a table's values in the form of the class, and the values that have none.

    Parameters
    ----------
    connection : sqlite3.Connection
    orm_class : type
    columns : sequence of str
        Those whose form changed.
    """

    def __init__(self, connection: sqlite3.Connection, orm_class: type[ORMCalibration], columns: Sequence[str]) -> None:
        self.refused: dict[str, list[Any]] = {}
        self._expressions: dict[str, str] = {}
        for number, name in enumerate(columns):
            column = orm_class.table().c[name]
            connection.create_function(f"koa_form_{number}", 1, self._function(column), deterministic=True)
            self._expressions[name] = f"koa_form_{number}({quote(name)})"

    def sql(self, name: str, default: str | None = None) -> str:
        """Give the expression of a column; `default` is SQL for what has no value."""
        value = self._expressions.get(name, quote(name))
        return value if default is None else f"coalesce({value}, {default})"

    def _function(self, column: Column[Any]) -> Callable[[Any], Any]:
        form, refused = form_of(column), self.refused.setdefault(column.name, [])

        def restated(value: Any) -> Any:
            if value is None:
                return None
            try:
                return form.of(value)
            except (ValueError, TypeError, ArithmeticError):
                if value not in refused and len(refused) < _SHOWN:
                    refused.append(value)
                return value

        return restated


def bring_into_form(
    connection: sqlite3.Connection, orm_class: type[ORMCalibration], changes: Changes, database: str
) -> None:
    """Change a table as a class wants it, in the caller's transaction; every column of the class is there already.

    Raises
    ------
    SchemaMismatchError
        Names a column, and up to three values that cannot be what the class wants; nothing is changed then, once the
        transaction is rolled back.
    """
    name = orm_class.table().name
    for index in changes.dropped_indexes:
        connection.execute(f"DROP INDEX IF EXISTS {quote(index)}")
    if not (changes.restated or changes.is_remade):
        return
    for trigger in trigger_names(orm_class).values():
        connection.execute(f"DROP TRIGGER IF EXISTS {quote(trigger)}")
    restating = _Restating(connection, orm_class, changes.restated)
    with _told(orm_class, restating, database):
        _check_unique(connection, orm_class, changes, restating, database)
        if changes.is_remade:
            _check_needs(connection, orm_class, restating, database)
            _remake(connection, orm_class, restating)
        else:
            new = ", ".join(f"{quote(column)} = {restating.sql(column)}" for column in changes.restated)
            other = " OR ".join(f"{quote(column)} IS NOT {restating.sql(column)}" for column in changes.restated)
            connection.execute(f"UPDATE {quote(name)} SET {new} WHERE {other}")  # noqa: S608


def history_in_form(connection: sqlite3.Connection, orm_class: type[ORMCalibration], changes: Changes) -> Iterator[str]:
    """Bring former versions into a class's form, in the caller's transaction; what cannot be gets null, and is told."""
    name = history_table(orm_class).name
    there = {row[0].lower() for row in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))}
    if not there or not (changes.restated or changes.is_remade):
        return
    restated, defaults = changes.restated, built_for(orm_class).columns
    lost: dict[str, int] = dict.fromkeys(restated, 0)
    for number, column in enumerate(restated):
        function = _form_or_null(orm_class.table().c[column], lost)
        connection.create_function(f"koa_former_{number}", 1, function, deterministic=True)
    table = next(table for table in tables_to_make(orm_class.metadata) if table.name == name)
    for unknown in _unknown_columns(connection, table):
        table.append_column(unknown)
    kept = [column.name for column in table.c if column.name.lower() in there]
    values = [f"koa_former_{restated.index(each)}({quote(each)})" if each in restated else quote(each) for each in kept]
    for place, each in enumerate(kept):
        _, is_needed, default = defaults.get(each.lower(), ("", False, None))
        if is_needed and default is not None:
            values[place] = f"CASE WHEN {quote(each)} IS NULL THEN {default} ELSE {values[place]} END"
    new, old = quote(name), quote(f"{name}_before")
    connection.execute("PRAGMA legacy_alter_table = ON")
    try:
        for kind, each in connection.execute(_NAMED, (name,)).fetchall():
            connection.execute(f"DROP {kind} {quote(each)}")
        connection.execute(f"ALTER TABLE {new} RENAME TO {old}")
        connection.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
        into = f"INSERT INTO {new} ({', '.join(map(quote, kept))})"
        connection.execute(f"{into} SELECT {', '.join(values)} FROM {old} ORDER BY koa_n")  # noqa: S608
        connection.execute(f"DROP TABLE {old}")
    finally:
        connection.execute("PRAGMA legacy_alter_table = OFF")
    for column, number in [each for each in lost.items() if each[1]]:
        yield f"The column {column} has no value now in {n_rows(number)} of the history: what was there cannot be kept."


def _form_or_null(column: Column[Any], lost: dict[str, int]) -> Callable[[Any], Any]:
    form = form_of(column)

    def restated(value: Any) -> Any:
        try:
            return None if value is None else form.of(value)
        except (ValueError, TypeError, ArithmeticError):
            lost[column.name] += 1
            return None

    return restated


@contextmanager
def _told(orm_class: type[ORMCalibration], restating: _Restating, database: str) -> Iterator[None]:
    yield
    for name, values in restating.refused.items():
        if values:
            kind = type(orm_class.table().c[name].type).__name__
            raise _mismatch(orm_class, name, f"holds {_listed(values)}, which cannot be {kind}", database)


def _check_unique(
    connection: sqlite3.Connection,
    orm_class: type[ORMCalibration],
    changes: Changes,
    restating: _Restating,
    database: str,
) -> None:
    """Check that no two rows would share a value that the class wants once only."""
    table = orm_class.table()
    for names in sorted(unique_columns(table)):
        if tuple(name.lower() for name in names) in built(connection, table.name).unique and not (
            set(names) & set(changes.restated)
        ):
            continue
        values = ", ".join(map(restating.sql, names))
        known = " AND ".join(f"{quote(name)} IS NOT NULL" for name in names)
        twice = connection.execute(
            f"SELECT {values} FROM {quote(table.name)} WHERE {known} "  # noqa: S608
            f"GROUP BY {values} HAVING count(*) > 1 LIMIT {_SHOWN}"
        ).fetchall()
        if twice:
            found = [row[0] if len(row) == 1 else row for row in twice]
            raise _mismatch(orm_class, " and ".join(names), f"holds {_listed(found)} in several rows each", database)


def _check_needs(
    connection: sqlite3.Connection, orm_class: type[ORMCalibration], restating: _Restating, database: str
) -> None:
    """Check that every row has the values that the class needs and has no default for."""
    table = orm_class.table()
    for column in table_to_make(orm_class).c:
        if column.nullable or column.server_default is not None:
            continue
        lacking = connection.execute(
            f"SELECT filename FROM {quote(table.name)} WHERE {restating.sql(column.name)} IS NULL "  # noqa: S608
            f"ORDER BY filename LIMIT {_SHOWN}"
        ).fetchall()
        if lacking:
            names = ", ".join(str(row[0]) for row in lacking)
            raise _mismatch(orm_class, column.name, f"has no value in the rows of {names}", database)


def _remake(connection: sqlite3.Connection, orm_class: type[ORMCalibration], restating: _Restating) -> None:
    """Make the table anew, with its rows in their order and with what the class does not know."""
    table = table_to_make(orm_class)
    name, old = quote(table.name), quote(f"{table.name}_before")
    for column in _unknown_columns(connection, table):
        table.append_column(column)
    others = _others(connection, table)
    defaults = built_for(orm_class).columns
    names = ", ".join(quote(column.name) for column in table.c)
    values = ", ".join(
        restating.sql(column.name, None if column.nullable else defaults.get(column.name.lower(), ("",) * 3)[2])
        for column in table.c
    )
    connection.execute("PRAGMA legacy_alter_table = ON")  # so that others' views and triggers keep the table's name
    try:
        for kind, each in connection.execute(_NAMED, (table.name,)).fetchall():
            connection.execute(f"DROP {kind} {quote(each)}")
        connection.execute(f"ALTER TABLE {name} RENAME TO {old}")
        connection.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
        connection.execute(f"INSERT INTO {name} ({names}) SELECT {values} FROM {old} ORDER BY rowid")  # noqa: S608
        connection.execute(f"DROP TABLE {old}")
    finally:
        connection.execute("PRAGMA legacy_alter_table = OFF")
    for sql in others:
        connection.execute(sql)


def _unknown_columns(connection: sqlite3.Connection, table: Table) -> list[Column[Any]]:
    """Give a table's columns that its class does not know, as they are."""
    mine = {column.name.lower() for column in table.c}
    found = connection.execute('SELECT name, type, "notnull", dflt_value FROM pragma_table_info(?)', (table.name,))
    return [
        Column(
            name,
            _Verbatim(type_),
            nullable=not (needs and default),
            server_default=None if default is None else text(f"({default})"),
        )
        for name, type_, needs, default in found
        if name.lower() not in mine
    ]


def _others(connection: sqlite3.Connection, table: Table) -> list[str]:
    """Give SQL of a table's indexes and triggers that its class neither has nor forbids."""
    mine = {column.name.lower() for column in table.c}
    own = {*(str(index.name) for index in table.indexes), *name_indexes(table.name)}
    return [
        sql
        for kind, name, sql in connection.execute(_MADE, (table.name,)).fetchall()
        if name not in own
        and not (kind == "index" and sql.upper().startswith("CREATE UNIQUE") and _columns(connection, name) <= mine)
    ]


def _columns(connection: sqlite3.Connection, index: str) -> set[str]:
    return {str(row[0]).lower() for row in connection.execute("SELECT name FROM pragma_index_info(?)", (index,))}


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(repr, values))


def _mismatch(orm_class: type[ORMCalibration], column: str, fault: str, database: str) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"The class {orm_class.__name__} cannot use {database}: its column {column} {fault}.",
        "Nothing was changed. Correct those rows with the version of the plugin that made them, or go on with it.",
        database=database,
        table=orm_class.table().name,
        missing=(column,),
    )
