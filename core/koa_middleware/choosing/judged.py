"""What was said of the quality of calibrations, as far as a database tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from ..instrument.judged import Said
from ..instrument.orm import ORMCalibration

if TYPE_CHECKING:
    from .selector import Database


#: Among the parameters of reasons: what was said last, by id.
SAID = "said"


def qualities_of(records: Iterable[ORMCalibration], db: Database) -> list[str]:
    """Give the qualities of records that count for a database: what was judged here, else what the rows say."""
    asked = getattr(db, "judged_here", None)
    judged: Mapping[str, Said] = {} if asked is None else asked()
    qualities = {id_: said.quality for id_, said in judged.items()}
    return [qualities.get(record.id) or record.quality for record in records]


def last_said_of(db: Database, ids: Iterable[str]) -> Mapping[str, Said]:
    """Give what was said last of the quality of calibrations, by id; a judgement made here comes first."""
    asked = getattr(db, "last_said_of", None)
    return {} if asked is None else cast("Mapping[str, Said]", asked(ids))


def in_words(said: Said | None, quality: str) -> str:
    """Give a quality with who said so, when and why: ``BAD (flagged by jane on 2026-11-02: hot pixels)``."""
    if said is None or (not said.is_here and said.quality != quality):  # a word of SQL, which nobody gave a reason for
        return quality
    what = f"{said.quality} here (judged" if said.is_here else f"{quality} (flagged"
    return f"{what} by {said.who or 'somebody'} on {said.at[:10]}: {said.why or 'no reason given'})"
