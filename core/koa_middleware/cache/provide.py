"""Having a record's file in the cache, verified, and brought from the archive where it is not there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from ..database.local import LocalDatabase
from ..database.verified_files import remember_signatures
from ..disk.checksums import Signature
from ..exceptions import (
    CacheError,
    CalibrationNotFoundError,
    ConfigurationError,
    DownloadError,
    IntegrityError,
    KoaMiddlewareError,
    QuarantineWarning,
    RemoteNotConfiguredError,
    warn,
)
from ..fetch.addresses import Address
from ..fetch.progress import shown_progress
from ..instrument.orm import ORMCalibration
from ..settings import CALIBRATION_URL, Settings
from .folder import Cache
from .prefetch import PrefetchReport
from .shared import SharedCache
from .verify import Verifier

if TYPE_CHECKING:
    from ..fetch.progress import Progress
    from ..fetch.server import FileServer
    from ..fetch.transfer import Transfer

R = TypeVar("R", bound=ORMCalibration)

#: Bytes that stay free on the disk when files are downloaded ahead.
_RESERVE = 100_000_000
WORKERS = 4
"""Parallel transfers, where nothing else is said."""


class Provided(NamedTuple):
    """A record's verified file.

    Attributes
    ----------
    path : pathlib.Path
    came : int
        Bytes that were transferred for it; 0 where it was here.
    """

    path: Path
    came: int = 0


class Provider(Generic[R]):
    """Gives records' files from a cache, and fills it from the archive's file server.

    Parameters
    ----------
    settings : Settings
    cache : Cache
    database : LocalDatabase
    """

    def __init__(self, settings: Settings, cache: Cache, database: LocalDatabase[R]) -> None:
        self._settings = settings
        self._cache = cache
        self._database = database
        self.verifier = Verifier(cache, database)
        self._shared = SharedCache(settings.shared_cache_dir, self.verifier)

    @cached_property
    def _server(self) -> FileServer:
        from ..fetch.server import FileServer

        return FileServer(
            self.require_url(),
            access_token=self._settings.access_token,
            cookie_file=self._settings.cookie_file,
            offline=self._settings.offline,
        )

    def require_url(self) -> str:
        """Give the archive's address.

        Raises
        ------
        RemoteNotConfiguredError
        ConfigurationError
            When it cannot be one.
        """
        if self._settings.calibration_url is None:
            raise RemoteNotConfiguredError(
                "No calibration URL is set.",
                f"Set {CALIBRATION_URL} or pass calibration_url.",
                variable=CALIBRATION_URL,
            )
        Address(self._settings.calibration_url)
        return self._settings.calibration_url

    @property
    def can_download(self) -> bool:
        """Whether there is a server to ask."""
        return self._settings.calibration_url is not None and not self._settings.offline

    def close(self) -> None:
        """Close all connections."""
        if "_server" in vars(self):
            self._server.close()

    def provide(self, record: R, use_cached: bool) -> Path:
        """Give the path of a record's verified file; see `CalibrationStore.get_calibration`."""
        return self._find(record, use_cached) or self.download(record, fresh=not use_cached)

    def provide_many(
        self,
        records: Sequence[R],
        use_cached: bool,
        *,
        workers: int = WORKERS,
        progress: Progress | None = None,
        bar: bool = False,
    ) -> list[Provided | KoaMiddlewareError]:
        """Give the verified files of many records; what is missing comes in parallel, and no failure stops it.

        Parameters
        ----------
        records : sequence of records
        use_cached : bool
            As in `provide`.
        workers : int
            Number of parallel transfers.
        progress : callable, optional
            Called with the bytes that have come since its last call.
        bar : bool
            Whether a terminal shows the progress where `progress` is not given.

        Returns
        -------
        list
            Aligned with `records`: the file, or the error.

        Raises
        ------
        ConfigurationError
            When a setting is unusable, which no other file would be spared.
        """
        outcomes: dict[int, Provided | KoaMiddlewareError] = {}
        transfers: dict[int, Transfer] = {}
        for index, record in enumerate(records):
            try:
                path = self._find(record, use_cached)
                if path is None:
                    transfers[index] = self._transfer(record)
                else:
                    outcomes[index] = Provided(path)
            except ConfigurationError:
                raise
            except KoaMiddlewareError as error:
                outcomes[index] = error
        if transfers:
            size = sum(records[index].file_size or 0 for index in transfers)
            with shown_progress(size, progress, bar) as advance:
                fetched = self._server.fetch_many(
                    list(transfers.values()),
                    self._cache.partial,
                    workers=workers,
                    progress=advance,
                    fresh=not use_cached,
                )
            for index, outcome in zip(transfers, fetched, strict=True):
                if isinstance(outcome, ConfigurationError):
                    raise outcome
                outcomes[index] = (
                    outcome
                    if isinstance(outcome, KoaMiddlewareError)
                    else Provided(outcome.path, outcome.file_size if outcome.transferred else 0)
                )
            self._remember([records[index] for index in transfers if isinstance(outcomes[index], Provided)])
        return [outcomes[index] for index in range(len(records))]

    def _find(self, record: R, use_cached: bool) -> Path | None:
        """Path of a record's verified file where it may be used; None where it is to come. Sets a spoilt one aside."""
        if not use_cached and record.origin != "LOCAL":
            return None
        path = self._cache.path(record.filename)
        if path.is_file():
            fault = self.fault(record, path)
            if not fault:
                return path
            aside = self.set_aside(record, path, fault)
            message = (
                f"{path} is not what its record says: {fault}. It was moved to {aside}; another one takes its place."
            )
            warn(message, QuarantineWarning)
        return self._in_shared(record)

    def path(self, record: R) -> Path:
        """Give the path of a record's file; see `CalibrationStore.get_local_filepath`."""
        own = self._cache.path(record.filename)
        return own if own.is_file() else self._shared.path(record) or own

    def is_here(self, record: R) -> bool:
        """Whether a record's file could be used without a download."""
        own = self._cache.path(record.filename)
        if own.is_file():
            return not self.fault(record, own)
        return self._stands_in_shared(record)

    def _stands_in_shared(self, record: R) -> bool:
        path, fault = self._shared.find(record)
        return path is not None and not fault

    def _in_shared(self, record: R) -> Path | None:
        """Path of a record's verified file in the shared cache; None where it has none, or a download can mend it.

        Raises
        ------
        IntegrityError
            When the only file that there is has other content.
        """
        path, fault = self._shared.find(record)
        if path is None or not fault:
            return path
        if record.origin == "LOCAL" or not self.can_download:
            raise IntegrityError(
                f"{path} of the shared cache is not what its record says: {fault}.",
                "Tell those who keep that cache; download the file into your own where there is a network.",
                path=path,
            )
        self._shared.warn(f"{path} is not what its record says: {fault}; it is downloaded into {self._cache.root}.")
        return None

    def fault(self, record: R, path: Path) -> str:
        """Say how the file of a record's name differs from the record; nothing when it does not.

        Without a recorded checksum another record's file of the same size would pass, so the name's owner counts.
        """
        if record.checksum is None and self._is_of_another(record):
            return "it belongs to another record of this name"
        return self.verifier.fault(record, path)

    def set_aside(self, record: R, path: Path, fault: str) -> Path:
        """Move a spoilt file to the quarantine, when it can be downloaded again; gives its new path.

        Raises
        ------
        DownloadError
            When it is the file of a LOCAL record of the same name.
        IntegrityError
            When it cannot be downloaded again; then the file stays, and is never handed out.
        """
        self._check_that_the_name_is_free(record)
        if record.origin == "LOCAL" or not (self.can_download or self._stands_in_shared(record)):
            raise IntegrityError(
                f"{path} is not what its record says: {fault}.",
                "It was left where it is: move it away, and register the right file again."
                if record.origin == "LOCAL"
                else "It was left where it is: set KOA_CALIBRATION_URL, where there is a network, and it comes again.",
                path=path,
            )
        return self._cache.quarantine(path)

    def download(self, record: R, *, fresh: bool = True) -> Path:
        """Bring a record's file, verified; see `CalibrationStore.download_calibration`."""
        transfer = self._transfer(record)
        path = self._server.fetch(transfer, self._cache.partial, fresh=fresh).path
        self._remember([record])
        return path

    def prefetch(self, records: Sequence[R], workers: int, progress: Progress | None) -> PrefetchReport:
        """Have the files of many records here; see `CalibrationStore.prefetch`."""
        report = PrefetchReport()
        wanted = {record.filename: record for record in records}
        if self.can_download:
            self._check_space(records)
        outcomes = self.provide_many(list(wanted.values()), True, workers=workers, progress=progress, bar=True)
        for filename, outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, KoaMiddlewareError):
                report.failed[filename] = str(outcome)
            else:
                (report.downloaded if outcome.came else report.cached).append(filename)
                report.size += outcome.came
        return report

    def missing_size(self, records: Sequence[R]) -> int:
        """Bytes that a prefetch of these records would bring, as far as their sizes are recorded."""
        missing = {r.filename: r.file_size or 0 for r in records if r.origin != "LOCAL" and not self.is_here(r)}
        return sum(missing.values())

    def _check_space(self, records: Sequence[R]) -> None:
        """Make sure that what is missing of these fits on the disk, and leaves some room there."""
        needed, free = self.missing_size(records), shutil.disk_usage(self._cache.root).free
        if needed and needed + _RESERVE > free:
            raise CacheError(
                f"{needed / 1e6:.1f} MB are to come to the disk of {self._cache.root}, which has {free / 1e6:.1f} MB "
                f"free, of which {_RESERVE / 1e6:.0f} MB are to stay so: they do not fit on the disk.",
                "Free some space, or ask for fewer files.",
                path=self._cache.root,
            )

    def _transfer(self, record: R) -> Transfer:
        from ..fetch.transfer import Transfer

        if record.origin == "LOCAL":
            raise DownloadError(
                f"{record.filename} is LOCAL, so that the archive does not have its file.",
                f"Register it again, if it is no longer in {self._cache.calibrations}.",
            )
        self._check_that_the_name_is_free(record)
        here = self._cache.path(record.filename).is_file()
        if self._settings.offline:
            raise DownloadError(
                f"{record.filename} {'would be downloaded again' if here else 'is not in the cache'}, and the store is "
                "offline.",
                "Unset KOA_OFFLINE, or fetch it where there is a network.",
            )
        if self._settings.calibration_url is None:
            missing = "would be downloaded again" if here else f"is not in the cache {self._cache.root}"
            raise RemoteNotConfiguredError(
                f"{record.filename} {missing}, and no calibration URL is set.",
                f"Set {CALIBRATION_URL}, or register the file.",
                variable=CALIBRATION_URL,
            )
        values = {**record.to_dict(), "instrument": self._database.orm_class.instrument_name}
        return Transfer(
            self._server.url_for(values), self._cache.path(record.filename), record.checksum, record.file_size
        )

    def _check_that_the_name_is_free(self, record: R) -> None:
        if self._is_of_another(record):
            raise DownloadError(
                f"{record.filename} of the archive cannot stand in the cache: a LOCAL calibration has its name.",
                "koa-cal status lists such conflicts; register that one under another name.",
            )

    def _is_of_another(self, record: R) -> bool:
        """Whether the file name belongs to another record."""
        try:
            return self._database.query_by_filename(record.filename).id != record.id
        except CalibrationNotFoundError:
            return False

    def _remember(self, records: Sequence[R]) -> None:
        found = [(record, Signature.of(self._cache.path(record.filename))) for record in records]
        with self._database.begin() as connection:
            remember_signatures(connection, self._database.orm_class, found)
