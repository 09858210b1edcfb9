"""An archive over HTTP while it is read: pages, each of a state of its own that is no older than the one before."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...exceptions import RemoteError, RemoteUnavailableError
from ..position import Position
from ..protocol import Batch, Mark, Moved, Page, Past, State
from ..standing import Facts
from .asking import Refused
from .mapped import Mapped
from .problems import BEHIND, GONE
from .wire import entries_of, mark_of, text_of

if TYPE_CHECKING:
    from .source import HttpSource

#: Rows or entries that are asked for at once.
BATCH = 5_000


@dataclass(frozen=True)
class There:
    """What a server says of an archive.

    Attributes
    ----------
    facts : Facts
    mapped : Mapped
    shape : str
        Changes when anything but the feed's newest entry does.
    """

    facts: Facts
    mapped: Mapped
    shape: str


class HttpReading:
    """A `koa_middleware.remote.protocol.Reading` over HTTP.

    Parameters
    ----------
    source : HttpSource
    there : There
        What the server said first.
    state : State
        How that stands to the client.
    at_least : Mark or None
        The newest entry that the client knows; no older state is read.
    """

    def __init__(self, source: HttpSource, there: There, state: State, at_least: Mark | None) -> None:
        self.state = state
        self._source = source
        self._there = there
        self._at_least = at_least

    @property
    def _facts(self) -> Facts:
        return self._there.facts

    def pages(self, since: str) -> Generator[Page]:
        """Give what the feed tells after a bookmark, up to the newest entry of the last page's view."""
        known = Position.read(since)
        after = known.mark if known is not None else Mark(0, "")
        if self._facts.newest in (None, after) and self._at_least in (None, after):
            return
        self._at_least = newer(self._at_least, self._facts.newest)
        with ThreadPoolExecutor(max_workers=1) as ahead:
            coming = self._changes(ahead, after)
            while True:
                found = coming.result()
                self._move_to(found["view"])
                with self._source.asking.understanding():
                    entries = entries_of(found["entries"])
                    self._check_after([entry.n for entry in entries], after.n, found)
                    batch = self._there.mapped.batch(found["columns"], found)
                    former = self._there.mapped.former(found["columns"], found["former"])
                    is_complete = bool(found["is_complete"])
                if any(entry.op == "resweep" for entry in entries):
                    raise Moved
                if not entries:
                    return
                after = Mark(entries[-1].n, entries[-1].token)
                is_last = after == self._facts.newest
                if not is_last:
                    coming = self._changes(ahead, after)
                yield Page(entries, batch, self._bookmark_at(after), former, is_complete)
                if is_last:
                    return

    def _changes(self, ahead: ThreadPoolExecutor, after: Mark) -> Future[dict[str, Any]]:
        query = [("after", after.n), ("token", after.token), ("limit", BATCH)]
        return ahead.submit(self._asked, "changes", query, self._at_least)

    def sweep(self, after: str) -> Generator[Batch]:
        """All rows whose id comes after a given one, in the order of their ids' code points."""
        self._at_least = newer(self._at_least, self._facts.newest)
        with ThreadPoolExecutor(max_workers=1) as ahead:
            coming = self._rows(ahead, after)
            while True:
                found = coming.result()
                self._move_to(found["view"])
                with self._source.asking.understanding():
                    batch = self._there.mapped.batch(found["columns"], found)
                    place = list(found["columns"]).index("id")
                    ids = [row[place] for row in found["rows"]] + [values["id"] for values in found["odd"]]
                    self._check_after(sorted(ids), after, found)
                    is_last = bool(found["is_last"])
                after = max([after, *ids])
                if not is_last:
                    coming = self._rows(ahead, after)
                if ids:
                    yield batch
                if is_last:
                    return

    def _rows(self, ahead: ThreadPoolExecutor, after: str) -> Future[dict[str, Any]]:
        return ahead.submit(self._asked, "records", [("after", after), ("limit", BATCH)], self._at_least)

    def goes_on_after(self, since: str | None) -> int:
        """Give the number of the entry after which a reader of the history up to a bookmark goes on; 0: none."""
        known, here = Position.read(since), self._facts.position(self._source.table)
        if known is None or known.columns != here.columns or not here.n:
            return 0
        return known.n if self._source.tokens([known.n]).get(known.n) == known.token else 0

    def history(self, after: int) -> Generator[Past]:
        """Give all entries after a number, up to the newest one there was first, and the versions that they ended."""
        until = self._at_least = newer(self._at_least, self._facts.newest)
        if until is None or self._facts.newest is None:
            return
        with ThreadPoolExecutor(max_workers=1) as ahead:
            coming = self._past(ahead, after, until)
            while True:
                found = coming.result()
                self._move_to(found["view"])
                with self._source.asking.understanding():
                    entries = entries_of(found["entries"])
                    self._check_after([entry.n for entry in entries], after, found)
                    former = self._there.mapped.former(found["columns"], found["former"])
                    is_last = bool(found["is_last"])
                if entries:
                    after = entries[-1].n
                    if not is_last:
                        coming = self._past(ahead, after, until)
                    yield Past(entries, former, self._bookmark_at(Mark(after, entries[-1].token)))
                if is_last or not entries:
                    return

    def _past(self, ahead: ThreadPoolExecutor, after: int, until: Mark) -> Future[dict[str, Any]]:
        query = [("after", after), ("until", until.n), ("limit", BATCH)]
        return ahead.submit(self._asked, "history", query, self._at_least)

    def _asked(self, path: str, query: Sequence[tuple[str, object]], at_least: Mark | None) -> dict[str, Any]:
        """Ask for a page of a state that is not older than what was seen.

        Raises
        ------
        Moved
            When the archive does not have what the client has seen.
        """
        try:
            found = self._source.asked(path, [*query, *at_least_of(at_least)])
        except Refused as refused:
            if refused.kind == GONE:
                self._source.remote.at_least = None
                raise Moved from None
            if refused.kind == BEHIND:
                raise self._behind(mark_of(refused.body.get("newest"))) from None
            raise self._source.asking.unexpected(refused) from None
        with self._source.asking.understanding():
            newest = mark_of(found["view"]["newest"])
        if at_least is not None and at_least.n > (0 if newest is None else newest.n):
            raise self._behind(newest)
        return found

    def _move_to(self, view: Mapping[str, Any]) -> None:
        """Note the state that an answer shows.

        Raises
        ------
        Moved
            When more than the feed has changed.
        """
        with self._source.asking.understanding():
            newest, clock, shape = mark_of(view["newest"]), text_of(view["clock"]), str(view["shape"])
            facts = replace(self._facts, newest=newest, clock=clock, etag=str(view["etag"]))
        if shape != self._there.shape:
            raise Moved
        self._there = replace(self._there, facts=facts)
        self._at_least = newer(self._at_least, newest)
        position = facts.position(self._source.table)
        self.state = replace(self.state, bookmark=position.bookmark, clock=clock)

    def _bookmark_at(self, mark: Mark) -> str:
        position = self._facts.position(self._source.table)
        return position.bookmark if position.mark == mark else position.at(mark).bookmark

    def _check_after(self, found: Sequence[Any], after: Any, body: Mapping[str, Any]) -> None:
        """Check that an answer is the one to the question.

        Raises
        ------
        RemoteError
        """
        if body["after"] != after or list(found) != sorted(set(found)) or (found and found[0] <= after):
            raise RemoteError(
                f"The archive at {self._source.asking.host} answered another question than the one that was asked.",
                "A proxy may mix its answers; sync again, or tell the archive's owner.",
            )

    def _behind(self, newest: Mark | None) -> RemoteUnavailableError:
        n = newest.n if newest is not None else 0
        host = self._source.remote.host
        return RemoteUnavailableError(
            f"The archive at {host} is a standby that is behind: its newest change has the number {n}, and the local "
            "copy has later ones.",
            "Sync again when it has caught up.",
            host=host,
        )


def newer(one: Mark | None, other: Mark | None) -> Mark | None:
    """Give the later of two places in a feed."""
    return max(filter(None, (one, other)), key=lambda mark: mark.n, default=None)


def at_least_of(mark: Mark | None) -> list[tuple[str, object]]:
    """Give the part of a question that asks for no older state."""
    return [] if mark is None or not mark.n else [("at_least", f"{mark.n}.{mark.token}")]
