"""What a bookmark holds: a place in an archive's feed, and what the feed's reader relies on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Self

from sqlalchemy import Column, Table

from ..instrument.orm import DERIVED
from .protocol import Mark


@dataclass(frozen=True)
class Position:
    """A place in an archive's feed.

    Attributes
    ----------
    n : int
        Number of the newest entry up to which all is known; 0 where there is no feed.
    token : str
        Of that entry.
    columns : str
        Digest of both sides' columns.
    cluster : str
        Names the server's cluster.
    made : str
        Changes when a column or trigger of the table is changed, switched or made anew; means something within the
        cluster.
    etag : str
        What an archive over HTTP calls its state at this place, and the digest of the reader's columns, behind a blank;
        empty where it does not say, or where changes may have no entries.
    """

    n: int
    token: str
    columns: str
    cluster: str
    made: str
    etag: str = ""

    @classmethod
    def read(cls, bookmark: str | None) -> Self | None:
        """Read a bookmark; None where it is not ours."""
        try:
            found: Any = json.loads(bookmark or "")
            position = cls(**found)
        except (ValueError, TypeError, RecursionError):
            return None
        texts = (position.token, position.columns, position.cluster, position.made, position.etag)
        is_ours = type(position.n) is int and 0 <= position.n < 1 << 63 and all(type(text) is str for text in texts)
        return position if is_ours else None

    @property
    def bookmark(self) -> str:
        """Give as text; two kinds of server write the same where they serve the same archive."""
        said = asdict(self)
        return json.dumps(said if self.etag else {name: said[name] for name in said if name != "etag"})

    def at(self, mark: Mark) -> Self:
        """Give the place of another entry."""
        return replace(self, n=mark.n, token=mark.token, etag="")

    @property
    def mark(self) -> Mark:
        """Number and token."""
        return Mark(self.n, self.token)


def columns_digest(table: Table, stored: Mapping[str, str], names: Mapping[str, str], otherwise: str = "") -> str:
    """Text that changes when a column of either side does, or the form of its values.

    Two versions of a class have one text where each takes the other's columns along and both make the same of a row.
    What a class fills in by itself, only that class can.

    Parameters
    ----------
    table : sqlalchemy.Table
        Of the reader's class.
    stored : mapping
        The archive's columns and their types.
    names : mapping
        What the class's columns are called there.
    otherwise : str
        What a server's own class makes of the values that this one makes something else of.
    """
    said: list[Any] = [*_own(table), dict(names), dict(stored)]
    said += [otherwise] if otherwise else []
    return _digest(said)


@lru_cache(maxsize=64)
def reader_digest(table: Table) -> str:
    """Text that changes when a column of the reader's class does, or the form of its values."""
    return _digest(_own(table))


def _own(table: Table) -> list[Any]:
    here = {column.name: _form(column) for column in table.c}
    filled = [column.name for column in table.c if column.default is not None and not column.default.is_scalar]
    return [here, sorted(filled), sorted(table.info[DERIVED])]


def _digest(said: list[Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def _form(column: Column[Any]) -> tuple[Any, ...]:
    nulls = column.info.get("nulls")
    folds = bool(column.info.get("fold"))
    return type(column.type).__name__, folds, None if nulls is None else sorted(nulls)
