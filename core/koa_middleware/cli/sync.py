"""``koa-cal sync``."""

from __future__ import annotations

import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .arguments import add_instrument, add_json
from .context import open_for
from .messages import say
from .output import print_conflicts, print_json, print_json_line, print_line, print_text

if TYPE_CHECKING:
    from ..exceptions import KoaMiddlewareError
    from ..remote.sync import SyncResult
    from ..store import CalibrationStore

ABOUT = "bring the local database up to date with the archive"

EXAMPLES = """
koa-cal sync
# all night: a flag at the archive is here within seconds
koa-cal sync --follow
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    how = command.add_mutually_exclusive_group()
    how.add_argument("--full", action="store_true", help="compare every record, even those reported as unchanged")
    how.add_argument("--follow", action="store_true", help="go on until Ctrl-C, and bring news within seconds")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Bring the local database up to date; names what is in conflict."""
    if options.follow:
        return _follow(options)
    with open_for(options) as store:
        result = store.sync_from_remote(full=options.full)
        told = _plain(result)
        conflicts = result.conflicts
    for sentence in result.noticed:
        say(sentence)
    if options.json:
        print_json(told)
    else:
        print_text(_counts(result))
        print_conflicts(conflicts)
    return 0


def _plain(result: SyncResult) -> dict[str, Any]:
    return {
        "added": result.added,
        "changed": result.changed,
        "withdrawn": result.withdrawn,
        "full": result.full,
        "noticed": result.noticed,
        "conflicts": [conflict.to_dict() for conflict in result.conflicts],
    }


def _counts(result: SyncResult) -> str:
    return f"{result.added} added, {result.changed} changed, {result.withdrawn} withdrawn"


class _Terminated(BaseException):
    """Somebody asked this process to end."""


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end what is done at any place, as Ctrl-C does: what was not committed is rolled back."""

    def end(*_: object) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except _Terminated:
        return
    finally:
        signal.signal(signal.SIGTERM, before)


class _Teller:
    """Prints what happens while an archive is followed.

    Parameters
    ----------
    store : CalibrationStore
    as_json : bool
    """

    def __init__(self, store: CalibrationStore[Any], as_json: bool) -> None:
        self._store = store
        self._as_json = as_json
        self._noticed: list[str] = []
        self._is_conflicting = False

    def came(self, result: SyncResult) -> None:
        """Print one line for a sync; as text only where it brought something or ended conflicts."""
        at = self._store.last_sync
        for sentence in result.noticed if result.noticed != self._noticed else []:
            say(sentence)
        self._noticed = result.noticed
        if self._as_json:
            print_json_line({"time": at, **_plain(result)})
            return
        apart = len(result.conflicts)
        if not (result.added or result.changed or result.withdrawn or apart or self._is_conflicting):
            return
        self._is_conflicting = bool(apart)
        in_conflict = f", {apart} in conflict" if apart else ""
        print_line(f"{str(at).replace('T', ' ')} UTC  {_counts(result)}{in_conflict}")

    def lost(self, error: KoaMiddlewareError) -> None:
        """Say that a look has failed."""
        say(f"{error.message} It is tried again until it works.")

    def back(self) -> None:
        """Say that it works again."""
        say("The archive is followed again.")


def _follow(options: Namespace) -> int:
    """Follow the archive until this process is told to end."""
    from threading import Event

    with _ended_by_sigterm(), open_for(options) as store:
        from ..cache.folder import Cache
        from ..remote.following import Follower
        from ..remote.servers import require_remote

        remote = require_remote(store.settings, store.orm_class, "A sync")
        try:
            store.local_db.check_writable()
            Follower(store.local_db, remote, _Teller(store, options.json), Cache(store.cache_dir).holds).run(Event())
        finally:
            remote.close()
    return 0
