"""How an archive stands to a client: what the archive says of itself, and what follows from that.

The facts come from SQL where the client is connected to a PostgreSQL server, and as JSON where a server is asked over
HTTP. The judgement is made by the client, which alone knows what it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table

from .others import OTHER
from .position import Position, columns_digest, reader_digest
from .protocol import ANOTHER_HISTORY, Mark, State

_ANEW = "The archive was read anew:"
_MADE_ANEW = f"{_ANEW} its triggers or columns were switched off, changed or made anew since the last sync."
_COLUMNS = f"{_ANEW} its columns or the plugin's have changed."
_UNKNOWN = f"{_ANEW} this copy followed another archive, or was made by another version."


@dataclass(frozen=True)
class Facts:
    """What an archive says of itself, in one view.

    Attributes
    ----------
    newest : Mark or None
        The feed's newest entry; None where there is no feed, or an empty one.
    tokens : mapping
        Of the entries that were asked for, as far as they are there, by number.
    standby : bool
        Whether what it lacks at its end may be to come yet.
    cluster : str
        Names the server's cluster.
    made : str
        As of `Position`.
    resweep : tuple
        Number and reason of the last entry that asks everybody to read everything.
    trouble : tuple of str
        What keeps everybody from following; sentences.
    clock : str or None
        Up to when what happened is shown, UTC.
    keeps_history : bool
        Whether there are former versions of rows.
    stored : mapping
        The archive's columns and their types.
    names : mapping
        What the columns of the reader's class are called there, as far as they are there.
    otherwise : str
        As of `columns_digest`.
    etag : str
        What a server calls this state; empty where it does not say.
    """

    newest: Mark | None
    tokens: Mapping[int, str]
    standby: bool
    cluster: str
    made: str
    resweep: tuple[int, str | None]
    trouble: tuple[str, ...]
    clock: str | None
    keeps_history: bool
    stored: Mapping[str, str]
    names: Mapping[str, str]
    otherwise: str = ""
    etag: str = ""

    def position(self, table: Table) -> Position:
        """Give the place of the newest entry, for a reader with a table."""
        columns = columns_digest(table, self.stored, self.names, self.otherwise)
        etag = f"{self.etag} {reader_digest(table)}" if self.etag and not self.trouble else ""
        return Position(*(self.newest or (0, "")), columns, self.cluster, self.made, etag)

    def state(self, table: Table, since: str | None, seen: str | None) -> State:
        """Compare with what a client has.

        Parameters
        ----------
        table : sqlalchemy.Table
            Of the client's class, with the columns of other versions that it asks for.
        since, seen : str or None
            Its bookmarks, whose entries were asked for.
        """
        here, known, newest = self.position(table), Position.read(since), Position.read(seen)
        marks = [position for position in (known, newest) if position is not None]
        because = "" if since is None else self._why_not(here, known, marks)
        is_ahead = any(position.n > here.n for position in marks)
        is_behind = self.standby and is_ahead and because != ANOTHER_HISTORY
        return State(
            bookmark=here.bookmark,
            continues=known is not None and not because and not self.trouble,
            news=known is None or here.n > known.n,
            behind=here.mark if is_behind else None,
            noticed=(*([because] if because else []), *self.trouble),
            unknown_columns=tuple(sorted(set(self.stored) - set(self.names.values()))),
            missing_columns=tuple(
                c.key for c in table.c if c.key not in {*self.names, "origin"} and OTHER not in c.info
            ),
            clock=self.clock,
            keeps_history=self.keeps_history,
        )

    def _why_not(self, here: Position, known: Position | None, marks: Sequence[Position]) -> str:
        """Say why a client cannot follow from its bookmark; empty where it can."""
        if known is None:
            return _UNKNOWN
        if any(map(self._is_strange, marks)):
            return ANOTHER_HISTORY
        if known.columns != here.columns:
            return _COLUMNS
        if known.cluster == here.cluster and known.made != here.made:
            return _MADE_ANEW
        asked, why = self.resweep
        if asked > known.n:
            return f"{_ANEW} its owner asked for it{f' ({why})' if why else ''}."
        return ""

    def _is_strange(self, position: Position) -> bool:
        """Whether an entry is of another history; a standby may still get what it lacks at its end."""
        if self.standby and position.n > (self.newest or (0, ""))[0]:
            return False
        return self.newest is not None and self.tokens.get(position.n) != position.token


def asked_by(*bookmarks: str | None) -> list[int]:
    """Give the numbers of the entries whose tokens tell whether bookmarks belong to an archive's history."""
    return [position.n for position in map(Position.read, bookmarks) if position is not None]
