"""Publishing: LOCAL records go to the remote, and judgements of quality.

What the remote then holds is read back and replaces the LOCAL rows; a publisher that is killed between the two
publishes again, finds its records there, and only replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from ..database.chunks import in_chunks
from ..database.feed import judgements_made_here, note_flag
from ..database.flags import this_user
from ..database.local import LocalDatabase
from ..database.row_forms import check_row
from ..display import Report
from ..exceptions import CalibrationNotFoundError, warn
from ..instrument.orm import ORMCalibration
from .bookmark import Superseded
from .local_copy import LocalCopy, holds_nothing, open_copy
from .protocol import Batch, Found, Here, Holds, Remote, Upload, Values

#: Gets old and new name of a file whose name changes, and makes the file stand under the new one too.
Place = Callable[[str, str], None]


@dataclass(frozen=True, repr=False)
class PublishResult(Report):
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
    new : list of str
        File names here of the records that the remote did not have.
    """

    published: int
    unchanged: int
    renamed: Mapping[str, str] = field(default_factory=dict)
    not_uploaded: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list, compare=False)


def publish(
    local: LocalDatabase[Any],
    remote: Remote[Any],
    ids: Iterable[str] | None = None,
    *,
    upload: Upload | None = None,
    place: Place | None = None,
    holds: Holds = holds_nothing,
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
    holds : callable
        Whether the file of a name here has a checksum.

    Raises
    ------
    CalibrationNotFoundError
        When there is no record of an id.
    DuplicateCalibrationError
        When an id or a name is taken there by other content; then nothing is published.
    HeaderError
        When a record is not in form.
    RemoteUnavailableError, RemoteError, SchemaMismatchError
        When the server does not answer, refuses, or has no such table; then nothing is published.
    """
    chosen = _local_rows(local, ids)
    records = [row for row in chosen if row["origin"] == "LOCAL"]
    if not records:
        return PublishResult(0, len(chosen))
    for row in records:
        check_row(local.orm_class, row)
    with local.connect() as connection:
        judgements = judgements_made_here(connection, local.orm_class, [row["id"] for row in records])
    settled = remote.publish(records, judgements, upload, _here(local, holds), this_user())
    new = [own["filename"] for own, each in zip(records, settled, strict=True) if each.is_new]
    names = {each.row["id"]: (own["id"], own["filename"]) for own, each in zip(records, settled, strict=True)}
    return PublishResult(len(new), len(chosen) - len(new), _take_back(local, remote, names, place), new=new)


def foreseen(
    local: LocalDatabase[Any], remote: Remote[Any], ids: Iterable[str] | None = None, *, holds: Holds = holds_nothing
) -> PublishResult:
    """Tell what `publish` would do now, and raise what it would; others may publish before it is done."""
    chosen = _local_rows(local, ids)
    records = [row for row in chosen if row["origin"] == "LOCAL"]
    if not records:
        return PublishResult(0, len(chosen))
    for row in records:
        check_row(local.orm_class, row)
    names = [
        (own["filename"], row["filename"], is_new)
        for own, (row, is_new) in zip(records, remote.plan(records, _here(local, holds)), strict=True)
    ]
    new = [own for own, _, is_new in names if is_new]
    renamed = {own: there for own, there, _ in names if own != there}
    return PublishResult(len(new), len(chosen) - len(new), renamed, new=new)


def _here(local: LocalDatabase[Any], holds: Holds) -> Here:
    return Here(lambda name: bool(local.count(filename=name)), holds)


def held(remote: Remote[Any], orm_class: type[ORMCalibration], ids: Iterable[str]) -> set[str]:
    """Give those ids that the remote has."""
    position = orm_class.column_names().index("id")
    found: set[str] = set()
    with remote.connected() as source:
        for some in in_chunks(list(ids)):
            batch = source.lookup(some, None, None).batch
            found.update(row[position] for row in batch.rows)
            found.update(str(values["id"]) for values in batch.odd)
    return found


def flag(local: LocalDatabase[Any], remote: Remote[Any], id: str, quality: str, reason: str, who: str) -> None:
    """Set the quality of a REMOTE record, there and here; both sides keep who did it and why.

    Raises
    ------
    CalibrationNotFoundError
        When the remote has no such record.
    RemoteUnavailableError, RemoteError, SchemaMismatchError
        As in `publish`; then nothing changes.
    """
    entries = remote.flag(id, quality, reason, who)
    _take_back(local, remote, {id: (id, None)}, None, is_told=bool(entries))
    if not entries:
        warn(f"The feed of {remote.name} is missing or off, so the reason is kept here alone.", UserWarning)
        with local.begin() as connection:
            note_flag(connection, local.orm_class, id, quality, reason, who)


def settle(local: LocalDatabase[Any], holds: Holds) -> None:
    """Take in rows that were kept apart, where nothing here stands in their way any more."""
    with open_copy(local, holds) as copy:
        while True:
            copy.load()
            try:
                copy.settle()
            except Superseded:
                continue
            return


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
    *,
    is_told: bool = True,
) -> dict[str, str]:
    """Replace LOCAL rows by what the remote holds, and keep what its feed tells of them.

    Parameters
    ----------
    local, remote
    names : mapping
        Id and file name here, by the id there.
    place : callable or None
    is_told : bool
        Whether the remote's feed tells of the rows, where it has one.

    Returns
    -------
    dict
        File names that are others there: old to new.
    """
    renamed: dict[str, str] = {}
    with open_copy(local) as copy, remote.connected(copy.others) as source:
        for some in in_chunks(names):
            is_taken = False
            while not is_taken:
                known = copy.load()  # before the rows are read: a sync meanwhile may bring newer ones
                found = source.lookup(some, known.bookmark, known.seen)
                batch, there = found.batch, found.state
                if there.behind is not None:  # a later sync brings what this standby lacks
                    break
                held = copy.names_of(batch)
                for identifier, new in held.items():
                    old = names[identifier][1]
                    if old is not None and old not in (new, *renamed):
                        renamed[old] = new
                        if place is not None:
                            place(old, new)
                seen = there.bookmark if there.continues or known.bookmark is None else known.seen
                told = found if is_told else None
                is_taken = _replace(copy, [names[identifier][0] for identifier in held], batch, told, seen)
    return renamed


def _replace(copy: LocalCopy, ids: Sequence[str], batch: Batch, told: Found | None, seen: str | None) -> bool:
    """Take in rows and what is told of them; whether nobody else wrote to the copy meanwhile."""
    try:
        if told is None or not told.entries:
            with copy.transaction(seen=seen):
                copy.replace(ids, batch, is_told=False)
        else:
            with copy.following(seen=seen):
                copy.record(told)
                copy.replace(ids, batch, is_told=True)
    except Superseded:
        return False
    return True
