"""Which cached files are known to have their records' content.

Hashing half a gigabyte at each use would take a third of a second. The database keeps, for each file that was hashed,
its size, time of change and inode; while they stay the same, so does the content.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Select, String, Table, bindparam, select
from sqlalchemy.dialects.sqlite import Insert, insert

from ..disk.checksums import Signature
from ..instrument.orm import ORMCalibration


@lru_cache(maxsize=64)
def signatures_table(orm_class: type[ORMCalibration]) -> Table:
    """Table of an instrument's verified files: name, signature, the checksum that was found, the record's origin.

    A file of a shared cache stands there under its full path. The row of a withdrawn record stays: by it, pruning
    knows its file for one that came from the archive.
    """
    return Table(
        f"{orm_class.instrument_name}_verified_files",
        orm_class.metadata,
        Column("filename", String, primary_key=True),
        Column("checksum", String, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("mtime_ns", BigInteger, nullable=False),
        Column("inode", BigInteger, nullable=False),
        Column("origin", String, nullable=False),
        keep_existing=True,
    )


class Verified(NamedTuple):
    """A file that has its record's content, known by a key: its name, or its full path where it is a shared one."""

    key: str
    record: ORMCalibration
    signature: Signature


def remember_signatures(connection: Connection, orm_class: type[ORMCalibration], verified: Iterable[Verified]) -> None:
    """Note that the files of these signatures have their records' content, in one bulk statement."""
    rows = [
        {"filename": key, "checksum": record.checksum or "", "origin": record.origin, **signature._asdict()}
        for key, record, signature in verified
    ]
    if rows:
        connection.execute(_remembering(orm_class), rows)


@lru_cache(maxsize=64)
def _remembering(orm_class: type[ORMCalibration]) -> Insert:
    statement = insert(signatures_table(orm_class))
    return statement.on_conflict_do_update(["filename"], set_=dict(statement.excluded))


@lru_cache(maxsize=64)
def known_signature(orm_class: type[ORMCalibration]) -> Select[tuple[str, int, int, int]]:
    """Give the statement that reads, for a ``filename``, its checksum and signature."""
    columns = signatures_table(orm_class).c
    return select(columns.checksum, columns.size, columns.mtime_ns, columns.inode).where(
        columns.filename == bindparam("filename", None)
    )


@lru_cache(maxsize=64)
def record_and_signature(orm_class: type[ORMCalibration]) -> Select[Any]:
    """Give the statement that reads, for an ``id``, a record's columns, then checksum and signature of its file."""
    table, files = orm_class.table(), signatures_table(orm_class)
    known = (files.c.checksum, files.c.size, files.c.mtime_ns, files.c.inode)
    joined = table.outerjoin(files, files.c.filename == table.c.filename)
    return select(*table.c, *known).select_from(joined).where(table.c.id == bindparam("id", None))
