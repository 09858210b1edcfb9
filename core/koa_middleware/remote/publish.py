"""The other way: LOCAL records to the remote, and judgements of quality there.

All publishers of a table take one lock of the server for the length of their transaction, so that each sees the
versions that the one before gave. What the server then holds is read back and replaces the LOCAL rows; a publisher
that is killed between the two publishes again, finds its records there, and only replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, Engine, func, insert, select, text, update

from ..exceptions import CalibrationNotFoundError, DuplicateCalibrationError
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration
from .local_copy import LocalCopy, Superseded, open_copy
from .postgres.errors import host_of, remote_errors
from .postgres.schema import quote
from .postgres.table import open_remote
from .protocol import Batch

_CHUNK = 5000

Values = dict[str, Any]


@dataclass(frozen=True)
class PublishResult:
    """What a publication did.

    Attributes
    ----------
    published : int
        Records that the remote did not have.
    unchanged : int
        Records that were there already.
    renamed : mapping
        File names that the server's version changed, old to new.
    """

    published: int
    unchanged: int
    renamed: Mapping[str, str] = field(default_factory=dict)


def publish(
    local: Engine,
    remote: Engine,
    orm_class: type[ORMCalibration],
    ids: Iterable[str] | None = None,
    *,
    upload: Callable[[Sequence[tuple[str, Values]]], None] | None = None,
    place: Callable[[str, str], None] | None = None,
) -> PublishResult:
    """Send records to the remote, all in one transaction; running it twice changes nothing.

    Parameters
    ----------
    local, remote : sqlalchemy.Engine
        The remote one of a role that may insert.
    orm_class : type
    ids : iterable of str, optional
        Which records; else all LOCAL ones.
    upload : callable, optional
        Gets ``(local file name, row as it will stand there)`` of all new records before they are committed.
    place : callable, optional
        Gets old and new name of a file whose name changes, and makes the file stand under the new one too.

    Raises
    ------
    DuplicateCalibrationError
        When an id or a name is taken there by other content; then nothing is published.
    RemoteUnavailableError, RemoteError, SchemaMismatchError
        When the server does not answer, refuses, or has no such table; then nothing is published.
    """
    chosen = _local_rows(local, orm_class, ids)
    records = [row for row in chosen if row["origin"] == "LOCAL"]
    if not records:
        return PublishResult(0, len(chosen))
    with remote_errors(remote, orm_class.table()), remote.begin() as connection:
        connection.execute(
            text("SELECT pg_advisory_xact_lock(CAST(CAST(:name AS regclass) AS oid)::bigint)"),
            {"name": quote(orm_class.table().name)},
        )
        there = _There(connection, orm_class, records, host_of(remote))
        settled = [there.settle(row, lambda name: _is_taken_here(local, orm_class, name)) for row in records]
        new = [row for row, is_new in settled if is_new]
        if upload is not None:
            upload([(own["filename"], row) for own, (row, is_new) in zip(records, settled, strict=True) if is_new])
        for rows in _chunks(new):
            connection.execute(insert(orm_class.table()), list(rows))
    names = {own["id"]: (row["id"], own["filename"]) for own, (row, _) in zip(records, settled, strict=True)}
    renamed = _take_back(local, remote, orm_class, names, place)
    return PublishResult(len(new), len(chosen) - len(new), renamed)


def flag_remote(
    local: Engine, remote: Engine, orm_class: type[ORMCalibration], id: str, quality: str, reason: str, who: str
) -> None:
    """Set the quality of a REMOTE record, there and here; the server keeps who did it and why.

    Raises
    ------
    CalibrationNotFoundError
        When the remote has no such record.
    RemoteUnavailableError, RemoteError, SchemaMismatchError
        As in `publish`; then nothing changes.
    """
    table = orm_class.table()
    with remote_errors(remote, table), remote.begin() as connection:
        for name, value in (("koa.reason", reason), ("koa.flagged_by", who)):
            connection.execute(select(func.set_config(name, value, True)))
        changed = connection.execute(update(table).where(table.c.id == id).values(quality=quality)).rowcount
    if not changed:
        raise CalibrationNotFoundError(
            f"The remote database at {host_of(remote)} has no record with the id {id!r}.",
            "It was withdrawn there; sync to see what there is.",
            asked={"id": id},
        )
    _take_back(local, remote, orm_class, {id: (id, None)}, None)


class _There:
    """What the remote holds that bears on some records: their ids, names and version families."""

    def __init__(
        self, connection: Connection, orm_class: type[ORMCalibration], records: Sequence[Values], host: str
    ) -> None:
        columns = orm_class.table().c
        self._orm_class = orm_class
        self._connection = connection
        self._host = host
        self._build = record_builder(orm_class)
        self._by_id: dict[str, Values] = {}
        self._by_name: dict[str, Values] = {}
        self._versions: dict[tuple[Any, ...], set[int]] = {}
        for column in (columns.id, columns.filename, columns.datetime_obs):
            self._read(column, [record[column.key] for record in records])

    def _read(self, column: Column[Any], values: Sequence[Any]) -> None:
        for some in _chunks(values):
            statement = select(self._orm_class.table()).where(column.in_(some))
            for row in self._connection.execute(statement).mappings():
                self._add(dict(row))

    def _add(self, row: Values) -> None:
        self._by_id[row["id"]] = self._by_name[row["filename"]] = row
        self._versions.setdefault(self._family(row), set()).add(int(row["cal_version"]))

    def _family(self, row: Values) -> tuple[Any, ...]:
        return tuple(row[name] for name in ("cal_type", "datetime_obs", *self._orm_class.version_family))

    def settle(self, own: Values, is_taken_here: Callable[[str], bool]) -> tuple[Values, bool]:
        """Give the row as it stands or will stand there, and whether it is new."""
        known = self._by_id.get(own["id"])
        if known is not None:
            if known["checksum"] != own["checksum"]:
                raise self._duplicate(own, known)
            return known, False
        known = self._by_name.get(own["filename"])
        if known is not None and own["checksum"] is not None and known["checksum"] == own["checksum"]:
            return known, False
        row = {**own, "origin": "REMOTE"}
        versions = self._versions.get(self._family(row), set())
        if int(row["cal_version"]) in versions:
            row["cal_version"] = f"{max(versions) + 1:03d}"
        if row["cal_version"] != own["cal_version"] or known is not None:
            row["filename"] = self._orm_class.filename_for(self._build(list(row.values())))
            self._read(self._orm_class.table().c.filename, [row["filename"]])
            if row["filename"] in self._by_name or len(row["cal_version"]) > 3 or is_taken_here(row["filename"]):
                raise self._duplicate(row, self._by_name.get(row["filename"], row))
        self._add(row)
        return row, True

    def _duplicate(self, own: Values, known: Values) -> DuplicateCalibrationError:
        return DuplicateCalibrationError(
            f"{own['filename']} (version {own['cal_version']}, id {own['id']}) is taken by other content, "
            f"{known['filename']} with the id {known['id']}, on the remote database at {self._host} or here.",
            "Nothing was published; register that file under another name.",
            filename=own["filename"],
            existing=known["filename"],
            version=own["cal_version"],
        )


def _local_rows(local: Engine, orm_class: type[ORMCalibration], ids: Iterable[str] | None) -> list[Values]:
    table = orm_class.table()
    with local.connect() as connection:
        if ids is None:
            found = connection.execute(select(table).where(table.c.origin == "LOCAL").order_by(table.c.id))
            return [dict(row) for row in found.mappings()]
        wanted = list(ids)
        rows: list[Values] = []
        for some in _chunks(wanted):
            rows += map(dict, connection.execute(select(table).where(table.c.id.in_(some))).mappings())
    missing = set(wanted) - {row["id"] for row in rows}
    if missing:
        raise CalibrationNotFoundError(
            f"No calibration in the local database has the id {min(missing)!r}.",
            "Nothing was published.",
            asked={"id": min(missing)},
        )
    return rows


def _is_taken_here(local: Engine, orm_class: type[ORMCalibration], filename: str) -> bool:
    columns = orm_class.table().c
    with local.connect() as connection:
        return connection.execute(select(columns.id).where(columns.filename == filename)).first() is not None


def _take_back(
    local: Engine,
    remote: Engine,
    orm_class: type[ORMCalibration],
    names: Mapping[str, tuple[str, str | None]],
    place: Callable[[str, str], None] | None,
) -> dict[str, str]:
    """Replace LOCAL rows by what the remote holds; `names` gives remote id and file name here, by id here."""
    table = orm_class.table()
    wanted = {there: (here, filename) for here, (there, filename) in names.items()}
    renamed: dict[str, str] = {}
    with open_remote(remote, table) as source, open_copy(local, orm_class) as copy:
        for some in _chunks(list(wanted)):
            for batch in source.rows_of(some):
                for row in batch.rows:
                    old, new = wanted[row[0]][1], row[1]
                    if old is not None and old != new:
                        renamed[old] = new
                        if place is not None:
                            place(old, new)
                _replace(copy, [wanted[identifier][0] for identifier in copy.ids_of(batch)], batch)
    return renamed


def _replace(copy: LocalCopy, ids: Sequence[str], batch: Batch) -> None:
    while True:
        copy.load()
        try:
            with copy.transaction():
                copy.replace(ids, batch)
        except Superseded:
            continue
        return


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
