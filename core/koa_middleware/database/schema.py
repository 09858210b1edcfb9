"""What a database holds, and how one that lacks some of it gets it.

What is missing is added: tables, columns, indexes, triggers, always in one order, so that every database of a class is
the same. What the class does not know is left alone. So an older and a newer plugin can share a database.
"""

from __future__ import annotations

import math
import sqlite3
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, DefaultClause, Index, MetaData, Table, UniqueConstraint, literal
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable, DropIndex

from ..exceptions import SchemaMismatchError
from ..instrument.orm import ORMCalibration
from .copy_state import copy_table
from .feed import feed_table, flags_name, take_over_flags
from .file_names import name_indexes
from .history import add_columns_to_history, history_table, renew_triggers, triggers
from .judgements import judgements_table
from .kept_apart import conflicts_table
from .sqlite import driver_of, quote
from .verified_files import signatures_table

_DIALECT = dialect()

_EVERYTHING = """SELECT main.type, main.name, ifnull(columns.name, main.sql)
    FROM sqlite_master AS main LEFT JOIN pragma_table_xinfo(main.name) AS columns
    ORDER BY main.rowid"""


class Found(NamedTuple):
    """What a database holds.

    Attributes
    ----------
    columns : dict
        Names of a table's columns, in lower case, by its name.
    indexes : list of str
        In the order of their making.
    triggers : dict
        SQL by name.
    """

    columns: dict[str, set[str]]
    indexes: list[str]
    triggers: dict[str, str]


class Wanted(NamedTuple):
    """What a class's database must hold: columns and indexes by table."""

    columns: dict[str, set[str]]
    indexes: dict[str, list[str]]


def ordered_indexes(table: Table) -> list[Index]:
    """Indexes of a table in the order in which they are made: those of most columns first.

    Of two indexes that SQLite's planner takes for equally good, it may use the one that compares fewer columns, unless
    the other one was made first (3.40 to 3.54).
    """
    return sorted(table.indexes, key=lambda index: (-len(index.expressions), str(index.name)))


def read_schema(connection: sqlite3.Connection) -> Found:
    """Read what a database holds."""
    columns: dict[str, set[str]] = {}
    others: dict[str, dict[str, str]] = {"index": {}, "trigger": {}}
    for kind, name, said in connection.execute(_EVERYTHING):
        if kind == "table":
            columns.setdefault(name, set()).add(said.lower())
        else:
            others.setdefault(kind, {})[name] = said
    return Found(columns, list(others["index"]), others["trigger"])


@lru_cache(maxsize=64)
def wanted_schema(orm_class: type[ORMCalibration]) -> Wanted:
    """Give what the database of a class must hold."""
    for declare in (signatures_table, conflicts_table, copy_table, feed_table, judgements_table, history_table):
        declare(orm_class)
    tables = orm_class.metadata.sorted_tables
    columns = {table.name: {column.name.lower() for column in table.c} for table in tables}
    indexes = {table.name: [str(index.name) for index in ordered_indexes(table)] for table in tables}
    return Wanted(columns, indexes)


def has_all(found: Found, orm_class: type[ORMCalibration], *, leads: bool) -> bool:
    """Whether a database holds all that it must; only a class that leads asks for indexes."""
    wanted = wanted_schema(orm_class)
    return (
        all(columns <= found.columns.get(name, set()) for name, columns in wanted.columns.items())
        and (not leads or all(_among(names, found.indexes) == names for names in wanted.indexes.values()))
        and _keeps_history(found, orm_class)
        and name_indexes(orm_class.table().name).keys() <= set(found.indexes)
    )


def _keeps_history(found: Found, orm_class: type[ORMCalibration]) -> bool:
    """Whether former versions of whole rows are kept."""
    columns = found.columns[orm_class.table().name]
    wanted = triggers(orm_class, columns)
    there = found.columns[history_table(orm_class).name]
    return columns <= there and wanted.items() <= found.triggers.items()


