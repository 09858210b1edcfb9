"""What can still be read of a spoilt database, as a new one.

SQLite reads table by table. Of a table that it cannot read to its end, the rows are looked for in the pages themselves.
What follows from other things is left out: indexes and triggers, and how far a sync had come.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.schema import CreateTable

from ..exceptions import CacheError
from ..instrument.orm import ORMCalibration
from ..instrument.values import ORIGIN_WORDS, QUALITIES
from .copy_state import copy_table
from .driver import is_damage, only_errors_of_sqlite, text_or_bytes
from .feed import feed_table
from .hints import hint
from .judgements import judgements_table
from .pages import rows_in
from .schema import tables_to_make, wanted_schema
from .soundness import is_lost
from .sqlite import BUSY_TIMEOUT, quote
from .verified_files import signatures_table
from .versions import VERSIONS

_OPERATIONS = {"added", "changed", "flagged", "withdrawn", "resweep", "begun"}
_VERSION = re.compile(r"\d{3}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")

Row = dict[str, Any]


def withdrawn(feed: str) -> str:
    """Give the SQL that selects the ids of records whose last change was that they went; `feed` is quoted."""
    # Beside max(), SQLite gives the other columns of that same row (sqlite.org/lang_select.html#bareagg).
    last = f"SELECT id, op, max(n) FROM {feed} WHERE op IN ('added', 'changed', 'withdrawn') GROUP BY id"  # noqa: S608
    return f"SELECT id FROM ({last}) WHERE op = 'withdrawn'"  # noqa: S608


def rescue(path: Path, new: Path, orm_class: type[ORMCalibration]) -> set[str]:
    """Write what can be read of a database into a new file, as `path` has it.

    Parameters
    ----------
    path : pathlib.Path
    new : pathlib.Path
        A file that is there and empty; a copy of the spoilt file stands beside it for a while.
    orm_class : type

    Returns
    -------
    set of str
        The names of the instrument's tables of which all was read.

    Raises
    ------
    CacheError
        When the file cannot be read at all, or `new` not be written.
    """
    if is_lost(path):
        return set()
    try:
        with closing(sqlite3.connect(new, isolation_level=None)) as sink:
            return _rescue(path, sink, new.with_suffix(".copy"), orm_class)
    except sqlite3.Error as error:
        said = f"What is left of {path} cannot be read or written anew: {error}."
        raise CacheError(said, hint(str(error), new, BUSY_TIMEOUT), path=path) from error


def names_by_id(path: Path, orm_class: type[ORMCalibration]) -> dict[str, str]:
    """Give the file names of records by their ids, as a database's indexes say them, also of rows that are spoilt.

    An index has the row's number beside the value, so that SQLite does not look at the row for these two.
    """
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as source:
        source.text_factory = lambda text: text.decode(errors="replace")
        ids, names = (_by_row(source, orm_class.table().name, column) for column in ("id", "filename"))
    return {id_: names[row] for row, id_ in ids.items() if row in names}


def _by_row(source: sqlite3.Connection, table: str, column: str) -> dict[int, str]:
    """Give the values of a column by the numbers of their rows, as far as its indexes can be read."""
    found: dict[int, str] = {}
    with suppress(sqlite3.DatabaseError), only_errors_of_sqlite():  # what is spoilt is left out
        for _, index, _, _, is_partial in source.execute(f"PRAGMA index_list({quote(table)})").fetchall():
            columns = [name for _, _, name in source.execute(f"PRAGMA index_info({quote(index)})")]
            if columns == [column] and not is_partial:
                asked = f"SELECT rowid, {column} FROM {quote(table)} INDEXED BY {quote(index)}"  # noqa: S608
                with suppress(sqlite3.DatabaseError):
                    for row, value in source.execute(asked):
                        found.setdefault(row, value)
    return found


def _rescue(path: Path, sink: sqlite3.Connection, copy: Path, orm_class: type[ORMCalibration]) -> set[str]:
    records = orm_class.table().name
    own = [records, *(declare(orm_class).name for declare in (feed_table, judgements_table, signatures_table))]
    sink.execute("BEGIN")
    read = _copy_tables(path, sink, records, copy_table(orm_class).name)
    if read is None or not all(read.get(name, True) for name in own):
        _copy_from_pages(_content(path, copy), sink, orm_class)
    sink.execute("COMMIT")
    whole = {name for name, is_whole in (read or {}).items() if is_whole}
    log = judgements_table(orm_class).name
    return whole if read is None or log in read else whole | {log}  # older versions made none


def _copy_tables(path: Path, sink: sqlite3.Connection, records: str, left_out: str) -> dict[str, bool] | None:
    """Copy the tables of all instruments; says of each whether it was read to its end, None where none is known.

    Text of the `records` that is none stays bytes, by which it is known.
    """
    read: dict[str, bool] = {}
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as source:
        source.text_factory = _as_text
        try:
            asked = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND rootpage > 0 ORDER BY rowid"
            with only_errors_of_sqlite():
                found = source.execute(asked).fetchall()
        except sqlite3.Error:
            return None
        of_store = {name for name, _ in found if name == VERSIONS.name or "_calibrations" in name}
        of_store |= {name for name, _ in found if name.endswith("_verified_files")}
        for name, sql in found:
            if name in of_store and name != left_out:
                source.text_factory = text_or_bytes if name == records else _as_text
                read[name] = _is_made(sink, sql) and _copy_rows(source, sink, name)
    return read


def _as_text(text: bytes) -> str:
    return text.decode(errors="replace")


def _is_made(sink: sqlite3.Connection, sql: str) -> bool:
    """Make a table; false where its declaration is spoilt."""
    try:
        with only_errors_of_sqlite():
            sink.execute(sql)
    except sqlite3.Error as error:
        if not is_damage(error) and error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        return False
    return True


def _copy_rows(source: sqlite3.Connection, sink: sqlite3.Connection, name: str) -> bool:
    width = len(sink.execute(f"PRAGMA table_info({quote(name)})").fetchall())
    into = f"INSERT OR IGNORE INTO {quote(name)} VALUES ({', '.join('?' * width)})"  # noqa: S608
    try:
        with only_errors_of_sqlite():
            sink.executemany(into, source.execute(f"SELECT * FROM {quote(name)} NOT INDEXED"))  # noqa: S608
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return False
    return True


def _content(path: Path, copy: Path) -> bytes:
    """Give the bytes of a database.

    Another process copies it: to close it here would drop the locks that SQLite holds on it in this process.
    """
    done = subprocess.run(["cp", "--", str(path), str(copy)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode:
        raise CacheError(f"{path} cannot be read: {done.stderr.strip()}.", "Check that its disk works.", path=path)
    try:
        return copy.read_bytes()
    finally:
        copy.unlink()


def _copy_from_pages(content: bytes, sink: sqlite3.Connection, orm_class: type[ORMCalibration]) -> None:
    """Add the rows in the pages that are the instrument's by their looks."""
    wanted_schema(orm_class)  # which declares all tables
    made = {table.name: table for table in tables_to_make(orm_class.metadata)}
    rows = list(rows_in(content))
    feed = quote(feed_table(orm_class).name)
    looks: list[tuple[str, Callable[[Row], bool]]] = [
        (feed_table(orm_class).name, _is_entry),
        (judgements_table(orm_class).name, _is_judgement),
        (signatures_table(orm_class).name, _is_verified),
        (orm_class.table().name, _is_record),
    ]
    for name, is_one in looks:
        if not sink.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone():
            sink.execute(str(CreateTable(made[name]).compile(dialect=dialect())))
        columns = sink.execute(f"PRAGMA table_info({quote(name)})").fetchall()
        found = [row for row in (_named(columns, *each) for each in rows) if row and is_one(row)]
        if name == orm_class.table().name:
            found = _newest(row for row in found if row["id"] not in _ids(sink, withdrawn(feed)))
        _insert(sink, name, [column[1] for column in columns], found)


