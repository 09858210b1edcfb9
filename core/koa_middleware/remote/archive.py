"""The archive, as a store uses it: followed, published to, asked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Generic, TypeVar

from sqlalchemy import select

from ..database.feed import feed_table
from ..database.flags import this_user
from ..database.local import LocalDatabase
from ..exceptions import RemoteError, StaleWarning, warn
from ..instrument.orm import ORMCalibration
from ..kept import kept_property
from ..settings import Settings
from .bookmark import is_partial
from .protocol import Files, Holds, Remote, Upload
from .publish import Place, PublishResult, flag, foreseen, held, publish, settle
from .servers import address_of, remote_of, required
from .staleness import PARTIAL, advice, freshen
from .sync import SyncResult, synchronise

R = TypeVar("R", bound=ORMCalibration)


class Archive(Generic[R]):
    """What a store does with the archive, if there is one.

    Parameters
    ----------
    settings : Settings
    local : LocalDatabase
    sync_if_older_than : datetime.timedelta or None
        Age of the last sync from which `freshen` syncs.
    holds : callable
        Whether the file of a name here has a checksum.
    """

    def __init__(
        self, settings: Settings, local: LocalDatabase[R], sync_if_older_than: timedelta | None, holds: Holds
    ) -> None:
        self._settings = settings
        self._local = local
        self._limit = sync_if_older_than
        self._holds = holds
        self._has_told = False

    @kept_property
    def remote(self) -> Remote[R] | None:
        """The remote; None where none is configured."""
        return remote_of(self._settings, self._local.orm_class, self._local)

    def close(self) -> None:
        """Close all connections."""
        if "remote" in vars(self) and self.remote is not None:
            self.remote.close()

    def require(self, purpose: str = "This") -> Remote[R]:
        """Give the remote; see `koa_middleware.remote.servers.required`."""
        return required(self.remote, self._settings, purpose)

    def sync(self, *, full: bool = False) -> SyncResult:
        """Bring the local database up to date; see `CalibrationStore.sync_from_remote`."""
        self._local.check_writable()
        return synchronise(self._local, self.require("A sync"), full=full, holds=self._holds)

    def freshen(self) -> None:
        """Sync where the last sync is older than the limit and the network may be used."""
        url = self._settings.remote_database_url
        if self._limit is not None and url is not None and not self._settings.offline:
            freshen(self._local, url, self._limit, self.sync)

    def tell_of_a_partial_copy(self) -> None:
        """Warn, once, where a first sync has not come to its end."""
        if not self._has_told and self._settings.remote_database_url is not None:
            self._has_told = True
            if is_partial(self._local):
                warn(PARTIAL, StaleWarning)

    def advice(self) -> str:
        """Say what a sync could bring where nothing fits; empty where there is no remote."""
        return "" if self._settings.remote_database_url is None else advice(self._local)

    def state(self) -> tuple[str, int | None, str | None] | None:
        """Give the archive's address and number and time (UTC) of its newest entry that is here; None without one."""
        url = self._settings.remote_database_url
        if url is None:
            return None
        feed = feed_table(self._local.orm_class).c
        newest = select(feed.archive_n, feed.at).where(feed.archive_n.is_not(None)).order_by(feed.archive_n.desc())
        found = self._local.execute(newest.limit(1))
        entry, at = found[0] if found else (None, None)
        return address_of(url), entry, at

    def publish(self, records: Iterable[R] | None, upload: Upload | None, place: Place) -> PublishResult:
        """Send records to the remote; see `koa_middleware.remote.publish.publish`."""
        ids = None if records is None else [record.id for record in records]
        remote = self.require("Publishing")
        return publish(self._local, remote, ids, upload=upload, place=place, holds=self._holds)

    def foreseen(self, records: Iterable[R] | None) -> PublishResult:
        """Tell what `publish` would do."""
        ids = None if records is None else [record.id for record in records]
        return foreseen(self._local, self.require("Publishing"), ids, holds=self._holds)

    @property
    def files(self) -> Files | None:
        """Where the archive takes files itself; None where it does not, or there is none."""
        return None if self.remote is None else self.remote.files

    def held(self, ids: Iterable[str]) -> set[str]:
        """Give those ids that the remote has."""
        return held(self.require("Publishing"), self._local.orm_class, ids)

    def settle(self) -> None:
        """End conflicts whose cause a publication has removed."""
        settle(self._local, self._holds)

    def flag(self, record: R, quality: str, reason: str) -> None:
        """Set the quality of a REMOTE record, there and here; an error says what can be done without the archive."""
        try:
            remote = self.require(f"Flagging {record.filename}")
            flag(self._local, remote, record.id, quality, reason, this_user())
        except RemoteError as error:
            error.hint = f"{error.hint} Or judge it for this store alone: here=True (koa-cal flag --here)."
            raise