def complete(connection: Connection, orm_class: type[ORMCalibration], database: str, *, leads: bool) -> None:
    """Add what a database lacks, in the caller's transaction, which holds the write lock.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    orm_class : type
    database : str
        As messages call it.
    leads : bool
        Whether no newer class uses the database; indexes of an existing table are its business.

    Raises
    ------
    SchemaMismatchError
        Names the columns that cannot be added, because old rows would have no value there.
    """
    found = read_schema(driver_of(connection))
    wanted = wanted_schema(orm_class)
    tables, history = tables_to_make(orm_class.metadata), history_table(orm_class).name
    for table in tables:
        if table.name in found.columns and table.name != history:
            _add_missing(connection, table, found.columns[table.name], orm_class, database)
        elif table.name not in found.columns:
            connection.execute(CreateTable(table))
    add_columns_to_history(driver_of(connection), orm_class)
    copy = copy_table(orm_class)
    beside = {judgements_table(orm_class).name, history}  # which no sync has to do with
    if copy.name in found.columns and not wanted.columns.keys() - beside <= found.columns.keys():
        forget_bookmark(driver_of(connection), orm_class)
    names = name_indexes(orm_class.table().name)
    if leads or not names.keys() <= set(found.indexes):
        for name in names:  # which come after those of the columns
            connection.exec_driver_sql(f"DROP INDEX IF EXISTS {quote(name)}")
    for table in tables:
        if leads or table.name not in found.columns:
            _order_indexes(connection, ordered_indexes(table), _among(wanted.indexes[table.name], found.indexes))
    for sql in names.values():
        connection.exec_driver_sql(sql)
    if flags_name(orm_class) in found.columns:
        take_over_flags(connection, orm_class)
    renew_triggers(driver_of(connection), orm_class)


def forget_bookmark(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> None:
    """Let the next sync read the archive anew."""
    forgotten = "bookmark = NULL, seen = NULL, sweep_after = NULL, settled = NULL"
    connection.execute(f"UPDATE {quote(copy_table(orm_class).name)} SET {forgotten}")  # noqa: S608


def _among(names: list[str], found: list[str]) -> list[str]:
    return [name for name in found if name in names]


def tables_to_make(metadata: MetaData) -> list[Table]:
    """Give the tables as they are made: the database knows constant defaults, for those who don't know a column."""
    copies = MetaData(naming_convention=metadata.naming_convention)
    tables = [table.to_metadata(copies) for table in metadata.sorted_tables]
    for column in (column for table in tables for column in table.c):
        column.server_default = column.server_default or _constant_default(column)
    return tables


def table_to_make(orm_class: type[ORMCalibration]) -> Table:
    """Give the instrument's own one of `tables_to_make`."""
    name = orm_class.table().name
    return next(table for table in tables_to_make(orm_class.metadata) if table.name == name)


def _constant_default(column: Column[Any]) -> DefaultClause | None:
    default: Any = column.default
    if default is None or not default.is_scalar or not isinstance(default.arg, str | int | float):
        return None
    if isinstance(default.arg, float) and not math.isfinite(default.arg):
        return None
    return DefaultClause(literal(default.arg, column.type))


def add_columns(connection: Connection, orm_class: type[ORMCalibration], database: str) -> None:
    """Add the columns that the instrument's own table lacks; see `complete`."""
    found = read_schema(driver_of(connection))
    table = table_to_make(orm_class)
    _add_missing(connection, table, found.columns[table.name], orm_class, database)


def _add_missing(
    connection: Connection, table: Table, found: set[str], orm_class: type[ORMCalibration], database: str
) -> None:
    missing = [column for column in table.c if column.name.lower() not in found]
    impossible = tuple(column.name for column in missing if not column.nullable and column.server_default is None)
    if impossible:
        raise SchemaMismatchError(
            f"The table {table.name} in {database} lacks {', '.join(impossible)}, which the class "
            f"{orm_class.__name__} needs and has no default for.",
            "Another version of the plugin made it; install that version, or use another cache folder.",
            database=database,
            table=table.name,
            missing=impossible,
        )
    for column in missing:
        described = CreateColumn(column).compile(dialect=_DIALECT)
        connection.exec_driver_sql(f"ALTER TABLE {quote(table.name)} ADD COLUMN {described}")
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint) and set(constraint.columns) & set(missing):
            names = ", ".join(quote(column.name) for column in constraint.columns)
            index = quote(str(constraint.name))
            connection.exec_driver_sql(f"CREATE UNIQUE INDEX {index} ON {quote(table.name)} ({names})")


def _order_indexes(connection: Connection, indexes: list[Index], found: list[str]) -> None:
    """Make the missing indexes of a table, and make those anew that must come after them."""
    right = 0
    while right < len(found) and found[right] == indexes[right].name:
        right += 1
    for index in indexes[right:]:
        if index.name in found:
            connection.execute(DropIndex(index))
    for index in indexes[right:]:
        connection.execute(CreateIndex(index))
