"""Publishing and judging over HTTP: what is sent has a key, so that it counts once when it is sent twice."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...database.feed import Judgement
from ...exceptions import RemoteUnavailableError
from ..protocol import Entry, Here, Settled, Upload, Values
from ..rows import clash
from .asking import Refused
from .problems import CHANGED
from .wire import entries_of, mark_of, scalar_default

if TYPE_CHECKING:
    from .remote import HttpRemote

#: Times that a publication is planned, since others publish meanwhile.
_PLANS = 20

#: Columns that the archive fills itself.
_THEIRS = ("origin", "last_updated")

_KEY = "Idempotency-Key"


def publish(
    remote: HttpRemote[Any],
    rows: Sequence[Values],
    judgements: Mapping[str, Sequence[Judgement]],
    upload: Upload | None,
    here: Here,
) -> list[Settled]:
    """Take records in; see `koa_middleware.remote.protocol.Remote.publish`."""
    sent = _sent(remote, rows)
    sent["judgements"] = {id_: [each._asdict() for each in made] for id_, made in judgements.items()}
    for _ in range(_PLANS):
        new = [(own, row) for own, (row, is_new) in zip(rows, _plan(remote, sent, rows, here), strict=True) if is_new]
        for own, row in new:
            if row["filename"] != own["filename"] and here.is_taken(row["filename"]):
                raise clash(row, row)
        remote.files.brought.clear()
        if upload is not None:
            upload([(own["filename"], row) for own, row in new])
        sent["planned"] = {
            row["id"]: {"filename": row["filename"], "cal_version": row["cal_version"]} for _, row in new
        }
        sent["files"] = remote.files.brought
        try:
            return _send(remote, sent, rows)
        except Refused as refused:
            if refused.kind != CHANGED:
                raise remote.asking.unexpected(refused) from None
    raise RemoteUnavailableError(
        f"Others publish to {remote.name} all the time, so no plan has held.",
        "Publish again later; nothing was published.",
        host=remote.host,
    )


def plan(remote: HttpRemote[Any], rows: Sequence[Values], here: Here) -> list[Settled]:
    """Tell what a publication would give; see `koa_middleware.remote.protocol.Remote.plan`."""
    return _plan(remote, _sent(remote, rows), rows, here)


def flag(remote: HttpRemote[Any], id: str, quality: str, reason: str) -> list[Entry]:
    """Set a record's quality; see `koa_middleware.remote.protocol.Remote.flag`."""
    path = f"records/{quote(id, safe='')}/judgements"
    found = _post(remote, path, {"quality": quality, "reason": reason}, {_KEY: uuid.uuid4().hex})
    with remote.asking.understanding():
        remote.wrote(mark_of(found["newest"]))
        return entries_of(found["entries"])


def _sent(remote: HttpRemote[Any], rows: Sequence[Values]) -> dict[str, Any]:
    """Give the rows as they are sent, with what a server of another version has to know of the columns."""
    columns = [column for column in remote.orm_class.table().c if column.key not in _THEIRS]
    return {
        "rows": [{column.key: row[column.key] for column in columns} for row in rows],
        "renamed_from": {c.key: list(c.info["renamed_from"]) for c in columns if c.info.get("renamed_from")},
        "defaults": {column.key: scalar_default(column) for column in columns},
        "answers": [],
    }


def _plan(remote: HttpRemote[Any], sent: dict[str, Any], rows: Sequence[Values], here: Here) -> list[Settled]:
    """Ask what a publication would give, and answer what the server asks; the answers stay in `sent`."""
    asked = [name for name in sent if name not in ("judgements", "planned", "files")]
    while True:
        found = _post(remote, "publications/plan", {name: sent[name] for name in asked})
        with remote.asking.understanding():
            questions = [(str(each["filename"]), str(each["checksum"])) for each in found["asked"]]
            if not questions:
                return _settled(found, rows)
        sent["answers"] += [
            {"filename": filename, "checksum": checksum, "holds": here.holds(filename, checksum)}
            for filename, checksum in dict.fromkeys(questions)
        ]


def _send(remote: HttpRemote[Any], sent: Mapping[str, Any], rows: Sequence[Values]) -> list[Settled]:
    """Publish as planned.

    Raises
    ------
    Refused
        Where the plan does not hold any more.
    """
    try:
        found = remote.asking.post("publications", sent, headers={_KEY: uuid.uuid4().hex}).body
    except RemoteUnavailableError as error:
        error.hint = f"{error.hint} The records may have been published; publish again, which doubles nothing."
        raise
    with remote.asking.understanding():
        remote.wrote(mark_of(found["newest"]))
        return _settled(found, rows)


def _post(remote: HttpRemote[Any], path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
    try:
        return remote.asking.post(path, body, headers=headers).body
    except Refused as refused:
        raise remote.asking.unexpected(refused) from None


def _settled(found: Mapping[str, Any], rows: Sequence[Values]) -> list[Settled]:
    names = ("id", "filename", "cal_version")
    return [
        Settled({**own, "origin": "REMOTE", **{name: str(each[name]) for name in names}}, bool(each["is_new"]))
        for own, each in zip(rows, found["rows"], strict=True)
    ]
