"""Which cached files are known to have their records' content.

Hashing half a gigabyte at each use would take a third of a second. The database keeps, for each file that was hashed,
its size, time of change and inode; while they stay the same, so does the content.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from sqlalchemy import BigInteger, Column, Connection, Select, String, Table, bindparam, select
from sqlalchemy.dialects.sqlite import Insert, insert

from ..disk.checksums import Signature
from ..instrument.orm import ORMCalibration


def signatures_table(orm_class: type[ORMCalibration]) -> Table:
    """Table of an instrument's verified files: name, signature, the checksum that was found, the record's origin.

    A file of a shared cache stands there under its full path. The row of a withdrawn record stays: by it, pruning
    knows its file for one that came from the archive.
    """
    name = f"{orm_class.instrument_name}_verified_files"
    known = orm_class.metadata.tables.get(name)
    if known is not None:
        return known
    return Table(
        name,
        orm_class.metadata,
        Column("filename", String, primary_key=True),
        Column("checksum", String, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("mtime_ns", BigInteger, nullable=False),
        Column("inode", BigInteger, nullable=False),
        Column("origin", String, nullable=False),
    )


def remember_signature(
    connection: Connection,
    orm_class: type[ORMCalibration],
    record: ORMCalibration,
    signature: Signature,
    key: str | None = None,
) -> None:
    """Note that the file of this signature has the record's content; `key` is its path where it is a shared one."""
    remember_signatures(connection, orm_class, [(record, signature)], key)


def remember_signatures(
    connection: Connection,
    orm_class: type[ORMCalibration],
    found: Iterable[tuple[ORMCalibration, Signature]],
    key: str | None = None,
) -> None:
    """Note the same of many files, in one bulk statement."""
    rows = [
        {
            "filename": key or record.filename,
            "checksum": record.checksum or "",
            "origin": record.origin,
            **signature._asdict(),
        }
        for record, signature in found
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
