"""Changes of an existing table that a class wants, beyond additions."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from ..instrument.orm import DERIVED, ORMCalibration
from .declared import Declaration, DeclaredColumn
from .driver import GuardedConnection
from .schema import table_to_make
from .sqlite import quote

_DIALECT = dialect()


class Built(NamedTuple):
    """How a table is built; names are in lower case.

    Attributes
    ----------
    columns : dict
        Type, whether a value is needed, and default, as SQL writes them, by column.
    unique : set of tuple of str
        Sets of columns whose values no two rows share.
    """

    columns: dict[str, tuple[str, bool, str | None]]
    unique: set[tuple[str, ...]]


class Changes(NamedTuple):
    """What must change in a table beyond what can be added.

    Attributes
    ----------
    restated : tuple of str
        Columns whose values come into another form.
    is_remade : bool
        Whether the table is made anew, since types, needs or uniqueness changed.
    dropped_indexes : tuple of str
    """

    restated: tuple[str, ...]
    is_remade: bool
    dropped_indexes: tuple[str, ...]


def renamed_columns(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> dict[str, str]:
    """Give the new names of a table's columns, by the old ones."""
    there = built(connection, orm_class.table().name).columns
    columns = Declaration.of(orm_class).columns
    known = {name.lower() for name in columns}
    return {
        old: name
        for name, column in columns.items()
        if name.lower() not in there
        for old in [old for old in column.renamed_from if old.lower() in there and old.lower() not in known][:1]
    }


def former_columns(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> dict[str, str]:
    """Give columns whose former one is still there and has values that they lack, by its name.

    So it is where a class was used before it said what the column's former name was.
    """
    there, table = built(connection, orm_class.table().name).columns, quote(orm_class.table().name)
    columns = Declaration.of(orm_class).columns
    known = {name.lower() for name in columns}
    return {
        old: name
        for name, column in columns.items()
        if name.lower() in there
        for old in column.renamed_from
        if old.lower() in there and old.lower() not in known
        if connection.execute(f"SELECT 1 FROM {table} WHERE {lacking(old, name)} LIMIT 1").fetchone()  # noqa: S608
    }


def lacking(old: str, name: str) -> str:
    """SQL clause of rows that have no value in a column, but one in its former one."""
    return f"{quote(name)} IS NULL AND {quote(old)} IS NOT NULL"


def changes_in(
    connection: sqlite3.Connection,
    orm_class: type[ORMCalibration],
    before: Declaration | None,
    renamed: Mapping[str, str],
    filled: Collection[str] = (),
) -> Changes:
    """Find what a class wants changed in its table, whose columns have their new names already.

    Parameters
    ----------
    connection : sqlite3.Connection
    orm_class : type
    before : Declaration, optional
        What the rows obey; unknown for a database from before declarations were kept.
    renamed : mapping
        New names by the old ones.
    filled : collection of str
        Columns that got values of a former one.
    """
    now = Declaration.of(orm_class)
    there, wanted = built(connection, orm_class.table().name), built_for(orm_class)
    present = [name for name in now.columns if name.lower() in there.columns]
    retyped = {name for name in present if there.columns[name.lower()][0] != wanted.columns[name.lower()][0]}
    former = {} if before is None else {renamed.get(name, name): column for name, column in before.columns.items()}
    indexes = {} if before is None else before.indexes
    return Changes(
        tuple(
            name
            for name in present
            if name in retyped or name in filled or _has_other_form(now, before, former.get(name), name)
        ),
        any(there.columns[name.lower()] != wanted.columns[name.lower()] for name in present)
        or {names for names in there.unique if set(names) <= wanted.columns.keys()}
        != {names for names in wanted.unique if set(names) <= there.columns.keys()},
        tuple(name for name, columns in indexes.items() if now.indexes.get(name) != columns),
    )


def _has_other_form(now: Declaration, before: Declaration | None, former: DeclaredColumn | None, name: str) -> bool:
    column = now.columns[name]
    if before is None:
        return bool(column.fold) or column.nulls is not None
    return former is not None and former.form != column.form


def not_applied(
    connection: sqlite3.Connection,
    orm_class: type[ORMCalibration],
    before: Declaration | None,
    renamed: Mapping[str, str],
) -> Iterator[str]:
    """Say what a class declares that old rows do not obey and cannot be made to."""
    table, now = quote(orm_class.table().name), Declaration.of(orm_class)

    def count(rows: str, *parameters: str) -> int:
        return int(connection.execute(f"SELECT count(*) FROM {rows}", parameters).fetchone()[0])  # noqa: S608

    former = now.columns if before is None else before.columns
    added = sorted(now.columns.keys() - former.keys() - {*renamed.values(), *orm_class.table().info[DERIVED]})
    there = built(connection, orm_class.table().name).columns
    for old in sorted(name for name in former.keys() - now.columns.keys() - renamed.keys() if name.lower() in there):
        new = [name for name in added if now.columns[name].type == former[old].type]
        rows = count(f"{table} WHERE {quote(old)} IS NOT NULL") if new else 0
        if rows:
            yield (
                f"{orm_class.__name__} has no column {old} any more, which has a value in {n_rows(rows)}. Where that "
                f"is {' or '.join(new)} now, declare there renamed_from=({old!r},)."
            )
    for old, column in former.items():
        name = renamed.get(old, old)
        if column.fold and name in now.columns and not now.columns[name].fold:
            rows = count(f"{table} WHERE {quote(name)} IS NOT NULL")
            yield f"The column {name} keeps letter case now; in {n_rows(rows)} it was folded before, and stays so."
    if now.cal_types:
        marks = ", ".join("?" * len(now.cal_types))
        rows = count(f"{table} WHERE cal_type NOT IN ({marks})", *now.cal_types)
        if rows:
            yield f"The column cal_type holds types in {n_rows(rows)} that {orm_class.__name__} does not have any more."
    if before is not None and before.version_family != now.version_family:
        family = ", ".join(map(quote, ("cal_type", "datetime_obs", "origin", *now.version_family, "cal_version")))
        versions = count(f"(SELECT 1 FROM {table} GROUP BY {family} HAVING count(*) > 1)")  # noqa: S608
        if versions:
            said = ", ".join(now.version_family) or "empty"
            yield f"The version_family is {said} now; {versions} versions in cal_version stand in several of its rows."


def built(connection: sqlite3.Connection, table: str) -> Built:
    """Read how a table is built."""
    columns = {
        name.lower(): (type_.upper(), bool(needs or in_key), default)
        for name, type_, needs, default, in_key in connection.execute(
            'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (table,)
        )
    }
    unique: dict[str, list[str]] = {}
    for index, column in connection.execute(
        "SELECT list.name, info.name FROM pragma_index_list(?) AS list, pragma_index_info(list.name) AS info"
        " WHERE list.\"unique\" AND list.origin <> 'pk' AND NOT list.partial ORDER BY list.name, info.seqno",
        (table,),
    ):
        unique.setdefault(index, []).append(str(column).lower())
    return Built(columns, {tuple(names) for names in unique.values()})


@lru_cache(maxsize=64)
def built_for(orm_class: type[ORMCalibration]) -> Built:
    """Give how a class's table is built in a new database."""
    table = table_to_make(orm_class)
    with closing(GuardedConnection(":memory:")) as connection:
        connection.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
        for index in table.indexes:
            connection.execute(str(CreateIndex(index).compile(dialect=_DIALECT)))
        return built(connection, table.name)


def n_rows(number: int) -> str:
    """Give a number of rows, as messages say it."""
    return "1 row" if number == 1 else f"{number} rows"
