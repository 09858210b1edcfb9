"""Whether each row of a local database is in the forms of its columns: SQLite itself keeps whatever stands there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Boolean, Column, Float, Integer, String

from ..exceptions import HeaderError
from ..instrument.door import TIMES, columns_of, times_agree
from ..instrument.orm import ORMCalibration
from ..instrument.plain import shown
from ..instrument.times import parse_iso
from ..instrument.values import COMMON_FORMS, form_of
from .driver import NO_TEXT, text_or_bytes
from .feed import feed_table
from .sqlite import quote
from .verified_files import signatures_table

#: What SQLite gives for the types that a column may have.
_TYPES: dict[type, tuple[type, ...]] = {Boolean: (int,), String: (str,), Integer: (int,), Float: (float, int)}

_NO_TEXT = "bytes that are no text"

#: SQL that is true only of times which agree, a little less than `times_agree` allows: Python decides on the rest.
_AGREE = "abs(julianday(datetime_obs) - 2400000.5 - mjd_start) < 0.99"
#: Columns whose values are as good as all different.
_UNALIKE = {"id", "filename", "checksum", *TIMES}


class SpoiltRow(NamedTuple):
    """A row with values that their columns cannot have.

    Attributes
    ----------
    rowid : int
    values : dict
        As they stand there; text that is none as bytes.
    faults : dict
        What is wrong, by column.
    """

    rowid: int
    values: dict[str, Any]
    faults: dict[str, str]

    @property
    def name(self) -> str:
        """File name, else id, as far as they can be read."""
        return next((str(self.values[each]) for each in ("filename", "id") if self._is_told(each)), f"row {self.rowid}")

    @property
    def tells_file(self) -> bool:
        """Whether its file can be looked for and compared: what names and tells it is in form, all else can be read."""
        can_be_read = not any(isinstance(value, bytes) for value in self.values.values())
        return can_be_read and not self.faults.keys() & {"id", "filename", "checksum", "file_size"}

    @property
    def said(self) -> str:
        """What is wrong, in words."""
        return "; ".join(f"its {column} is {fault}" for column, fault in self.faults.items())

    def _is_told(self, column: str) -> bool:
        return column not in self.faults and isinstance(self.values.get(column), str)


def spoilt_rows(
    connection: sqlite3.Connection, orm_class: type[ORMCalibration], rowids: Iterable[int] | None = None
) -> list[SpoiltRow]:
    """Give the rows, or those of some numbers, that are not in form. Columns that the table lacks are not asked for."""
    table = quote(orm_class.table().name)
    names = [name for name in _names(connection, orm_class.table().name) if name in columns_of(orm_class)]
    where = "" if rowids is None else f" WHERE _rowid_ IN ({', '.join(str(int(each)) for each in rowids)})"
    agree = _AGREE if set(TIMES) <= set(names) else "TRUE"
    asked = f"SELECT {agree}, _rowid_, {', '.join(map(quote, names))} FROM {table}{where}"  # noqa: S608 - names, quoted
    rows = read_as_bytes(connection, asked)
    checks = [(place, name, *_check(columns_of(orm_class)[name])) for place, name in enumerate(names, 2)]
    hashed = _checksums(connection, orm_class) if {"checksum", "origin", "filename"} <= set(names) else {}
    return [found for found in (_judged(row, names, checks, hashed) for row in rows) if found.faults]


def check_row(orm_class: type[ORMCalibration], row: Mapping[str, Any]) -> None:
    """Check that a row that will leave the database is in form.

    Raises
    ------
    HeaderError
    """
    names = [*columns_of(orm_class)]
    checks = [(place, name, *_check(column)) for place, (name, column) in enumerate(columns_of(orm_class).items(), 2)]
    found = _judged([None, 0, *(row[name] for name in names)], names, checks, {})
    for column in found.faults:
        raise HeaderError(
            f"The record {found.name} is spoilt: {found.said}.",
            "koa-cal verify --repair mends it where it can; nothing was published.",
            column=column,
            keywords=(),
            source=found.name,
        )


def form_check(orm_class: type[ORMCalibration]) -> Callable[[Sequence[Any]], bool]:
    """Give what says whether a row's values, in the order of the class's columns, are in form."""
    names = [*columns_of(orm_class)]
    checks = [(place, name, *_check(column)) for place, (name, column) in enumerate(columns_of(orm_class).items(), 2)]
    return lambda values: not _judged([None, 0, *values], names, checks, {}).faults


def without_text(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> list[str]:
    """Say which other tables of the instrument hold text that cannot be decoded, and in how many rows."""
    told = []
    for name in (feed_table(orm_class).name, signatures_table(orm_class).name):
        if columns := _names(connection, name):
            rows = read_as_bytes(connection, f"SELECT {', '.join(map(quote, columns))} FROM {quote(name)}")  # noqa: S608
            number = sum(bytes in map(type, row) for row in rows)
            if number:
                told.append(f"{name} holds {_NO_TEXT} in {number} row{'s' * (number > 1)}")
    return told


def read_as_bytes(connection: sqlite3.Connection, asked: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Rows of a statement; text that cannot be decoded comes as bytes."""
    try:
        return connection.execute(asked, parameters).fetchall()
    except sqlite3.Error as error:
        if not str(error).startswith(NO_TEXT):
            raise
    before, connection.text_factory = connection.text_factory, text_or_bytes
    try:
        return connection.execute(asked, parameters).fetchall()
    finally:
        connection.text_factory = before


