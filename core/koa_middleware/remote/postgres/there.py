"""A class's table as an archive has it, for those who write there."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, Connection, MetaData, Table, text

from ...exceptions import SchemaMismatchError
from ...instrument.values import default_value
from ..matching import is_required, names_there
from ..protocol import Values
from .errors import host_of, init_hint, lacks_columns
from .identifiers import feed_name, quote
from .notes import Note, read_notes

#: What an archive gives a row by itself.
_ITS_OWN = ("origin", "last_updated")


def table_there(connection: Connection, table: Table) -> Table:
    """Give the columns of a class that an archive has, by their names there; their keys are the class's names.

    Raises
    ------
    SchemaMismatchError
        When one is missing that a row cannot do without.
    """
    attributes = "pg_attribute WHERE attrelid = CAST(:name AS regclass) AND attnum > 0 AND NOT attisdropped"
    columns = set(connection.scalars(text(f"SELECT attname FROM {attributes}"), {"name": quote(table.name)}))
    notes: list[Note] = []
    names = names_there(table, columns, ())
    if len(names) < len(table.c):
        comment = text("SELECT obj_description(to_regclass(:feed), 'pg_class')")
        notes = read_notes(connection.scalar(comment, {"feed": quote(feed_name(table))}))
        names = names_there(table, columns, [note.declared for note in notes])
    missing = tuple(column.name for column in table.c if is_required(column) and column.name not in names)
    if missing:
        raise lacks_columns(table, missing, host_of(connection.engine), notes)
    known = [column for column in table.c if column.name in names]
    return Table(table.name, MetaData(), *(Column(names[each.name], each.type, key=each.name) for each in known))


def check_nothing_lost(table: Table, there: Table, rows: Sequence[Values], host: str) -> None:
    """Check that an archive has a column for each value that is not the class's default.

    Raises
    ------
    SchemaMismatchError
    """
    for column in (column for column in table.c if column.key not in there.c and column.key not in _ITS_OWN):
        lost = [row["filename"] for row in rows if row[column.key] not in (None, default_value(column))]
        if lost:
            raise SchemaMismatchError(
                f"The table {table.name} of the remote database at {host} lacks the column {column.key}, and "
                f"{lost[0]} has a value in it.",
                f"Nothing was published. {init_hint(table)}",
                database=host,
                table=table.name,
                missing=(column.key,),
            )