def _named(columns: Sequence[Sequence[Any]], number: int, values: list[Any]) -> Row | None:
    """Give a row by a table's columns; one that is older than the last columns has fewer. None where it has more."""
    if len(values) > len(columns):
        return None
    row = dict.fromkeys(column[1] for column in columns) | dict(zip((c[1] for c in columns), values, strict=False))
    for _, name, kind, _, _, key in columns:
        if key and kind.upper() == "INTEGER":
            row[name] = number
    return row


def _ids(sink: sqlite3.Connection, sql: str) -> set[str]:
    return {identifier for (identifier,) in sink.execute(sql)}


def _newest(rows: Iterable[Row]) -> list[Row]:
    """Give of rows of one id the one that was changed last."""
    return list({row["id"]: row for row in sorted(rows, key=lambda row: str(row.get("last_updated") or ""))}.values())


def _insert(sink: sqlite3.Connection, name: str, columns: list[str], rows: list[Row]) -> None:
    places = ", ".join(map(quote, columns))
    into = f"INSERT OR IGNORE INTO {quote(name)} ({places}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
    sink.executemany(into, [[row[column] for column in columns] for row in rows])


def _is_record(row: Row) -> bool:
    is_text = all(isinstance(row.get(name), str) and row[name] for name in ("id", "filename", "cal_type"))
    is_known = row.get("origin") in ORIGIN_WORDS and isinstance(row.get("quality"), str)
    return is_text and is_known and bool(_VERSION.fullmatch(str(row.get("cal_version"))))


def _is_entry(row: Row) -> bool:
    return row.get("op") in _OPERATIONS and isinstance(row.get("at"), str) and len(str(row.get("token"))) == 32


def _is_judgement(row: Row) -> bool:
    is_text = all(isinstance(row.get(name), str) and row[name] for name in ("id", "filename", "who", "why"))
    return is_text and row.get("quality") in {*QUALITIES, None} and bool(_TIME.fullmatch(str(row.get("at"))))


def _is_verified(row: Row) -> bool:
    numbers = all(isinstance(row.get(name), int) for name in ("size", "mtime_ns", "inode"))
    return numbers and isinstance(row.get("checksum"), str) and row.get("origin") in ORIGIN_WORDS
