"""The archive's database, as a store uses it: followed, published to, asked."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..cache.folder import Cache
from ..database.flags import note_flag, this_user
from ..database.local import LocalDatabase
from ..disk.checksums import digest_of
from ..disk.writing import WRITTEN_AT_ONCE, cache_errors, sync_folder
from ..exceptions import (
    ConfigurationError,
    IntegrityError,
    RemoteNotConfiguredError,
    RemoteUnavailableError,
    StaleWarning,
    warn,
)
from ..instrument.orm import ORMCalibration
from ..settings import REMOTE_DATABASE_URL, Settings
from .bookmark import Conflict
from .postgres.database import RemoteDatabase
from .postgres.errors import host_of
from .publish import PublishResult, flag_remote, publish
from .sync import SyncResult, conflicts, last_synced, synchronise

R = TypeVar("R", bound=ORMCalibration)

#: Time after which a sync that was due and failed is tried again.
_RETRY = timedelta(minutes=5)
#: When a look at the last sync's age is due again, s of the monotonic clock, by database, remote and limit.
_NEXT_LOOK: dict[tuple[Path, str, timedelta], float] = {}


class Archive(Generic[R]):
    """What a store does with the remote database, if there is one.

    Parameters
    ----------
    settings : Settings
    cache : Cache
    local : LocalDatabase
    sync_if_older_than : datetime.timedelta or None
        Age of the last sync from which `freshen` syncs.
    """

    def __init__(
        self, settings: Settings, cache: Cache, local: LocalDatabase[R], sync_if_older_than: timedelta | None
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._local = local
        self._limit = sync_if_older_than

    @cached_property
    def database(self) -> RemoteDatabase[R] | None:
        """The remote database; None where none is configured."""
        url = self._settings.remote_database_url
        return None if url is None else RemoteDatabase(self._local.orm_class, url)

    def close(self) -> None:
        """Close all connections."""
        if "database" in vars(self) and self.database is not None:
            self.database.close()

    def require(self, purpose: str = "") -> RemoteDatabase[R]:
        """Give the remote database.

        Parameters
        ----------
        purpose : str
            What of the user's request needs it, for the message.

        Raises
        ------
        RemoteNotConfiguredError
            When none is configured.
        RemoteUnavailableError, StaleWarning, warn
            When the store is offline.
        """
        if self.database is None:
            raise RemoteNotConfiguredError(
                f"No remote database is set{purpose}.",
                f"Set {REMOTE_DATABASE_URL} or pass remote_database_url.",
                variable=REMOTE_DATABASE_URL,
            )
        if self._settings.offline:
            host = host_of(self.database.engine)
            raise RemoteUnavailableError(
                f"The store is offline, and {self.database.name} is needed{purpose}.",
                "Unset KOA_OFFLINE; nothing was changed.",
                host=host,
            )
        return self.database

    def sync(self, *, full: bool = False) -> SyncResult:
        """Bring the local database up to date; see `CalibrationStore.sync_from_remote`."""
        remote = self.require()
        with self._local.translated_errors():
            return synchronise(self._local.engine, remote.engine, self._local.orm_class, full=full)

    @property
    def last_sync(self) -> str | None:
        """End of the last complete sync, UTC; None before the first."""
        synced = last_synced(self._local.engine, self._local.orm_class)
        return (
            None
            if synced is None
            else datetime.fromtimestamp(synced, UTC).replace(tzinfo=None).isoformat("T", "seconds")
        )

    def conflicts(self) -> list[Conflict]:
        """Rows of the remote that are kept apart."""
        return conflicts(self._local.engine, self._local.orm_class)

    def freshen(self) -> None:
        """Sync where the last one is older than the limit; where the remote is down, warn and go on.

        When the next look is due is known to all stores of this process, so that a pipeline which makes one for each
        step asks once, and waits once for a server that is down.
        """
        if self._limit is None or self._settings.remote_database_url is None or self._settings.offline:
            return
        key = (self._local.path, self._settings.remote_database_url, self._limit)
        if time.monotonic() < _NEXT_LOOK.get(key, 0.0):
            return
        age = self._age()
        if age is None or age >= self._limit:
            try:
                self.sync()
                age = timedelta(0)
            except RemoteUnavailableError as error:
                _NEXT_LOOK[key] = time.monotonic() + min(_RETRY, self._limit).total_seconds()
                last = "there was none before" if age is None else f"the last one was {_in_words(age)} ago"
                message = f"A sync is due and fails, {last}; what is here serves. {error}"
                warn(message, StaleWarning)
                return
        _NEXT_LOOK[key] = time.monotonic() + (self._limit - age).total_seconds()

    def advice(self) -> str:
        """Say what a sync could bring where nothing fits; empty where there is no remote."""
        if self._settings.remote_database_url is None:
            return ""
        age = self._age()
        last = "nothing was synced yet" if age is None else f"the last sync was {_in_words(age)} ago"
        return f"koa-cal sync brings what the archive has; {last}."

    def _age(self) -> timedelta | None:
        """Time since the last complete sync; None before the first, and where the clock has gone back since."""
        synced = last_synced(self._local.engine, self._local.orm_class)
        passed = -1.0 if synced is None else time.time() - synced
        return None if passed < 0 else timedelta(seconds=passed)

    def publish(self, records: Iterable[R] | None, upload_to: str | os.PathLike[str] | None) -> PublishResult:
        """Send records to the remote; see `CalibrationStore.publish`."""
        remote = self.require()
        ids = None if records is None else [record.id for record in records]
        upload = None if upload_to is None else self._uploader(upload_to)
        with self._local.translated_errors():
            result = publish(
                self._local.engine, remote.engine, self._local.orm_class, ids, upload=upload, place=self._place
            )
        for old in result.renamed:
            if not self._local.count(filename=old):
                self._cache.path(old).unlink(missing_ok=True)
        return result

    def flag(self, record: R, quality: str, reason: str) -> None:
        """Set the quality of a REMOTE record, there and here."""
        remote, who = self.require(f", where {record.filename} is to be flagged"), this_user()
        with self._local.translated_errors():
            flag_remote(self._local.engine, remote.engine, self._local.orm_class, record.id, quality, reason, who)
        with self._local.begin() as connection:
            note_flag(connection, self._local.orm_class, record.id, quality, reason, who)

    def _place(self, old: str, new: str) -> None:
        """Let a file stand under its new name too."""
        path = self._cache.path(old)
        if path.is_file() and not self._cache.path(new).exists():
            staged = self._cache.stage(path)
            self._cache.place(staged, new)

    def _uploader(self, destination: str | os.PathLike[str]) -> Callable[[Sequence[tuple[str, dict[str, Any]]]], None]:
        folder = _folder(destination)

        def upload(files: Sequence[tuple[str, dict[str, Any]]]) -> None:
            for filename, row in files:
                self._upload(self._cache.path(filename), folder / self._cache.path(row["filename"]).name, row)

        return upload

    def _upload(self, source: Path, final: Path, row: dict[str, Any]) -> None:
        """Copy a file there under a temporary name, verify it, and give it its name."""
        if not source.is_file():
            raise IntegrityError(
                f"{source} is not there.", "Nothing was published; register the file again.", path=source
            )
        expected = str(row["checksum"] or digest_of(source))
        algorithm = expected.partition(":")[0]
        if final.exists():
            if digest_of(final, algorithm) == expected:
                return
            raise IntegrityError(
                f"{final} has other content than {source}.", "Nothing was published; move one of them.", path=final
            )
        temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
        with cache_errors(final):
            try:
                with source.open("rb") as stream, temporary.open("xb") as sink:
                    shutil.copyfileobj(stream, sink, WRITTEN_AT_ONCE)
                    sink.flush()
                    os.fsync(sink.fileno())
                found = digest_of(temporary, algorithm)
                if found != expected:
                    raise IntegrityError(
                        f"{source} has the checksum {found}, {expected} is recorded.",
                        "Nothing was published; register the right file.",
                        path=source,
                    )
                temporary.rename(final)
                sync_folder(final.parent)
            finally:
                temporary.unlink(missing_ok=True)


def _folder(destination: str | os.PathLike[str]) -> Path:
    text = os.fspath(destination)
    if text.startswith("file://"):
        from urllib.parse import urlsplit
        from urllib.request import url2pathname

        text = url2pathname(urlsplit(text).path)
    folder = Path(text).expanduser()
    if "://" in text or not folder.is_dir():
        raise ConfigurationError(
            f"{destination} is no folder to upload to.",
            "Give a folder, or a file:// URL of one.",
            setting="upload_to",
            variable=None,
        )
    return folder


def _in_words(age: timedelta) -> str:
    hours = age / timedelta(hours=1)
    return (
        f"{age / timedelta(minutes=1):.0f} min"
        if hours < 2
        else f"{hours:.0f} h"
        if hours < 48
        else f"{hours / 24:.0f} d"
    )
