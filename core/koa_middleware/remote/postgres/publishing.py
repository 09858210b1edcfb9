"""Publishing to a PostgreSQL archive: records and judgements.

All publishers of a table take one lock of the server for the length of their transaction, so that each sees the
versions that the one before gave. The lock of the feed is taken by the commit, and nobody waits for it long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Table, func, insert, select, text, update

from ...database.chunks import in_chunks
from ...database.feed import Judgement, unsent
from ...exceptions import HeaderError, RemoteError, UnsafeFilenameError
from ...instrument.detached import record_builder
from ...instrument.hooks import filename_of
from ...instrument.orm import ORMCalibration, family_of
from ...instrument.values import default_value, normal_form
from ..protocol import Here, Settled, Upload, Values
from ..rows import clash, is_same_content, source_of
from .checks import unfit_values
from .database import RemoteDatabase
from .identifiers import feed_name, quote
from .schema import READ_COMMITTED
from .table import has_feed
from .there import check_nothing_lost, table_there

#: Seconds that a writer waits for another one, which commits in the meantime; but publishers queue without end.
LONGEST_WAIT = 60.0


@contextmanager
def writing(database: RemoteDatabase[Any], who: str, why: str = "", *, queued: bool = False) -> Iterator[Connection]:
    """Give a transaction whose entries in the feed say who wrote and why; committed at the end.

    Parameters
    ----------
    database : RemoteDatabase
    who, why : str
        Of all that the transaction does.
    queued : bool
        Whether to wait first until no other publisher is at work, however long that takes.

    Raises
    ------
    RemoteUnavailableError
        When another transaction keeps the feed or a row locked for longer than `LONGEST_WAIT`.
    """
    engine = database.engine.execution_options(**READ_COMMITTED)
    with database.translated_errors(), engine.begin() as connection:
        if queued:
            connection.execute(
                text("SELECT pg_advisory_xact_lock(CAST(CAST(:name AS regclass) AS oid)::bigint)"),
                {"name": quote(database.orm_class.table().name)},
            )
        connection.execute(select(func.set_config("lock_timeout", f"{LONGEST_WAIT}s", True)))
        _say(connection, who, why)
        yield connection


class Settling(NamedTuple):
    """What records would be in an archive.

    Attributes
    ----------
    table : sqlalchemy.Table
        As the archive has it.
    settled : list of Settled
    """

    table: Table
    settled: list[Settled]


def settle(
    connection: Connection, orm_class: type[ORMCalibration], records: Sequence[Values], here: Here, host: str
) -> Settling:
    """Find out which records are there already, and give the others their versions and names.

    Raises
    ------
    DuplicateCalibrationError
    SchemaMismatchError
        When the archive lacks a column for a value.
    """
    table = table_there(connection, orm_class.table())
    check_nothing_lost(orm_class.table(), table, records, host)
    there = _There(connection, orm_class, table, records, here)
    return Settling(table, [there.settle(row) for row in records])


def take_in(
    connection: Connection,
    orm_class: type[ORMCalibration],
    records: Sequence[Values],
    upload: Upload | None,
    here: Here,
    host: str,
) -> list[Settled]:
    """Settle and insert records in a queued transaction; see `koa_middleware.remote.protocol.Remote.publish`."""
    table, settled = settle(connection, orm_class, records, here, host)
    if upload is not None:
        upload([(own["filename"], row) for own, (row, is_new) in zip(records, settled, strict=True) if is_new])
    for rows in in_chunks([row for row, is_new in settled if is_new]):
        connection.execute(insert(table), [{column.key: row[column.key] for column in table.c} for row in rows])
    return settled


def rows_there(connection: Connection, orm_class: type[ORMCalibration], ids: Sequence[str]) -> list[Values]:
    """Give the rows of some ids, as far as the archive has them, as they stand there."""
    table = table_there(connection, orm_class.table())
    columns = [column.label(column.key) for column in table.c]
    rows: list[Values] = []
    for some in in_chunks(ids):
        rows += map(dict, connection.execute(select(*columns).where(table.c.id.in_(some))).mappings())
    return rows


def judge(connection: Connection, orm_class: type[ORMCalibration], id: str, quality: str) -> bool:
    """Set a record's quality; whether there is such a record.

    A row from before the server's checks, which refuse any change that leaves it as it is, is mended with it.
    """
    table = orm_class.table()
    values = {**_mended(connection, table, id), "quality": quality}
    return bool(connection.execute(update(table).where(table.c.id == id).values(values)).rowcount)


def send_judgements(
    connection: Connection, orm_class: type[ORMCalibration], judgements: Mapping[str, Sequence[Judgement]]
) -> None:
    """Make the judgements that the feed lacks, each with its who and why, at the end of a transaction."""
    table = orm_class.table()
    if not any(judgements.values()) or not has_feed(connection, table):
        return
    connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")  # what came before has another who and why
    judged = "id = :id AND op = 'flagged' AND why IS NOT NULL"
    there = text(f"SELECT quality, who, why FROM {quote(feed_name(table))} WHERE {judged} ORDER BY n")
    for id_, made in judgements.items():
        known = [tuple(said) for said in connection.execute(there, {"id": id_})] if made else []
        for said in unsent(made, known):
            _say(connection, said.who or "", said.why or "")
            judge(connection, orm_class, id_, said.quality)


def _say(connection: Connection, who: str, why: str) -> None:
    settings = {"koa.who": who, "koa.why": why}
    connection.execute(select(*(func.set_config(name, value, True) for name, value in settings.items())))


def _mended(connection: Connection, table: Table, id: str) -> Values:
    """Bring what stands against the server's checks into form."""
    mended: Values = {}
    for column, value in unfit_values(connection, table, id):
        if column.key == "quality":
            continue
        empty = "REMOTE" if column.key == "origin" else default_value(column)
        try:
            mended[column.key] = normal_form(column, value, f"the archive's row {id}") or empty
        except HeaderError as error:
            raise RemoteError(
                f"The record {id} cannot be flagged: {error.message}",
                f"Nothing was changed; the archive's owner corrects the {column.key} there first.",
            ) from error
    return mended


