"""Follow an archive without end: look every second, sync when there is news, wait when something does not answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Event
from typing import Any, NamedTuple, Protocol

from ..database.kept_apart import Conflict
from ..database.local import LocalDatabase
from ..disk.writing import cannot_be_written
from ..exceptions import CacheError, KoaMiddlewareError, RemoteError, RemoteUnavailableError
from ..fetch.retries import pause_s
from .local_copy import LocalCopy, holds_nothing, open_copy
from .others import Others
from .protocol import Holds, Remote, Source
from .sync import SyncResult, follow, lacks_history

#: Seconds from one look to the next; how an archive is asked that can only be read whole, as a multiple of its reading.
LOOK_S, REST = 1.0, 10

#: Seconds of the longest pause after a failure, and the number of failures from which on it is that.
LONGEST_PAUSE_S, MANY = 30.0, 10

#: Seconds after which a look without news is noted in the copy, so that its age is known and its history is up to date.
NOTE_S = 10.0


class Listener(Protocol):
    """Who is told of what happens while an archive is followed."""

    def came(self, result: SyncResult) -> None:
        """Hear of a sync that brought something."""

    def lost(self, error: KoaMiddlewareError) -> None:
        """Hear, once, that a look has failed; it is tried again."""

    def back(self) -> None:
        """Hear that a look is good again."""


class _Looked(NamedTuple):
    """When the next look is due, in seconds from the beginning of this one, and whether over the same connection."""

    rest: float
    goes_on: bool


@dataclass
class Follower:
    """Follows an archive into a local database, which other processes may sync too.

    It holds one connection to the archive, and no lock between two looks.

    Attributes
    ----------
    local : LocalDatabase
    remote : Remote
    listener : Listener
    holds : callable
        Whether the file of a name here has a checksum.
    looked_at : float or None
        End of the last good look, seconds since 1970-01-01 UTC; None before the first.
    error : KoaMiddlewareError or None
        Why the last look failed; None where it did not.
    """

    local: LocalDatabase[Any]
    remote: Remote[Any]
    listener: Listener
    holds: Holds = holds_nothing
    looked_at: float | None = None
    error: KoaMiddlewareError | None = None
    _failures: int = 0
    _conflicts: list[Conflict] | None = None
    _is_read_whole: bool = False

    def run(self, stop: Event) -> None:
        """Follow until an event is set.

        What may pass is waited for: an archive that does not answer; and, once a look was good, a refusal, or a disk
        that is full.

        Raises
        ------
        CacheError, RemoteError
            When the copy cannot be written or the archive refuses, at the first look.
        SchemaMismatchError
            When either side is not, or no longer, made for the class.
        """
        while not stop.is_set():
            try:
                self._over_one_connection(stop)
            except KoaMiddlewareError as error:
                if not self._may_pass(error):
                    raise
                self._fail(error, stop)

    def keep_running(self, stop: Event) -> None:
        """Follow until an event is set, whatever fails; for a thread, of which `error` tells."""
        while not stop.is_set():
            try:
                self.run(stop)
            except KoaMiddlewareError as error:
                self._failures = MANY
                self._fail(error, stop)

    def _may_pass(self, error: KoaMiddlewareError) -> bool:
        if isinstance(error, RemoteUnavailableError):
            return True
        if isinstance(error, CacheError):
            return self.looked_at is not None or not cannot_be_written(error)
        return isinstance(error, RemoteError) and self.looked_at is not None

    def _fail(self, error: KoaMiddlewareError, stop: Event) -> None:
        if isinstance(error, CacheError):
            self.local.close()  # another file may have its name now
        if self.error is None:
            self.listener.lost(error)
        self.error = error
        self._failures = min(self._failures + 1, MANY)
        stop.wait(min(pause_s(2 * LOOK_S, self._failures, LOOK_S), LONGEST_PAUSE_S))

    def _over_one_connection(self, stop: Event) -> None:
        with open_copy(self.local, self.holds) as copy:
            others = copy.others
        with self.remote.connected(others) as source:
            looked = _Looked(LOOK_S, True)
            while looked.goes_on and not stop.is_set():
                began = time.monotonic()
                looked = self._look(source, others)
                stop.wait(max(0.0, began + looked.rest - time.monotonic()))

    def _look(self, source: Source, others: Others) -> _Looked:
        """Sync where there is news."""
        began, result = time.monotonic(), None
        with open_copy(self.local, self.holds) as copy:
            if copy.others != others:
                return _Looked(LOOK_S, False)
            if has_news(copy, source):
                result = follow(self.local, copy, source, self.remote.host)
        self.looked_at, self._failures = time.time(), 0
        if self.error is not None:
            self.error = None
            self.listener.back()
        again, self._is_read_whole = self._is_read_whole, result is not None and result.full
        if result is not None:
            self._tell(result)
        if not self._is_read_whole:
            return _Looked(LOOK_S, True)
        # What made that necessary may be nothing that the connection has noticed.
        return _Looked(max(LONGEST_PAUSE_S, REST * (time.monotonic() - began)) if again else LOOK_S, False)

    def _tell(self, result: SyncResult) -> None:
        before, self._conflicts = self._conflicts, result.conflicts
        is_new = before is not None and before != self._conflicts
        if result.added or result.changed or result.withdrawn or result.full or is_new:
            self.listener.came(result)


def has_news(copy: LocalCopy, source: Source) -> bool:
    """Whether a sync would bring, or note, something."""
    known = copy.load()
    if known.bookmark is None or known.sweep_after is not None or known.synced_at is None:
        return True
    if not 0 <= time.time() - known.synced_at < NOTE_S:
        return True
    there = source.state(known.bookmark, known.seen)
    return not there.continues or there.news or there.behind is not None or lacks_history(copy, there)
