"""Providing a record's file: verified in the cache, or downloaded from the archive."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from sqlalchemy import select

from ..database.chunks import in_chunks
from ..database.local import LocalDatabase
from ..database.table import asked_name
from ..database.verified_files import Verified
from ..disk.checksums import Signature
from ..disk.room import check_room
from ..disk.writing import cache_errors, cannot_be_written
from ..exceptions import (
    CacheError,
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
from ..fetch.turns import only_one
from ..importing import importing
from ..instrument.orm import ORMCalibration
from ..kept import kept_property
from ..settings import CALIBRATION_URL, Settings
from .copies import is_elsewhere
from .decision import Decision, Found, Here, NotToBeHad, Spoilt, Terms, decide, decide_download
from .look import Knowledge, Looker, fault_of, note_verified
from .placing import Holdings
from .prefetch import Plan, PrefetchReport, Provided
from .shared import SharedCache

if TYPE_CHECKING:
    from ..fetch.progress import Progress
    from ..fetch.server import FileServer
    from ..fetch.transfer import Transfer

R = TypeVar("R", bound=ORMCalibration)

WORKERS = 4
"""Parallel transfers, where nothing else is said."""

_AT_ONCE = 500
"""File names that are looked up in one statement."""


class Transport(NamedTuple):
    """How files are downloaded.

    Attributes
    ----------
    workers : int
        Number of parallel transfers.
    progress : callable or None
        Called with the bytes that have come since its last call.
    bar : bool
        Whether a terminal shows the progress where `progress` is not given.
    """

    workers: int = WORKERS
    progress: Progress | None = None
    bar: bool = True


class Provider(Generic[R]):
    """Gives records' files from a cache, and fills it from the archive's file server.

    Parameters
    ----------
    settings : Settings
    holdings : Holdings
    known : LocalDatabase
        Where records are looked for: the holdings' own, or what stands under it too.

    Attributes
    ----------
    shared : SharedCache
    """

    def __init__(self, settings: Settings, holdings: Holdings[R], known: LocalDatabase[R]) -> None:
        self._settings = settings
        self._cache = holdings.cache
        self._database = holdings.database
        self._known = known
        self.shared = SharedCache(settings.shared_cache_dir)
        self._looker = Looker(self._cache, self._database, self.shared)
        has_url = settings.calibration_url is not None
        self._terms = {use_cached: Terms(use_cached, settings.offline, has_url) for use_cached in (True, False)}

    @kept_property
    def _server(self) -> FileServer:
        with importing:
            from ..fetch.server import FileServer

        return FileServer(
            self.require_url(),
            access_token=self._settings.access_token,
            cookie_file=self._settings.cookie_file,
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

    def close(self) -> None:
        """Close all connections."""
        if "_server" in vars(self):
            self._server.close()

    # -- one file ------------------------------------------------------------------------------------------------------

    def path(self, record: R) -> Path:
        """Give the path of a record's file; see `CalibrationStore.get_local_filepath`."""
        own = self._cache.path(record.filename)
        return own if own.is_file() else self.shared.path(record) or own

    def is_here(self, record: R) -> bool:
        """Whether a record's file could be used without a download."""
        return isinstance(decide(record, self._looker.look(record), self._terms[True]), Here)

    def not_here(self, records: Sequence[R]) -> list[R]:
        """Give those of some records whose files could not be used without a download."""
        there = [record for record in records if self._may_be_here(record)]
        decisions = zip(there, self._decide_many(there, use_cached=True), strict=True)
        here = {record.filename for record, decision in decisions if isinstance(decision, Here)}
        return [record for record in records if record.filename not in here]

    def names_here(self) -> list[str]:
        """Give the file names of all records whose files could be used without a download."""
        folders = [self._cache.calibrations, *self.shared.folders()]
        found = (path.name for folder in folders if folder.is_dir() for path in folder.iterdir())
        listed = {name for name in found if asked_name(name) == name}  # no record has another name
        there = [record for some in in_chunks(listed, _AT_ONCE) for record in self._known.query(filename=some)]
        missing = {record.filename for record in self.not_here(there)}
        return [record.filename for record in there if record.filename not in missing]

    def _may_be_here(self, record: R) -> bool:
        """Whether a file of that name may be here: a quick answer, since many are not."""
        if self._settings.shared_cache_dir is not None:
            return True
        return os.path.exists(f"{self._cache.calibrations}/{record.filename}")  # noqa: PTH110 - the fastest

    def is_whole(self, record: R) -> bool:
        """Whether the user's own cache has a record's file, with the recorded content."""
        knowledge = Knowledge(self._database)
        fault = fault_of(record, self._cache.path(record.filename), record.filename, knowledge)
        knowledge.save()
        return fault == ""

    def provide_by_id(self, id: str, use_cached: bool) -> tuple[Path, R]:
        """Give the verified file of the record of an id, and the record."""
        knowledge = Knowledge(self._known)
        record = knowledge.record(id)
        return self.provide(record, use_cached, knowledge), record

    def provide(self, record: R, use_cached: bool, knowledge: Knowledge[R] | None = None) -> Path:
        """Give the path of a record's verified file; see `CalibrationStore.get_calibration`."""
        found = self._looker.look(record, use_cached, knowledge)
        return self._act(record, self._decide(record, found, use_cached), fresh=not use_cached)

    def _decide(self, record: R, found: Found, use_cached: bool) -> Decision:
        """Decide what to do about a record's file; a fault of a shared LOCAL one is its keeper's."""
        decision = decide(record, found, self._terms[bool(use_cached)])
        is_absent = record.origin == "LOCAL" and found.own_fault is None and isinstance(decision, NotToBeHad)
        if is_absent and found.shared is None and self._is_shared(record):
            said = (
                f"{record.filename} is not in the shared cache {self._settings.shared_cache_dir}, which has its record."
            )
            return NotToBeHad(DownloadError(said, "Tell the keeper of that cache; the archive does not have it."))
        return decision

    def _is_shared(self, record: R) -> bool:
        """Whether the shared database alone has a record."""
        if self._known is self._database:
            return False
        column = self._database.orm_class.table().c.id
        return not self._database.execute(select(column).where(column == record.id))

    def download(self, record: R) -> Path:
        """Bring a record's file, verified; see `CalibrationStore.download_calibration`."""
        found = self._looker.look(record, use_cached=False)
        return self._act(record, decide_download(record, found, self._terms[False]), fresh=True)

    def _act(self, record: R, decision: Decision, *, fresh: bool) -> Path:
        step = self._prepare(record, decision)
        if isinstance(step, Path):
            return step
        fetched = self._server.fetch(step, self._cache.partial, fresh=fresh)
        self._remember([(record, fetched.transferred and is_elsewhere(step.url, step.destination))])
        return fetched.path

    def _prepare(self, record: R, decision: Decision, *, tell: bool = True) -> Path | Transfer:
        """Do what was decided, up to the transfer if there is one; a spoilt file is moved aside."""
        if isinstance(decision, NotToBeHad):
            raise decision.error
        if isinstance(decision, Here):
            if decision.path != self._cache.path(record.filename) or self._cache.note_use(decision.path):
                return decision.path
            found = self._looker.look(record)  # pruned just now
            return self._prepare(record, decide(record, found, self._terms[True]), tell=tell)
        if not isinstance(decision, Spoilt):
            return self._transfer(record)
        path, fault = decision.path, decision.fault
        try:
            step = self._prepare(record, decision.then)
        except CacheError as error:
            raise IntegrityError(f"{path} is not what its record says: {fault}.", error.hint, path=path) from error
        if decision.is_shared:
            self.shared.warn(f"{path} is not what its record says: {fault}; it is downloaded into {self._cache.root}.")
            return step
        try:
            key = None if isinstance(step, Path) else step.key
            with nullcontext() if key is None else only_one(self._cache.partial, key, threading.Event()):
                # Not what another process is bringing just now.
                aside = self._cache.quarantine(path, decision.signature)
        except CacheError as error:
            if not isinstance(step, Path) or not cannot_be_written(error):
                raise
            self.shared.warn(f"{path} is not what its record says: {fault}. The shared cache's file is used.")
            return step
        if aside is None and self.is_whole(record):
            return path
        if aside is not None and tell:
            way = "the shared cache's file is used" if isinstance(step, Path) else "it is downloaded again"
            message = f"{path} is not what its record says: {fault}. It was moved to {aside}; {way}."
            warn(message, QuarantineWarning)
        return step

    def _transfer(self, record: R) -> Transfer:
        from ..fetch.transfer import Transfer

        self._cache.check_writable()
        values = {**record.to_dict(), "instrument": self._database.orm_class.instrument_name}
        url = self._server.url_for(values)
        return Transfer(url, self._cache.path(record.filename), record.checksum, record.file_size)

    def _remember(self, came: Sequence[tuple[R, bool]]) -> None:
        """Note what the files of these records are now; with each, whether it came from the archive just now."""
        if not came:
            return
        with cache_errors(self._cache.calibrations, "read"):
            verified = [
                Verified(record.filename, record, Signature.of(self._cache.path(record.filename)), seen)
                for record, seen in came
            ]
        note_verified(self._database, verified)

    # -- many files ----------------------------------------------------------------------------------------------------

    def provide_many(
        self, records: Sequence[R], use_cached: bool, *, bar: bool = False
    ) -> list[Provided | KoaMiddlewareError]:
        """Give the verified files of many records; what is missing comes in parallel, and no failure stops it.

        With `bar`, a terminal shows the progress.

        Returns
        -------
        list
            Aligned with `records`: the file, or the error.

        Raises
        ------
        ConfigurationError
            When a setting is unusable, so that every download would fail.
        """
        decisions = self._decide_many(records, use_cached)
        return self._act_on_many(records, decisions, Transport(bar=bar), fresh=not use_cached)

    def prefetch(
        self, records: Sequence[R], use_cached: bool, transport: Transport, announce: Callable[[str], None] | None
    ) -> PrefetchReport:
        """Bring the files of many records; see `CalibrationStore.prefetch`."""
        report = PrefetchReport()
        wanted = list({record.filename: record for record in records}.values())
        decisions = self._decide_many(wanted, use_cached)
        plan = Plan.of(wanted, decisions)
        if announce is not None:
            announce(plan.in_words(self._cache.disks()[0]))
        for folder in self._cache.disks():
            check_room(folder, plan.size, "this download")
        outcomes = self._act_on_many(wanted, decisions, transport, fresh=not use_cached)
        for record, outcome in zip(wanted, outcomes, strict=True):
            report.note(record.filename, outcome)
        return report

    def _decide_many(self, records: Sequence[R], use_cached: bool) -> list[Decision]:
        return [
            NotToBeHad(found) if isinstance(found, KoaMiddlewareError) else self._decide(record, found, use_cached)
            for record, found in zip(records, self._looker.look_many(records, use_cached), strict=True)
        ]

    def _act_on_many(
        self,
        records: Sequence[R],
        decisions: Sequence[Decision],
        transport: Transport,
        *,
        fresh: bool,
        tell: bool = True,
    ) -> list[Provided | KoaMiddlewareError]:
        outcomes: dict[int, Provided | KoaMiddlewareError] = {}
        transfers: dict[int, Transfer] = {}
        for index, (record, decision) in enumerate(zip(records, decisions, strict=True)):
            try:
                step = self._prepare(record, decision, tell=tell)
            except ConfigurationError:
                raise
            except KoaMiddlewareError as error:
                outcomes[index] = error
            else:
                if isinstance(step, Path):
                    outcomes[index] = Provided(step)
                else:
                    transfers[index] = step
        outcomes |= dict(zip(transfers, self._fetch_many(list(transfers.values()), transport, fresh), strict=True))
        ended = [(records[index], outcomes[index], step) for index, step in transfers.items()]
        came = [(record, end.came, step) for record, end, step in ended if isinstance(end, Provided)]
        self._remember(
            [(record, bool(size) and is_elsewhere(step.url, step.destination)) for record, size, step in came]
        )
        return [outcomes[index] for index in range(len(records))]

    def _fetch_many(
        self, transfers: Sequence[Transfer], transport: Transport, fresh: bool
    ) -> list[Provided | KoaMiddlewareError]:
        if not transfers:
            return []
        size = sum(transfer.file_size or 0 for transfer in transfers)
        with shown_progress(size, transport.progress, transport.bar) as progress:
            fetched = self._server.fetch_many(
                transfers, self._cache.partial, workers=transport.workers, progress=progress, fresh=fresh
            )
        for outcome in fetched:
            if isinstance(outcome, ConfigurationError):
                raise outcome
        return [
            outcome
            if isinstance(outcome, KoaMiddlewareError)
            else Provided(outcome.path, outcome.file_size if outcome.transferred else 0)
            for outcome in fetched
        ]

    # -- repair --------------------------------------------------------------------------------------------------------

    def decide_repair(self, record: R, fault: str | None, knowledge: Knowledge[R]) -> Decision:
        """Decide how a record gets another file, where its own is spoilt, or missing (None)."""
        try:
            return decide(record, self._looker.look_past(record, fault, knowledge), self._terms[True])
        except KoaMiddlewareError as error:
            return NotToBeHad(error)

    def repair(self, records: Sequence[R], decisions: Sequence[Decision]) -> list[Provided | KoaMiddlewareError]:
        """Do what `decide_repair` said, in parallel; a spoilt file is moved aside, and no failure stops the others.

        Returns
        -------
        list
            Aligned with `records`: the file, or the error.
        """
        try:
            return self._act_on_many(records, decisions, Transport(), fresh=False, tell=False)
        except ConfigurationError as error:  # of which every download would fail
            return [error] * len(records)