class _There:
    """What the remote holds of the ids, names and version families of some records."""

    def __init__(
        self,
        connection: Connection,
        orm_class: type[ORMCalibration],
        table: Table,
        records: Sequence[Values],
        here: Here,
    ) -> None:
        columns = table.c
        self._orm_class = orm_class
        self._connection = connection
        self._columns = [column.label(column.key) for column in columns]
        self._filename = columns.filename
        self._here = here
        self._build = record_builder(orm_class)
        self._by_id: dict[str, Values] = {}
        self._by_name: dict[str, Values] = {}
        self._versions: dict[tuple[Any, ...], set[int]] = {}
        for column in (columns.id, columns.filename, columns.datetime_obs):
            self._read(column, [record[column.key] for record in records])

    def _read(self, column: Column[Any], values: Sequence[Any]) -> None:
        for some in in_chunks(values):
            statement = select(*self._columns).where(column.in_(some))
            for row in self._connection.execute(statement).mappings():
                self._add({**dict.fromkeys(self._orm_class.column_names()), **row})

    def _add(self, row: Values) -> None:
        try:
            known = self._orm_class.in_form(row, source_of(row))
            self._versions.setdefault(self._family(known), set()).add(int(known["cal_version"]))
        except (HeaderError, UnsafeFilenameError):  # a row that is not in form has no version
            known = row
        self._by_id[row["id"]] = self._by_name[row["filename"]] = known

    def _family(self, row: Values) -> tuple[Any, ...]:
        return tuple(family_of(self._orm_class, {**row, "origin": "REMOTE"}).values())

    def _is_same(self, own: Values, known: Values) -> bool:
        return is_same_content(own["filename"], own["checksum"], known["checksum"], self._here.holds)

    def settle(self, own: Values) -> Settled:
        """Give the row as it stands or will stand there, and whether it is new."""
        known = self._by_id.get(own["id"])
        if known is not None:
            if not self._is_same(own, known):
                raise clash(own, known)
            return Settled(known, False)
        known = self._by_name.get(own["filename"])
        if known is not None and own["checksum"] is not None and self._is_same(own, known):
            return Settled(known, False)
        row = {**own, "origin": "REMOTE"}
        versions = self._versions.get(self._family(row), set())
        if int(row["cal_version"]) in versions:
            row["cal_version"] = f"{max(versions) + 1:03d}"
        if row["cal_version"] != own["cal_version"] or known is not None:
            row["filename"] = filename_of(self._build(list(row.values())))
            self._read(self._filename, [row["filename"]])
            if row["filename"] in self._by_name or len(row["cal_version"]) > 3 or self._here.is_taken(row["filename"]):
                raise clash(row, self._by_name.get(row["filename"], row))
        self._add(row)
        return Settled(row, True)
