"""Which cached files are known to have their records' content, and of which the archive's copy was seen.

Hashing half a gigabyte at each use would take a third of a second. The database keeps, for each file that was hashed,
its size, time of change and inode; while they stay the same, so does the content.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Select,
    String,
    Table,
    and_,
    bindparam,
    case,
    exists,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import Insert, insert

from ..disk.checksums import Signature
from ..instrument.orm import ORMCalibration

_OF_NO_FILE = Signature(-1, 0, 0)


@lru_cache(maxsize=64)
def signatures_table(orm_class: type[ORMCalibration]) -> Table:
    """Table of an instrument's verified files: name, signature, the checksum that was found, and whose the file is.

    `origin` is REMOTE where the archive's copy was seen, by a download or an upload, and LOCAL until then. A file of a
    shared cache stands there under its full path. The row of a withdrawn record stays: by it, pruning knows its file
    for one that the archive had.
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
    """A file that has its record's content.

    Attributes
    ----------
    key : str
        Its name, or its full path where it is a shared one.
    record : record
    signature : Signature
    seen : bool
        Whether the archive's copy was seen, now; what was seen before stays so.
    """

    key: str
    record: ORMCalibration
    signature: Signature
    seen: bool = False


def remember_signatures(connection: Connection, orm_class: type[ORMCalibration], verified: Iterable[Verified]) -> None:
    """Note that the files of these signatures have their records' content, in one bulk statement."""
    rows = [
        {
            "filename": key,
            "checksum": record.checksum or "",
            "origin": "REMOTE" if seen else "LOCAL",
            **signature._asdict(),
        }
        for key, record, signature, seen in verified
    ]
    if rows:
        connection.execute(_remembering(orm_class), rows)


def note_seen(connection: Connection, orm_class: type[ORMCalibration], records: Iterable[ORMCalibration]) -> None:
    """Note that the archive's copies of these records were seen; of the files here it says nothing new."""
    rows = [
        {
            "filename": record.filename,
            "checksum": record.checksum or "",
            "origin": "REMOTE",
            **_OF_NO_FILE._asdict(),
        }
        for record in records
    ]
    if rows:
        connection.execute(_noting(orm_class), rows)


@lru_cache(maxsize=64)
def _noting(orm_class: type[ORMCalibration]) -> Insert:
    known = signatures_table(orm_class).c
    statement = insert(signatures_table(orm_class))
    new = statement.excluded
    same = known.checksum == new.checksum
    kept = {name: case((same, known[name]), else_=new[name]) for name in Signature._fields}
    return statement.on_conflict_do_update(["filename"], set_={"checksum": new.checksum, "origin": new.origin, **kept})


@lru_cache(maxsize=64)
def _remembering(orm_class: type[ORMCalibration]) -> Insert:
    known = signatures_table(orm_class).c
    statement = insert(signatures_table(orm_class))
    new = statement.excluded
    origin = case((known.checksum == new.checksum, func.max(known.origin, new.origin)), else_=new.origin)
    return statement.on_conflict_do_update(["filename"], set_={**dict(new), "origin": origin})


@lru_cache(maxsize=64)
def select_unseen(orm_class: type[ORMCalibration]) -> Select[Any]:
    """Give the statement that selects the REMOTE records whose copy in the archive was not seen."""
    table, files = orm_class.table(), signatures_table(orm_class)
    seen = and_(
        files.c.filename == table.c.filename,
        files.c.checksum == func.coalesce(table.c.checksum, ""),
        files.c.origin == "REMOTE",
    )
    return select(table).where(table.c.origin == "REMOTE", ~exists().where(seen)).order_by(table.c.filename)


def once_here(connection: Connection, orm_class: type[ORMCalibration]) -> set[str]:
    """Give the names of files that were in this cache, and that no pruning has removed since."""
    columns = signatures_table(orm_class).c
    return set(connection.execute(select(columns.filename).where(columns.size >= 0)).scalars())


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
