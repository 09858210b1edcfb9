"""What stands behind a bookmark of a PostgreSQL archive: the transactions that a client has seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Table


@dataclass(frozen=True)
class Snapshot:
    """All transactions of one history below `next_xid`, except `open_xids`.

    Attributes
    ----------
    history : str
        Names server, timeline, database and table; transactions' numbers mean something within it.
    columns : str
        Digest of both sides' columns.
    next_xid : int
    open_xids : tuple of int
    """

    history: str
    columns: str
    next_xid: int
    open_xids: tuple[int, ...]

    @classmethod
    def of(cls, history: str, columns: str, snapshot: str, *, standby: bool) -> Self:
        """Read the text of a ``pg_snapshot``, ``xmin:xmax:xip``.

        A standby does not list the transactions that are under way, so everything from xmin on counts as unseen.
        """
        xmin, xmax, running = snapshot.split(":")
        if standby:
            return cls(history, columns, int(xmin), ())
        return cls(history, columns, int(xmax), tuple(int(xid) for xid in running.split(",") if xid))

    @classmethod
    def read(cls, bookmark: str | None) -> Self | None:
        """Read a bookmark; None where it is none of ours, as one of another kind of server is."""
        try:
            found: Any = json.loads(bookmark or "")
            history, columns, xids = found["history"], found["columns"], (found["next"], *found["open"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        is_ours = type(history) is type(columns) is str and all(type(xid) is int and 0 <= xid < 1 << 63 for xid in xids)
        return cls(history, columns, xids[0], xids[1:]) if is_ours else None

    @property
    def bookmark(self) -> str:
        """Give as text."""
        found = {"history": self.history, "columns": self.columns, "next": self.next_xid, "open": self.open_xids}
        return json.dumps(found)

    def is_of(self, other: Snapshot) -> bool:
        """Whether both belong to one history and the same columns."""
        return (self.history, self.columns) == (other.history, other.columns)


def columns_digest(table: Table, remote_columns: Mapping[str, str]) -> str:
    """Text that changes when a column of either side does."""
    here = {column.name: str(column.type) for column in table.c}
    return hashlib.sha256(json.dumps([here, dict(remote_columns)], sort_keys=True).encode()).hexdigest()[:32]
