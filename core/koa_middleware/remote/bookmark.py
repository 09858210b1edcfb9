"""How far a local copy of a remote is: one row of the table ``<table>_sync``, which a first sync writes."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from ..database.local import LocalDatabase
from ..database.sqlite import quote

#: SQL that is true of a row that a sync can go on from.
_USABLE = """typeof(revision) = 'integer' AND revision BETWEEN 0 AND 1 << 62 AND typeof(bookmark) IN ('null', 'text')
    AND typeof(sweep_after) IN ('null', 'text') AND instr(ifnull(sweep_after, ''), char(0)) = 0
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
        The remote's word for what the copy has seen; None before the first sync.
    sweep_after : str or None
        A reading of the whole remote has come to this id; None when none is under way.
    synced_at : float or None
        End of the last complete sync, seconds since 1970-01-01 UTC by the local clock.
    """

    revision: int = 0
    bookmark: str | None = None
    sweep_after: str | None = None
    synced_at: float | None = None


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
        columns = "revision, bookmark, sweep_after, synced_at"
        return CopyState(*self._connection.execute(f"SELECT {columns} FROM {self._name}").fetchone())

    def store(self, new: CopyState) -> None:
        """Write the row, in the caller's transaction.

        Raises
        ------
        Superseded
            When the row is no longer of the revision before.
        """
        written = self._connection.execute(
            f"UPDATE {self._name} SET revision = ?, bookmark = ?, sweep_after = ?, synced_at = ? WHERE revision = ?",
            (new.revision, new.bookmark, new.sweep_after, new.synced_at, new.revision - 1),
        ).rowcount
        if not written:
            raise Superseded


def last_synced(local: LocalDatabase[Any]) -> float | None:
    """End of the last complete sync, in seconds since 1970-01-01 UTC by the local clock; None before the first."""
    with local.driver_connection() as connection:
        table = StateTable(connection, local.orm_class.table().name)
        return table.load().synced_at if table.exists() else None
