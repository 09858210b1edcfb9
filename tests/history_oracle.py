"""What a history must tell, from whole states that are kept beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from koa_middleware.database.local import LocalDatabase
from koa_middleware.database.past import PastDatabase

Rows = Mapping[str, Mapping[str, Any]]


def as_of(database: LocalDatabase[Any], moment: str) -> PastDatabase[Any]:
    """Open a database's state at a time, without an archive."""
    return PastDatabase(database, moment, has_archive=False)


def shifted(moment: str, microseconds: int) -> str:
    """Give the time so many microseconds later."""
    return (datetime.fromisoformat(moment) + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")


class States:
    """The states of a table of records, each with its judgements, from the times on from which they held."""

    def __init__(self) -> None:
        self._held: list[tuple[str, Rows, Mapping[str, str]]] = []

    def note(self, since: str, rows: Rows, judged: Mapping[str, str]) -> None:
        """Keep a state, which must be a later one than those before."""
        assert not self._held or since > self._held[-1][0]
        self._held.append((since, deepcopy(dict(rows)), dict(judged)))

    def at(self, moment: str) -> tuple[Rows, Mapping[str, str]]:
        """Give the records by their ids as they stood at a time, and the qualities that were judged here."""
        return next((rows, judged) for since, rows, judged in reversed(self._held) if since <= moment)

    def moments(self) -> Iterator[str]:
        """Give times to ask for: when each state began, just before it ended, and amid it."""
        for (since, *_), (until, *_) in pairwise(self._held):
            last = shifted(until, -1)
            span = datetime.fromisoformat(last) - datetime.fromisoformat(since)
            yield from dict.fromkeys((since, shifted(since, span // timedelta(microseconds=2)), last))
        yield self._held[-1][0]


def best(rows: Rows, judged: Mapping[str, str], cal_type: str, match: Mapping[str, Any], mjd: float) -> str | None:
    """Give the id of the record that is nearest in time among those that fit; None where none does."""
    fit = [
        row
        for id_, row in rows.items()
        if row["cal_type"] == cal_type
        and all(row[name] == value for name, value in match.items())
        and judged.get(id_, row["quality"]) != "BAD"
        and row["mjd_start"] is not None
    ]
    return min((_order(row, mjd) for row in fit), default=(None,))[-1]


def _order(row: Mapping[str, Any], mjd: float) -> tuple[Any, ...]:
    day = 86_400_000
    time = round(row["mjd_start"] * day)
    return abs(time - round(mjd * day)), time, -int(row["cal_version"]), row["id"]


def same(found: Iterable[Any], rows: Rows) -> bool:
    """Whether records are those of a state, each with all its values."""
    return {record.id: record.to_dict() for record in found} == {id_: dict(row) for id_, row in rows.items()}
