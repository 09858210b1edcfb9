"""How far a local copy of a remote table is, and what it keeps apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bookmark:
    """Which transactions of an archive a client has seen: those below `next_xid`, except `open_xids`."""

    next_xid: int
    open_xids: tuple[int, ...]

    @classmethod
    def from_snapshot(cls, snapshot: str, *, standby: bool) -> Bookmark:
        """Read the text of a ``pg_snapshot``, ``xmin:xmax:xip``.

        A standby does not list the transactions that are under way, so everything from xmin on counts as unseen.
        """
        xmin, xmax, running = snapshot.split(":")
        if standby:
            return cls(int(xmin), ())
        return cls(int(xmax), tuple(int(xid) for xid in running.split(",") if xid))

    @classmethod
    def loads(cls, text: str) -> Bookmark:
        """Read what `dumps` wrote."""
        next_xid, *open_xids = json.loads(text)
        return cls(next_xid, tuple(open_xids))

    def dumps(self) -> str:
        """Give as text."""
        return json.dumps([self.next_xid, *self.open_xids])


@dataclass(frozen=True)
class Conflict:
    """A remote row that is kept apart.

    Attributes
    ----------
    id, filename : str
        Of the remote row.
    reason : str
        What stands in its way.
    local_id : str or None
        The LOCAL record that has the id or the file name.
    record : dict
        The whole remote row.
    """

    id: str
    filename: str
    reason: str
    local_id: str | None
    record: dict[str, Any]


@dataclass(frozen=True)
class CopyState:
    """How far the local copy is.

    Attributes
    ----------
    revision : int
        Grows with every change of the copy.
    archive : str or None
        The server that the bookmark is of; None before the first sync.
    bookmark : Bookmark or None
    columns : str or None
        Both sides' columns when the copy was last read as a whole.
    sweep_after : str or None
        A reading of the whole table has come to this id; None when none is under way.
    synced_at : float or None
        End of the last complete sync, seconds since 1970-01-01 UTC by the local clock.
    """

    revision: int = 0
    archive: str | None = None
    bookmark: Bookmark | None = None
    columns: str | None = None
    sweep_after: str | None = None
    synced_at: float | None = None


@dataclass
class Counts:
    """What a sync found."""

    added: int = 0
    changed: int = 0
    withdrawn: int = 0
