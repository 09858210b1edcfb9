"""What is served of an instrument, by the settings of this machine, and the threads that follow its archive."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import Any, cast

from ..cache.folder import Cache
from ..exceptions import ConfigurationError, KoaMiddlewareError
from ..plugins import InstrumentPlugin
from ..remote.folder.remote import FolderRemote
from ..remote.following import Follower
from ..remote.origin import Origin
from ..remote.servers import is_database, remote_at
from ..remote.sync import SyncResult
from ..settings import CACHE_DIR, REMOTE_DATABASE_URL, resolve
from ..store import CalibrationStore
from .logs import tell
from .served import Served

#: Connections to a PostgreSQL archive that are kept at most for reading, and as many for writing.
CONNECTIONS = 10

#: Seconds that a thread is waited for when the server ends.
_PATIENCE = 10.0


@contextmanager
def open_served(plugin: InstrumentPlugin) -> Iterator[Served]:
    """Open what is served: a PostgreSQL archive where one is set, else this cache's own database, for reading only.

    Raises
    ------
    ConfigurationError, CacheError, SchemaMismatchError
    """
    store: CalibrationStore[Any]
    settings = resolve(plugin.name)
    url = settings.remote_database_url
    is_of_database = url is not None and is_database(url)
    if not is_of_database and not settings.cache_dir.is_dir():
        raise ConfigurationError(
            f"The cache folder {settings.cache_dir} does not exist, so there is nothing to serve.",
            f"Correct {CACHE_DIR}; or set {REMOTE_DATABASE_URL} to serve an archive.",
            setting="cache_dir",
            variable=CACHE_DIR,
        )
    with CalibrationStore(plugin.ORM) as store:
        if url is None or not is_of_database:
            yield Served(plugin, store, FolderRemote(store.local_db), False)
            return
        origin = cast(Origin[Any], remote_at(url, plugin.ORM, connections=CONNECTIONS))  # as a database is
        with closing(origin), closing(remote_at(url, plugin.ORM)) as followed:
            follower = Follower(store.local_db, followed, _Teller(plugin.name), Cache(store.cache_dir).holds)
            served = Served(plugin, store, origin, True, follower)
            with _followed(follower):
                yield served


@contextmanager
def _followed(follower: Follower) -> Iterator[None]:
    stop = Event()
    thread = Thread(target=follower.keep_running, args=(stop,), name="follower", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_PATIENCE)


class _Teller:
    """Logs what happens while an archive is followed.

    Parameters
    ----------
    instrument : str
    """

    def __init__(self, instrument: str) -> None:
        self._instrument = instrument

    def came(self, result: SyncResult) -> None:
        """Log what a sync brought."""
        tell(
            logging.INFO,
            "followed",
            instrument=self._instrument,
            added=result.added,
            changed=result.changed,
            withdrawn=result.withdrawn,
            conflicts=len(result.conflicts),
        )

    def lost(self, error: KoaMiddlewareError) -> None:
        """Log that the archive is not followed for now."""
        tell(logging.WARNING, "not followed", instrument=self._instrument, why=error.message)

    def back(self) -> None:
        """Log that it is followed again."""
        tell(logging.INFO, "followed again", instrument=self._instrument)