def _names(connection: sqlite3.Connection, table: str) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()]


def _checksums(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> dict[str, str]:
    """Give the checksums of LOCAL records' files that were hashed, where the records say none."""
    table, files = quote(orm_class.table().name), signatures_table(orm_class).name
    if not _names(connection, files):
        return {}
    asked = (
        f"SELECT files.filename, files.checksum FROM {quote(files)} AS files JOIN {table} AS rows USING (filename)"  # noqa: S608
        " WHERE rows.origin = 'LOCAL' AND rows.checksum IS NULL AND files.checksum <> ''"
    )
    return dict(read_as_bytes(connection, asked))


Check = tuple[int, str, Callable[[Any], str], bool]


def _judged(row: Sequence[Any], names: list[str], checks: list[Check], hashed: dict[str, str]) -> SpoiltRow:
    faults = {}
    for place, name, fault_of, may_be_null in checks:
        value = row[place]
        if said := fault_of(value) if value is not None else "" if may_be_null else "missing":
            faults[name] = said
    found = SpoiltRow(row[1], dict(zip(names, row[2:], strict=True)), faults)
    if not row[0] and not any(name in faults or found.values.get(name) is None for name in TIMES):
        faults.update(_disagreement(*(found.values[name] for name in TIMES)))
    if hashed and (checksum := hashed.get(found.values["filename"])) and found.values["checksum"] is None:
        faults["checksum"] = f"missing, and {checksum} was found when its file was hashed"
        faults |= {} if found.values.get("file_size") is not None else {"file_size": "missing"}
    return found


def _disagreement(time: str, mjd: float) -> Iterator[tuple[str, str]]:
    if not times_agree(time, mjd):
        for name, value in zip(TIMES, (time, mjd), strict=True):
            yield name, f"{value}, more than a day from the {'mjd_start' if name == 'datetime_obs' else 'datetime_obs'}"


@lru_cache(maxsize=2048)
def _check(column: Column[Any]) -> tuple[Callable[[Any], str], bool]:
    """Give what says of a value whether it is one of a column, and whether it may be null."""
    types = next(types for kind, types in _TYPES.items() if isinstance(column.type, kind))
    of, is_exact = form_of(column).of, column.key in COMMON_FORMS

    def fault_of(value: Any) -> str:
        if not isinstance(value, types):
            return (
                f"{shown(value)}, {_NO_TEXT}"
                if isinstance(value, bytes)
                else f"{shown(value)}, which is {_kind(value)}"
            )
        try:
            if column.key == "last_updated":
                _check_stamp(str(value))
            normal = of(value)
        except (ValueError, TypeError, ArithmeticError) as error:
            return f"{shown(value)}, which is {error}"
        if normal is None and not column.nullable:
            return f"{shown(value)}, which says nothing"
        if is_exact and normal is not None and normal != value:
            return f"{shown(value)}, which should be {shown(normal)}"
        return ""

    is_often_alike = column.key not in _UNALIKE
    return lru_cache(1024, typed=True)(fault_of) if is_often_alike else fault_of, bool(column.nullable)


def _check_stamp(value: str) -> None:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        parse_iso(value)  # which reads what archives of text write


def _kind(value: Any) -> str:
    return {str: "text", int: "a whole number", float: "a number"}.get(type(value), type(value).__name__)
