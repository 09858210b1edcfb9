"""What happened to calibrations here and in the archive, and what was judged of them here, as evidence of a cause."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from sqlalchemy import select

from ...database.feed import feed_table
from ...database.judgements import judgements_table
from ...database.listed import given, listed
from ...database.local import LocalDatabase
from ...instrument.orm import ORMCalibration

#: What an event is called that is a judgement made here, or its being taken back.
JUDGED = "judged"


class Happened(NamedTuple):
    """An entry of the feed, or a judgement made here: what happened to a calibration.

    Attributes
    ----------
    n : int
        Its number in the feed, or in the log of judgements.
    op, at : str
    who, why : str or None
    archive_n : int or None
        Its number in the archive.
    quality, before : str or None
        The quality from then on, None where a judgement was taken back; and what was said before.
    """

    n: int
    op: str
    at: str
    who: str | None
    why: str | None
    archive_n: int | None = None
    quality: str | None = None
    before: str | None = None

    def __str__(self) -> str:
        return f"{self.when}: {self.why}" if self.why else self.when

    @property
    def when(self) -> str:
        """On which day, and by whom."""
        return f"on {self.at[:10]}{f' by {self.who}' if self.who else ''}"

    def told_of(self, filename: str) -> tuple[str, str] | None:
        """Kind and sentence of what may have changed a choice; None where this can't have."""
        if self.op == "changed":
            return "changed", f"the values of {filename} were changed {self}"
        if self.op not in ("flagged", JUDGED) or self.quality == self.before:
            return None
        if self.op == "flagged":
            return "quality", f"{filename} was flagged {self.quality or ''} {self}".replace("  ", " ")
        if self.quality is None:
            return "quality", f"the judgement {self.before} of {filename} made here was taken back {self}"
        return "quality", f"{filename} was judged {self.quality} here {self}"


def happened(database: LocalDatabase[Any], ids: Iterable[str]) -> dict[str, list[Happened]]:
    """Give what happened to calibrations here, by id, in the order of the feed, then what was judged here."""
    orm_class = cast("type[ORMCalibration]", database.orm_class)
    asked = given(ids)
    feed, log = feed_table(orm_class).c, judgements_table(orm_class).c
    columns = feed.n, feed.op, feed.at, feed.who, feed.why, feed.archive_n, feed.quality
    found: dict[str, list[Happened]] = {}
    for id_, *values in database.rows(select(feed.id, *columns).where(feed.id.in_(listed())).order_by(feed.n), asked):
        entries = found.setdefault(id_, [])
        entries.append(Happened._make([*values, entries[-1].quality if entries else None]))
    said = select(log.id, log.n, log.at, log.who, log.why, log.quality).where(log.id.in_(listed())).order_by(log.n)
    last: dict[str, str | None] = {}
    for id_, n, at, who, why, quality in database.rows(said, asked):
        found.setdefault(id_, []).append(Happened(n, JUDGED, at, who, why, None, quality, last.get(id_)))
        last[id_] = quality
    return found
