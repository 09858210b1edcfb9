"""The history of a PostgreSQL archive: a table of the former versions of rows, with the columns of the rows' own table.

Each version has the number of the feed's entry that ended it, and the times from which and until before which it was
the row's. The triggers of the feed write it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Dialect, String, Table
from sqlalchemy.dialects import postgresql

from ...database.changes import n_rows
from .catalog import Catalog
from .identifiers import feed_name, history_name, quote
from .literals import default_literal
from .older import granted
from .restating import Restating
from .values import TEXT_TYPES

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


def history_statements(connection: Connection, table: Table, there: Catalog, *, is_another: bool) -> Iterator[str]:
    """SQL that makes the table of former versions, or adds the columns that it lacks.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        For reading.
    table : sqlalchemy.Table
    there : Catalog
        With columns named as they are by then.
    is_another : bool
        Whether the feed's numbers begin anew, so that what is there belongs to another feed.
    """
    history = quote(history_name(table))
    if there.former and not is_another:
        yield from _columns_added(table, there)
        yield from _indexes(table, there)
        return
    if there.former:
        yield f"DROP TABLE {history}"
    own = "0::bigint AS koa_n, now() AS koa_since, now() AS koa_until"
    yield f"CREATE TABLE {history} AS SELECT {own}, present.* FROM {quote(table.name)} AS present WITH NO DATA"
    yield f"ALTER TABLE {history} ADD PRIMARY KEY (koa_n)"
    yield from _indexes(table, replace(there, relations=frozenset()))
    for role in granted(connection, feed_name(table), "SELECT"):
        yield f"GRANT SELECT ON {history} TO {role}"


def _columns_added(table: Table, there: Catalog) -> Iterator[str]:
    history = quote(history_name(table))
    known = {name: (type_, type_.startswith(TEXT_TYPES)) for name, type_ in there.columns.items()}
    ours = {column.name: (_type_of(column), isinstance(column.type, String)) for column in table.c}
    for name, (type_, is_text) in {**ours, **known}.items():
        if name in there.former:
            continue
        collation = ' COLLATE "C"' if is_text else ""
        default = default_literal(table.c[name]) if name in table.c and name not in known else None
        adding = f"ALTER TABLE {history} ADD COLUMN {quote(name)} {type_}{collation}"
        yield adding if default is None else f"{adding} DEFAULT {default}"
        if default is not None:  # as the rows that are there have it; what comes tells its own
            yield f"ALTER TABLE {history} ALTER COLUMN {quote(name)} DROP DEFAULT"


def _indexes(table: Table, there: Catalog) -> Iterator[str]:
    """SQL of the indexes by which rules look for calibrations, and of one by id."""
    ordered = sorted(table.indexes, key=lambda index: str(index.name))
    wanted = [[column.name for column in index.columns] for index in ordered if not index.unique]
    for columns in [["id"], *(names for names in wanted if names[0] == "cal_type")]:
        joined = ", ".join(map(quote, columns))
        name = f"ix_{history_name(table)}_{hashlib.sha256(joined.encode()).hexdigest()[:8]}"
        if name not in there.relations:
            yield f"CREATE INDEX {quote(name)} ON {quote(history_name(table))} ({joined})"


def _type_of(column: Column[Any]) -> str:
    return (String() if isinstance(column.type, String) else column.type).compile(dialect=_DIALECT)


class Former(NamedTuple):
    """How the former values of a column come into another type or form.

    Attributes
    ----------
    statements : list of str
    told : list of str
        How many values there have none, a sentence.
    """

    statements: list[str]
    told: list[str]


def restated(connection: Connection, table: Table, column: Column[Any], old: str, there: str, type_: str) -> Former:
    """Bring the former values of a column into the form and type that the class wants; those that refuse become null.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        For reading.
    table : sqlalchemy.Table
    column : sqlalchemy.Column
    old : str
        What the column is called before the statements are run.
    there, type_ : str
        The type that it has, and the one that it gets.
    """
    history, name = quote(history_name(table)), quote(column.name)
    restating = Restating(column, type_, is_former=True)
    counted = (
        f"SELECT {quote(old)}, {quote(old)}::text, count(*) FROM {history} WHERE {quote(old)} IS NOT NULL GROUP BY 1"
    )
    restating.look_at(connection.exec_driver_sql(counted))
    if type_ == there and not restating.changes:
        return Former([], [])
    collation = ' COLLATE "C"' if type_.startswith(TEXT_TYPES) else ""
    using = restating.sql(column.name)
    altering = f"ALTER TABLE {history} ALTER COLUMN {name} TYPE {type_}{collation} USING {using}"
    kind = type(column.type).__name__
    rows = f"{n_rows(restating.lost)} of the history"
    told = f"The column {column.name} is empty now in {rows}, whose values cannot be {kind}."
    return Former([altering], [told] if restating.lost else [])
