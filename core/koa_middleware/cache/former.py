"""The file of a record as it stood at a time, taken from what the cache and the archive have now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..database.local import LocalDatabase
from ..exceptions import DownloadError, IntegrityError, KoaMiddlewareError
from ..instrument.orm import ORMCalibration
from .folder import Cache

R = TypeVar("R", bound=ORMCalibration)


def as_served(record: R, known: LocalDatabase[R]) -> R:
    """Give the record under whose name a former version's file is now: its own present one where that has the content.

    Raises
    ------
    IntegrityError
        When the content of its record, or of its file name, is another one now.
    """
    now = known.query(id=record.id)
    if now and record.checksum is not None and now[0].checksum == record.checksum:
        return now[0]
    for holder in [*now, *known.query(filename=record.filename)]:
        if holder.checksum != record.checksum or record.checksum is None:
            raise IntegrityError(
                f"{record.filename} had the content {record.checksum} then, and is {holder.checksum} now.",
                "Ask its author for the former file; koa-cal show --history tells what happened.",
                path=holder.filename,
            )
    return record


def provided_then(
    records: Mapping[str, R],
    known: LocalDatabase[R],
    cache: Cache,
    provide: Callable[[Sequence[R]], Sequence[Any]],
) -> dict[str, Any]:
    """Give the files of former versions, by the records' ids; an error where there is none.

    Parameters
    ----------
    records : mapping
        As they stood at a time, by id.
    known : LocalDatabase
        The present one.
    cache : Cache
        In whose quarantine files of removed records are.
    provide : callable
        Gives the files of records, or errors in their places.
    """
    served: dict[str, R] = {}
    found: dict[str, Any] = {}
    for id_, record in records.items():
        try:
            served[id_] = as_served(record, known)
        except IntegrityError as error:
            found[id_] = error
    found |= zip(served, provide(list(served.values())), strict=True)
    for id_, answer in found.items():
        if isinstance(answer, KoaMiddlewareError):
            found[id_] = _told_of_removal(answer, records[id_], known, cache)
    return found


def _told_of_removal(error: KoaMiddlewareError, record: R, known: LocalDatabase[R], cache: Cache) -> KoaMiddlewareError:
    """Give an error that says when, by whom and why a record was removed; the given error where it was not removed."""
    from ..database.told import history_of
    from .leftovers import last_in_quarantine

    if known.query(id=record.id):
        return error
    removed = [event for event in history_of(known, record.id) if event["what"] == "withdrawn"]
    if not removed:
        return error
    time, who, why = (removed[-1][name] for name in ("time", "who", "why"))
    what = "removed" if record.origin == "LOCAL" else "withdrawn from the archive"
    said = f"{record.filename} was {what} on {time}{f' by {who}' if who else ''}{f': {why}' if why else ''}."
    if record.origin != "LOCAL":
        error.hint = f"{said} {error.hint}"
        return error
    aside = last_in_quarantine(cache, record.filename, record.checksum)
    lies = f"Its file lies in {aside}." if aside else f"Its file is not in {cache.quarantined} either."
    return DownloadError(said, f"{lies} Register the file again to use it now.")
