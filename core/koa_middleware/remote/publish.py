"""The other way: LOCAL records to the remote, and judgements of quality there.

What the remote then holds is read back and replaces the LOCAL rows; a publisher that is killed between the two
publishes again, finds its records there, and only replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from ..database.flags import note_flag
from ..database.local import LocalDatabase
from ..exceptions import CalibrationNotFoundError
from ..instrument.orm import ORMCalibration
from .bookmark import Superseded
from .chunks import in_chunks
from .local_copy import LocalCopy, open_copy
from .protocol import Batch, Remote, Upload, Values

#: Gets old and new name of a file whose name changes, and makes the file stand under the new one too.
Place = Callable[[str, str], None]


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
    not_uploaded : list of str
        File names of published records whose files the archive was not seen to have.
    """

    published: int
    unchanged: int
    renamed: Mapping[str, str] = field(default_factory=dict)
    not_uploaded: list[str] = field(default_factory=list)


def publish(
    local: LocalDatabase[Any],
    remote: Remote[Any],
    ids: Iterable[str] | None = None,
    *,
    upload: Upload | None = None,
    place: Place | None = None,
) -> PublishResult:
    """Send records to the remote, all or none; running it twice changes nothing.

    Parameters
    ----------
    local : LocalDatabase
    remote : Remote
        Opened by someone who may publish.
    ids : iterable of str, optional
        Which records; else all LOCAL ones.
    upload : callable, optional
        Gets ``(local file name, row as it will stand there)`` of all new records before anyone sees their rows.
    place : callable, optional
        Gets old and new name of a file whose name changes, and makes the file stand under the new one too.

    Raises
    ------
    CalibrationNotFoundError
        When there is no record of an id.
    DuplicateCalibrationError
        When an id or a name is taken there by other content; then nothing is published.
    RemoteUnavailableError, RemoteError, SchemaMismatchError
        When the server does not answer, refuses, or has no such table; then nothing is published.
    """
    chosen = _local_rows(local, ids)
    records = [row for row in chosen if row["origin"] == "LOCAL"]
    if not records:
        return PublishResult(0, len(chosen))
    settled = remote.publish(records, upload, lambda name: bool(local.count(filename=name)))
    new = sum(each.is_new for each in settled)
    names = {each.row["id"]: (own["id"], own["filename"]) for own, each in zip(records, settled, strict=True)}
    return PublishResult(new, len(chosen) - new, _take_back(local, remote, names, place))


def held(remote: Remote[Any], orm_class: type[ORMCalibration], ids: Iterable[str]) -> set[str]:
    """Give those ids that the remote has."""
    position = orm_class.column_names().index("id")
    batches = (batch for some in in_chunks(list(ids)) for batch in remote.rows_of(some))
    return {id_ for batch in batches for id_ in [*(r[position] for r in batch.rows), *(r["id"] for r in batch.odd)]}


def flag(local: LocalDatabase[Any], remote: Remote[Any], id: str, quality: str, reason: str, who: str) -> None:
    """Set the quality of a REMOTE record, there and here; both sides keep who did it and why.

    Raises
    ------
    CalibrationNotFoundError
        When the remote has no such record.
    RemoteUnavailableError, RemoteError, SchemaMismatchError
        As in `publish`; then nothing changes.
    """
    remote.flag(id, quality, reason, who)
    _take_back(local, remote, {id: (id, None)}, None)
    with local.begin() as connection:
        note_flag(connection, local.orm_class, id, quality, reason, who)


def _local_rows(local: LocalDatabase[Any], ids: Iterable[str] | None) -> list[Values]:
    table = local.orm_class.table()
    with local.connect() as connection:
        if ids is None:
            found = connection.execute(select(table).where(table.c.origin == "LOCAL").order_by(table.c.id))
            return [dict(row) for row in found.mappings()]
        wanted = list(ids)
        rows: list[Values] = []
        for some in in_chunks(wanted):
            rows += map(dict, connection.execute(select(table).where(table.c.id.in_(some))).mappings())
    missing = set(wanted) - {row["id"] for row in rows}
    if missing:
        raise CalibrationNotFoundError(
            f"No calibration in {local.name} has the id {min(missing)!r}.",
            "Nothing was published.",
            asked={"id": min(missing)},
        )
    return rows


def _take_back(
    local: LocalDatabase[Any],
    remote: Remote[Any],
    names: Mapping[str, tuple[str, str | None]],
    place: Place | None,
) -> dict[str, str]:
    """Replace LOCAL rows by what the remote holds; `names` gives id and file name here, by the id there."""
    renamed: dict[str, str] = {}
    with open_copy(local) as copy:
        for some in in_chunks(names):
            for batch in remote.rows_of(some):
                held = copy.names_of(batch)
                for there, new in held.items():
                    old = names[there][1]
                    if old is not None and old != new:
                        renamed[old] = new
                        if place is not None:
                            place(old, new)
                _replace(copy, [names[there][0] for there in held], batch)
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
