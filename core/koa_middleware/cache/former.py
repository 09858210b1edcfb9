"""The file of a record as it stood at a time, of what the cache and the archive have now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..database.local import LocalDatabase
from ..exceptions import IntegrityError
from ..instrument.orm import ORMCalibration

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
    records: Mapping[str, R], known: LocalDatabase[R], provide: Callable[[Sequence[R]], Sequence[Any]]
) -> dict[str, Any]:
    """Give the files of former versions, by the records' ids; an error where there is none."""
    served: dict[str, R] = {}
    found: dict[str, Any] = {}
    for id_, record in records.items():
        try:
            served[id_] = as_served(record, known)
        except IntegrityError as error:
            found[id_] = error
    return found | dict(zip(served, provide(list(served.values())), strict=True))
