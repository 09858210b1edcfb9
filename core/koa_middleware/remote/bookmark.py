"""How far a local copy of a remote is: one row of the table ``<table>_sync``, which a first sync writes."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

from ..database.local import LocalDatabase
from ..database.sqlite import quote

_TEXTS = ("bookmark", "seen", "sweep_after", "noticed", "known_until", "told")

#: SQL that is true of a row that a sync can go on from.
_USABLE = f"""typeof(revision) = 'integer' AND revision BETWEEN 0 AND 1 << 62
    AND {" AND ".join(f"typeof({name}) IN ('null', 'text')" for name in _TEXTS)}
    AND instr(ifnull(sweep_after, ''), char(0)) = 0
    AND CASE WHEN json_valid(ifnull(noticed, '[]')) THEN json_type(ifnull(noticed, '[]')) = 'array'
        AND NOT EXISTS (SELECT 1 FROM json_each(noticed) WHERE type <> 'text') END
    AND typeof(settled) IN ('null', 'integer') AND typeof(told_revision) IN ('null', 'integer')
    AND ifnull(synced_at, 0) BETWEEN 0 AND 253402300799"""


class Superseded(Exception):  # noqa: N818 - a signal, not an error
    """Another process wrote to the copy since its state was read."""


@dataclass(frozen=True)
class CopyState:
    """How far the local copy is.

    Attributes
    ----------
    revision : int
        Grows with every change of the copy.
    bookmark : str or None
        The remote's word for what the copy has followed; None before the first sync.
    seen : str or None
        The remote's word for the newest view from which the copy has taken a row.
    sweep_after : str or None
        A reading of the whole remote has come to this id; None when none is under way.
    synced_at : float or None
        End of the last complete sync, seconds since 1970-01-01 UTC by the local clock.
    settled : int or None
        Number of the local feed's entry up to which changes here were tried on the rows that are kept apart.
    noticed : str or None
        What the last complete sync noticed: a JSON list of sentences.
    known_until : str or None
        Up to when the copy knows what happened at the archive: UTC, microseconds, by the archive's clock. None until a
        sync comes to its end after a reading anew was begun.
    told : str or None
        The remote's word for the entry up to which the copy has the remote's history without a gap.
    told_revision : int or None
        The revision of which that was said last: an older version of this package, which does not know of it, leaves
        another one.
    """

    revision: int = 0
    bookmark: str | None = None
    seen: str | None = None
    sweep_after: str | None = None
    synced_at: float | None = None
    settled: int | None = None
    noticed: str | None = None
    known_until: str | None = None
    told: str | None = None
    told_revision: int | None = None

    def followed_by(self, **changes: Any) -> CopyState:
        """Give the next state."""
        revision = self.revision + 1
        says_so = "told" in changes or self.has_history_to is not None
        return replace(self, **changes, revision=revision, told_revision=revision if says_so else None)

    @property
    def has_history_to(self) -> str | None:
        """The remote's word for the entry up to which the history is here; None where that is not known."""
        return self.told if self.told_revision == self.revision else None


_COLUMNS = tuple(field.name for field in fields(CopyState))


class StateTable:
    """The row that says how far a copy is.

    Parameters
    ----------
    connection : sqlite3.Connection
    table_name : str
        Of the instrument's table.
    """

    def __init__(self, connection: sqlite3.Connection, table_name: str) -> None:
        self._connection = connection
        self._name = quote(f"{table_name}_sync")

    def exists(self) -> bool:
        """Whether a sync was ever begun, and left a row that it can go on from."""
        return self._connection.execute(f"SELECT 1 FROM {self._name} WHERE {_USABLE}").fetchone() is not None

    def create(self) -> None:
        """Write the first row, also in place of an unusable one."""
        # In one transaction: a process killed half-way leaves nothing.
        self._connection.execute("BEGIN IMMEDIATE")
        if not self.exists():
            self._connection.execute(f"DELETE FROM {self._name}")
            self._connection.execute(f"INSERT INTO {self._name} (one, revision) VALUES (1, 0)")
        self._connection.execute("COMMIT")

    def load(self) -> CopyState:
        """Read the row."""
        return CopyState(*self._connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM {self._name}").fetchone())

    def store(self, new: CopyState) -> None:
        """Write the row, in the caller's transaction.

        Raises
        ------
        Superseded
            When the row is no longer of the revision before.
        """
        setting = ", ".join(f"{name} = ?" for name in _COLUMNS)
        sql = f"UPDATE {self._name} SET {setting} WHERE revision = ?"
        if not self._connection.execute(sql, (*astuple(new), new.revision - 1)).rowcount:
            raise Superseded


def last_synced(local: LocalDatabase[Any]) -> float | None:
    """End of the last complete sync, in seconds since 1970-01-01 UTC by the local clock; None before the first."""
    with local.driver_connection() as connection:
        table = StateTable(connection, local.orm_class.table().name)
        return table.load().synced_at if table.exists() else None


def is_partial(local: LocalDatabase[Any]) -> bool:
    """Whether a first sync was begun and is not complete."""
    with local.driver_connection() as connection:
        table = StateTable(connection, local.orm_class.table().name)
        state = table.load() if table.exists() else CopyState()
    return state.bookmark is not None and state.synced_at is None


def last_noticed(local: LocalDatabase[Any]) -> list[str]:
    """Give what the last complete sync noticed, in sentences."""
    with local.driver_connection() as connection:
        table = StateTable(connection, local.orm_class.table().name)
        found: list[str] = json.loads((table.load().noticed if table.exists() else None) or "[]")
    return found
