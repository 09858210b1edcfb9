"""The archive's database, as a store uses it: followed, published to, asked."""

from __future__ import annotations

import getpass
import os
import shutil
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from .cache import Cache, digest_of
from .copy_state import Conflict
from .database import CalibrationDatabase, LocalDatabase
from .engines import postgresql_engine
from .exceptions import (
    ConfigurationError,
    IntegrityError,
    RemoteNotConfiguredError,
    RemoteUnavailableError,
)
from .flags import note_flag
from .orm import ORMCalibration
from .publish import PublishResult, flag_remote, publish
from .remote_errors import host_of, remote_errors
from .settings import REMOTE_DATABASE_URL, Settings
from .sync import SyncResult, conflicts, last_synced, synchronise

R = TypeVar("R", bound=ORMCalibration)


class StaleWarning(UserWarning):
    """The remote did not answer a sync that was due; the local database serves as it is."""


class RemoteDatabase(CalibrationDatabase[R]):
    """An instrument's table on a PostgreSQL server; connections are opened when they are needed."""

    def __init__(self, orm_class: type[R], url: str) -> None:
        engine = postgresql_engine(url)
        super().__init__(orm_class, engine, f"the remote database at {host_of(engine)}")

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn the server's errors into this package's."""
        with remote_errors(self.engine, self.orm_class.table()):
            yield

    def __repr__(self) -> str:
        return (
            f"RemoteDatabase({self.orm_class.instrument_name}, {self.engine.url.render_as_string(hide_password=True)})"
        )


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
        self._fresh_until = 0.0
        self._table = local.orm_class.table()

    @cached_property
    def database(self) -> RemoteDatabase[R] | None:
        """The remote database; None where none is configured."""
        url = self._settings.remote_database_url
        return None if url is None else RemoteDatabase(self._local.orm_class, url)

    def close(self) -> None:
        """Close all connections."""
        if "database" in vars(self) and self.database is not None:
            self.database.close()

    def require(self) -> RemoteDatabase[R]:
        """Give the remote database.

        Raises
        ------
        RemoteNotConfiguredError
            When none is configured.
        RemoteUnavailableError
            When the store is offline.
        """
        if self.database is None:
            raise RemoteNotConfiguredError(
                "No remote database is set.",
                f"Set {REMOTE_DATABASE_URL} or pass remote_database_url.",
                variable=REMOTE_DATABASE_URL,
            )
        if self._settings.offline:
            host = host_of(self.database.engine)
            raise RemoteUnavailableError(
                f"The store is offline, and {self.database.name} is needed.",
                "Unset KOA_OFFLINE; nothing was changed.",
                host=host,
            )
        return self.database

    def sync(self, *, full: bool = False) -> SyncResult:
        """Bring the local database up to date; see `CalibrationStore.sync_from_remote`."""
        remote = self.require()
        with self._local.translated_errors():
            return synchronise(self._local.engine, remote.engine, self._table, full=full)

    @property
    def last_sync(self) -> str | None:
        """End of the last complete sync, UTC; None before the first."""
        synced = last_synced(self._local.engine, self._table)
        return (
            None
            if synced is None
            else datetime.fromtimestamp(synced, UTC).replace(tzinfo=None).isoformat("T", "seconds")
        )

    def conflicts(self) -> list[Conflict]:
        """Rows of the remote that are kept apart."""
        return conflicts(self._local.engine, self._table)

    def freshen(self) -> None:
        """Sync where the last one is older than the limit; where the remote is down, warn once and go on."""
        if self._limit is None or time.monotonic() < self._fresh_until:
            return
        self._fresh_until = time.monotonic() + self._limit.total_seconds()
        synced = last_synced(self._local.engine, self._table)
        age = None if synced is None else timedelta(seconds=max(0.0, time.time() - synced))
        if age is not None and age < self._limit:
            self._fresh_until -= age.total_seconds()
            return
        try:
            self.sync()
        except RemoteUnavailableError as error:
            last = "there was none before" if age is None else f"the last one was {_in_words(age)} ago"
            warnings.warn(f"A sync is due and fails, {last}; what is here serves. {error}", StaleWarning, stacklevel=4)

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
        remote, who = self.require(), getpass.getuser()
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
        if final.exists():
            if digest_of(final) == digest_of(source):
                return
            raise IntegrityError(
                f"{final} has other content than {source}.", "Nothing was published; move one of them.", path=final
            )
        temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
        with self._cache.writing(final):
            try:
                with source.open("rb") as stream, temporary.open("xb") as sink:
                    shutil.copyfileobj(stream, sink, 1 << 20)
                    sink.flush()
                    os.fsync(sink.fileno())
                found = digest_of(temporary, str(row["checksum"] or "sha256:").partition(":")[0])
                if row["checksum"] not in {None, found}:
                    raise IntegrityError(
                        f"{source} has the checksum {found}, {row['checksum']} is recorded.",
                        "Nothing was published; register the right file.",
                        path=source,
                    )
                temporary.rename(final)
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
