"""Following an archive by its states themselves, not by the pages of a server."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sqlalchemy import Table

from .origin import Told, View, Views
from .position import Position
from .protocol import Batch, Found, Mark, Page, Past, State
from .standing import asked_by

#: Rows or entries that are read at once, and written in one local transaction.
BATCH = 10_000


class Following:
    """A `koa_middleware.remote.protocol.Source` over the views of an archive.

    Parameters
    ----------
    views : Views
    table : sqlalchemy.Table
        Of the reader's class, with the columns of other versions.
    """

    def __init__(self, views: Views, table: Table) -> None:
        self._views = views
        self._table = table

    def state(self, since: str | None, seen: str | None) -> State:
        """Tell how the archive stands to a client."""
        return self._views.facts(asked_by(since, seen)).state(self._table, since, seen)

    @contextmanager
    def reading(self, since: str | None, seen: str | None) -> Iterator[ViewReading]:
        """Give one view."""
        with self._views.view(asked_by(since, seen)) as view:
            yield ViewReading(view, self._table, view.facts.state(self._table, since, seen))

    def lookup(self, ids: Sequence[str], since: str | None, seen: str | None) -> Found:
        """Give what the archive has of some ids."""
        with self._views.view(asked_by(since, seen)) as view:
            told = view.lookup(ids)
            return Found(told.batch, told.entries, told.former, view.facts.state(self._table, since, seen))


class ViewReading:
    """A `koa_middleware.remote.protocol.Reading` of one view.

    Parameters
    ----------
    view : View
    table : sqlalchemy.Table
    state : State
    """

    def __init__(self, view: View, table: Table, state: State) -> None:
        self.state = state
        self._view = view
        self._here = view.facts.position(table)

    def pages(self, since: str) -> Generator[Page]:
        """Give what the feed tells after a bookmark."""
        known = Position.read(since)
        last = known.n if known else 0
        while last < self._here.n:
            told = self._view.changes(last, BATCH)
            last = told.entries[-1].n
            yield Page(told.entries, told.batch, self._after(told), told.former, told.is_complete)

    def sweep(self, after: str) -> Generator[Batch]:
        """All rows whose id comes after a given one, in the order of their ids' code points."""
        return self._view.sweep(after)

    def goes_on_after(self, since: str | None) -> int:
        """Give the number of the entry after which a reader of the history up to a bookmark goes on; 0: none."""
        known = Position.read(since)
        if known is None or known.columns != self._here.columns or not self._here.n:
            return 0
        return known.n if self._view.tokens([known.n]) == {known.n: known.token} else 0

    def history(self, after: int) -> Generator[Past]:
        """Give all entries after a number, and the versions that they ended."""
        with ThreadPoolExecutor(max_workers=1) as ahead:
            coming = ahead.submit(self._view.history, after, self._here.n, BATCH)
            while (told := coming.result()).entries:
                is_last = len(told.entries) < BATCH
                if not is_last:
                    coming = ahead.submit(self._view.history, told.entries[-1].n, self._here.n, BATCH)
                yield Past(told.entries, told.former, self._after(told))
                if is_last:
                    break

    def _after(self, told: Told) -> str:
        last = told.entries[-1]
        return self._here.at(Mark(last.n, last.token)).bookmark
