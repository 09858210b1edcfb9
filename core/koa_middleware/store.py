"""The store of one instrument's calibrations: a cache folder, its database, and the archive behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from numbers import Real
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, Literal, NamedTuple, NoReturn, Self, TypeVar, overload

from sqlalchemy import select

from .cache.folder import Cache
from .cache.former import provided_then
from .cache.own_files import check_not_emptied, tell_of_no_records
from .cache.placing import Holdings
from .cache.prefetch import Provided
from .cache.provide import WORKERS, Provider, Transport
from .cache.shared import with_shared
from .database.feed import write_flag
from .database.flags import check_judgement, check_own_judgement, this_user
from .database.local import LocalDatabase
from .database.moments import moment_of
from .database.past import Pasts
from .database.table import CalibrationDatabase, asked_name
from .disk.reading import user_path
from .display import html_table
from .exceptions import (
    CacheError,
    CalibrationNotFoundError,
    ConfigurationError,
    KoaMiddlewareError,
    SharedCacheWarning,
    warn,
)
from .former_names import FormerMethod, with_former_arguments
from .given import (
    check_callable,
    check_kind,
    check_limit,
    count_of,
    file_path_of,
    path_of,
    paths_of,
    record_of,
    records_of,
    stream_of,
    truth_of,
)
from .importing import importing
from .instrument.orm import ORMCalibration
from .instrument.plain import shown
from .kept import kept_property
from .remote.servers import with_files, without_password
from .settings import Settings, as_age, resolve

if TYPE_CHECKING:
    from .cache.bundle import BundleImport
    from .cache.bundle_export import BundleExport
    from .cache.copies import Copies
    from .cache.prefetch import PrefetchReport
    from .cache.prune import PruneReport
    from .cache.rebuild_report import RebuildReport
    from .cache.remove import Removal
    from .cache.upload import Uploader
    from .cache.verify import VerificationReport
    from .choosing.bracket import Bracket
    from .choosing.explanation import Explanation
    from .choosing.night import FrameSets
    from .database.kept_apart import Conflict
    from .database.told import History
    from .fetch.progress import Progress
    from .locked_selection import LockedSelection
    from .refresh import RefreshReport
    from .remote.archive import Archive
    from .remote.publish import PublishResult
    from .remote.sync import SyncResult
    from .reports.coverage.report import Coverage
    from .reports.lock.check import LockCheck
    from .reports.lock.lock_file import LockFile
    from .reports.lock.locking import ChosenIn
    from .reports.provenance.affected import Affected
    from .reports.provenance.provenance import Provenance
    from .selection import Selection

R = TypeVar("R", bound=ORMCalibration)


#: Address of an archive, and number and time of the newest entry of its feed that is here.
_State = tuple[str, int | None, str | None] | None

#: Attributes of a store that hold connections; a copy opens its own.
_OPENED = frozenset({"_archive", "_cache", "_files", "_holdings", "_selection", "known_db", "local_db", "_pasts"})


class CalibrationResult(NamedTuple):
    """A calibration as a file on disk, and its record.

    Attributes
    ----------
    path : pathlib.Path
        The file, which was verified.
    calibration : ORMCalibration
        The record.
    """

    path: Path
    calibration: Any

    def _repr_html_(self) -> str:
        record = self.calibration
        choice = getattr(record, "choice", None)
        rows = [
            ("file", self.path),
            ("type", record.cal_type),
            ("time (UTC)", record.datetime_obs),
            ("quality", record.quality),
            ("version", record.cal_version),
            ("id", record.id),
            *([] if choice is None else [("chosen for", choice.frame), ("by", choice.rule)]),
        ]
        return html_table(("", record.filename), rows)


def _with_files(answer: Any, files: Mapping[str, Any]) -> Any:
    """Give what was chosen with its files, which stand there by id, or the error of one that did not come."""
    if isinstance(answer, KoaMiddlewareError):
        return answer
    from .choosing.bracket import Bracket

    if isinstance(answer, Bracket):
        sides = [None if side is None else _with_files(side, files) for side in answer]
        failed = [side for side in sides if isinstance(side, KoaMiddlewareError)]
        return failed[0] if failed else Bracket(*sides)
    file = files[answer.id]
    return file if isinstance(file, KoaMiddlewareError) else CalibrationResult(file.path, answer)


class CalibrationStore(Generic[R]):
    """Finds, holds and takes in the calibrations of one instrument.

    Each setting comes from its argument, else from its environment variable, else from its default.
    Making a store creates what is missing of the cache and opens no network connection. A store can be pickled: the
    copy opens its own connections with the same settings, the secrets among them.

    Parameters
    ----------
    orm_class : type
        The instrument's class, a plugin's `ORM`.
    cache_dir : path, optional
        ``KOA_CALIBRATION_CACHE``; there is no default.
    local_database_filename : str, optional
        ``KOA_LOCAL_DATABASE_FILENAME``; ``<instrument>_calibrations.db``.
    use_cached : bool, optional
        ``KOA_USE_CACHED_CALIBRATIONS``; true: files that are in the cache are not downloaded again.
    remote_database_url : str, optional
        ``KOA_REMOTE_DATABASE_URL``; local only.
    calibration_url : str, optional
        ``KOA_CALIBRATION_URL``; no downloads.
    offline : bool, optional
        ``KOA_OFFLINE``; false. An offline store opens no connection.
    shared_cache_dir : path, optional
        ``KOA_SHARED_CALIBRATION_CACHE``; none. Its calibrations are known under the user's own, and files that are
        not in the user's cache but in this one are used there; nothing is ever written to it.
    sync_if_older_than : datetime.timedelta, or seconds as number or text, optional
        Sync before a selection when the last sync is older than this; where the archive does not answer, a
        `StaleWarning` says so once and the selection goes on.
    lock : path or LockFile, optional
        Frames get what this lock file says, by content, and nothing else is chosen.

    Attributes
    ----------
    orm_class : type
    local_db : LocalDatabase
        The local database.
    known_db : LocalDatabase
        Where `select`, `query` and `explain` look: the local database, with the shared cache's rows under its own.
    settings : Settings
        What the store was made with, each setting resolved; secrets are not part of its repr.

    Raises
    ------
    ConfigurationError
        When a setting is missing or unusable, or the folder cannot be written.
    CacheError, SchemaMismatchError
        When the database cannot be opened, or is another version's.
    """

    @with_former_arguments
    def __init__(
        self,
        orm_class: type[R],
        cache_dir: str | os.PathLike[str] | None = None,
        local_database_filename: str | None = None,
        use_cached: bool | None = None,
        *,
        remote_database_url: str | None = None,
        calibration_url: str | None = None,
        offline: bool | None = None,
        shared_cache_dir: str | os.PathLike[str] | None = None,
        sync_if_older_than: timedelta | float | str | None = None,
        lock: str | os.PathLike[str] | LockFile | None = None,
    ) -> None:
        _check_class(orm_class)
        settings = resolve(
            orm_class.instrument_name,
            cache_dir=cache_dir,
            local_database_filename=local_database_filename,
            use_cached=use_cached,
            remote_database_url=remote_database_url,
            calibration_url=calibration_url,
            offline=offline,
            shared_cache_dir=shared_cache_dir,
        )
        self._lock = None if lock is None else _locked(orm_class, lock)
        self._open(orm_class, with_files(settings, orm_class.instrument_name), as_age(sync_if_older_than))

    def _open(self, orm_class: type[R], settings: Settings, sync_if_older_than: timedelta | None) -> None:
        self.orm_class, self.settings, self._sync_if_older_than = orm_class, settings, sync_if_older_than
        self._cache = Cache(settings.cache_dir)
        own, shared = self._cache.database / settings.local_database_filename, settings.shared_database
        self._cache.create(own, shared)
        check_not_emptied(orm_class, self._cache, own)
        self.local_db = LocalDatabase(orm_class, own, may_be_missing=shared is not None)
        try:
            self.known_db = with_shared(self.local_db, shared)
            self._holdings = Holdings(self._cache, self.local_db)
            tell_of_no_records(self._holdings, self.known_db)
            if self.local_db.was_new:
                from .database.older import tell_of_older_table

                tell_of_older_table(self.local_db)
        except BaseException:  # a warning may be made an error
            self.local_db.close()
            raise
        self._files = Provider(settings, self._holdings, self.known_db)
        self._is_swept = False
        self._pasts: Pasts[R] = Pasts()

    select_and_get_calibration = FormerMethod("select_and_get_calibration")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _OPENED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open a store of its own, with the settings of the one that was pickled, in whatever process."""
        vars(self).update(state)
        self._open(self.orm_class, self.settings, self._sync_if_older_than)

    @kept_property
    def _selection(self) -> Selection | LockedSelection:
        """What chooses, whose modules a store does not load that is only listed."""
        with importing:
            from .selection import Selection

        return Selection(self.orm_class, self._advice) if self._lock is None else self._locked_selection(self._lock)

    def _locked_selection(self, lock: LockFile) -> LockedSelection:
        from .cache.leftovers import last_in_quarantine
        from .locked_records import Sources
        from .locked_selection import LockedSelection

        settings = self.settings
        may_sync = settings.remote_database_url is not None and not settings.offline
        downloads = settings.calibration_url is not None and not settings.offline
        aside = partial(last_in_quarantine, self._cache)
        sources = Sources(self.sync_from_remote if may_sync else None, self._files.is_here, downloads, aside)
        return LockedSelection(self.orm_class, lock, sources)

    def _sweep(self) -> None:
        """Remove, once, what killed processes left a day ago."""
        if not self._is_swept and self._cache.has_old_entries():
            from .cache.leftovers import sweep

            sweep(self._cache)
        self._is_swept = True

    @kept_property
    def _copies(self) -> Copies[R]:
        with importing:
            from .cache.copies import Copies

        return Copies(self._holdings, self.settings.calibration_url)

    @kept_property
    def _archive(self) -> Archive[R]:
        """The archive, whose modules a store that stays local does not load."""
        with importing:
            from .remote.archive import Archive

        return Archive(self.settings, self.local_db, self._sync_if_older_than, self._cache.holds)

    @property
    def cache_dir(self) -> Path:
        """The cache folder, absolute."""
        return self.settings.cache_dir

    @property
    def use_cached(self) -> bool:
        """Whether files that are in the cache are used without downloading them again."""
        return self.settings.use_cached

    def close(self) -> None:
        """Close all connections; records stay usable."""
        self._files.close()
        self._pasts.close()
        if "_archive" in vars(self):
            self._archive.close()
        self.known_db.close()
        self.local_db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        url = self.settings.remote_database_url
        remote = "local only" if url is None else f"remote={without_password(url)!r}"
        return (
            f"CalibrationStore({self.orm_class.instrument_name}, cache_dir={str(self.cache_dir)!r}, "
            f"database={self.settings.local_database_filename!r}, {remote}"
            f"{'' if self._lock is None else f', lock={self._lock.name!r}'})"
        )

    def _repr_html_(self) -> str:
        settings = self.settings
        url = settings.remote_database_url
        rows = [
            ("cache", self.cache_dir),
            ("database", settings.local_database_filename),
            ("archive", "none" if url is None else without_password(url)),
            ("downloads", "no" if settings.offline or settings.calibration_url is None else "yes"),
            ("offline", "yes" if settings.offline else "no"),
            *([] if settings.shared_cache_dir is None else [("shared cache", settings.shared_cache_dir)]),
            *([] if self._lock is None else [("lock", self._lock.name)]),
        ]
        return html_table(("", self.orm_class.instrument_name), rows)

    @property
    def remote_db(self) -> CalibrationDatabase[R] | None:
        """The archive's database, for reading; None where none is configured."""
        return None if self._archive.remote is None else self._archive.remote.database

    # -- choosing ------------------------------------------------------------------------------------------------------

    def select(
        self,
        input: Any,
        selector: Any,
        *,
        source: Literal["local", "remote"] = "local",
        as_of: str | datetime | None = None,
    ) -> R:
        """Give the record that fits a frame best; no file is touched.

        Parameters
        ----------
        input : path, header, mapping or model
            The frame; in any of the forms that the docs name.
        selector : CalibrationSelector or str
            A selector, its class, or the name of a cal type that the plugin has one for.
        source : str
            Which database answers: ``"local"``, or ``"remote"`` by the same rule for those who have no copy of it.
        as_of : str or datetime.datetime, optional
            The answer of the records as they stood at this time, UTC; a date alone is the end of that day, today's
            is now. The record's `choice` says so.

        Raises
        ------
        CalibrationNotFoundError
            When nothing fits; says what was asked and why the nearest candidates were refused.
        ConfigurationError
            When the state of `as_of` is not known.
        HeaderError, SourceFileError
            When the frame lacks a needed value or cannot be read.

        Examples
        --------
        >>> dark = store.select(frame, "dark")
        >>> dark.filename, dark.choice.delta_days
        ('dark_2.fits', 0.5)
        """
        database = self._database(source, as_of)
        record: R = self._selection.select(input, selector, database, is_local=source == "local")
        return record

    def select_many(
        self,
        inputs: Iterable[Any],
        selector: Any,
        *,
        return_exceptions: bool = False,
        source: Literal["local", "remote"] = "local",
        as_of: str | datetime | None = None,
    ) -> list[R | KoaMiddlewareError]:
        """Records for many frames, aligned with them; a single path or mapping is one frame.

        Parameters
        ----------
        inputs : iterable of frames
        selector, source, as_of
            As in `select`.
        return_exceptions : bool
            Whether an error stands in the place of its frame; else the first one is raised.

        Raises
        ------
        CalibrationNotFoundError, HeaderError, SourceFileError
            As in `select`.
        """
        keep, is_local = truth_of("return_exceptions", return_exceptions), source == "local"
        return self._selection.many(inputs, selector, self._database(source, as_of), is_local=is_local, keep=keep)

    def select_bracket(
        self,
        input: Any,
        selector: Any,
        *,
        source: Literal["local", "remote"] = "local",
        as_of: str | datetime | None = None,
    ) -> Bracket:
        """Give the nearest records before and after a frame; no file is touched.

        Parameters
        ----------
        input, selector, source, as_of
            As in `select`; the selector's direction does not matter.

        Returns
        -------
        Bracket
            ``before`` is at or before the frame; one of the two may be None. `weight` is the weight of ``after`` in a
            linear interpolation.

        Raises
        ------
        CalibrationNotFoundError
            When nothing fits on either side.
        ConfigurationError
            When the rule knows no pairs.
        HeaderError, SourceFileError
            As in `select`.

        Examples
        --------
        >>> pair = store.select_bracket(frame, "wls")
        >>> pair.before.filename, pair.after.filename, pair.weight
        ('wls_0.fits', 'wls_2.fits', 0.75)
        """
        return self._selection.bracket(input, selector, self._database(source, as_of), is_local=source == "local")

    def get_bracket(
        self,
        input: Any,
        selector: Any,
        *,
        use_cached: bool | None = None,
        as_of: str | datetime | None = None,
    ) -> Bracket:
        """Give the calibrations before and after a frame, as verified files on disk and their records.

        Parameters
        ----------
        input, selector, use_cached, as_of
            As in `get_calibration`.

        Raises
        ------
        CalibrationNotFoundError, ConfigurationError, HeaderError, SourceFileError
            As in `select_bracket`.
        RemoteError, IntegrityError
            As in `get_calibration`.
        """
        use = self._use_cached(use_cached)
        found = self.select_bracket(input, selector, as_of=as_of)
        from .choosing.bracket import Bracket

        return Bracket(*(each and self._result(each, use, as_of) for each in found))

    def candidates(self, input: Any, selector: Any, *, as_of: str | datetime | None = None) -> list[R]:
        """All records that a rule admits for a frame: the chosen one, then the others, best first by each step.

        Parameters
        ----------
        input, selector, as_of
            As in `select`.

        Raises
        ------
        HeaderError, SourceFileError
            As in `select`.
        """
        return self._selection.candidates(input, selector, self._database("local", as_of))

    def select_common(self, inputs: Iterable[Any], selector: Any, *, as_of: str | datetime | None = None) -> R:
        """Give the one record for a stack of frames, the nearest to the middle of the first and the last time.

        It fits each of the frames: in tolerances, limits and intervals. A value of `match_if_known` that some frames
        lack is that of the others.

        Parameters
        ----------
        inputs, selector, as_of
            As in `select_many`.

        Raises
        ------
        HeaderError
            When the frames do not agree in what is compared, or a boundary of `never_across` lies between them; says
            which ones, and in what.
        CalibrationNotFoundError
            When nothing fits all of them.
        ConfigurationError
            When there are no frames, or a method of the selector's own chooses.
        """
        record: R = self._selection.common(inputs, selector, self._database("local", as_of))
        return record

    def select_set(
        self, input: Any, cal_types: Iterable[str] | None = None, *, as_of: str | datetime | None = None
    ) -> dict[str, Any]:
        """Give the records of all types that a frame needs; no file is touched.

        Parameters
        ----------
        input, as_of
            As in `select`.
        cal_types : iterable of str, optional
            As in `get_calibrations`.

        Returns
        -------
        dict
            By type: the record, a `Bracket` where the selector's direction is one, or the error.
        """
        frames = self._selection.frames([input], keep=True)
        (found,) = self._selection.sets(frames, cal_types, self._database("local", as_of))
        return found

    def select_sets(
        self, inputs: Iterable[Any], cal_types: Iterable[str] | None = None, *, as_of: str | datetime | None = None
    ) -> FrameSets:
        """Give the records of all types that many frames need, as one batch; no file is touched.

        Parameters
        ----------
        inputs, cal_types, as_of
            As in `select_many` and `select_set`.
        """
        from .choosing.batch import records_in
        from .choosing.misses import moment_asked
        from .choosing.night import FrameSets

        frames = self._selection.frames(inputs, keep=True)
        database = self._database("local", as_of)
        sets, state = self._selection.sets(frames, cal_types, database), self._archive.state()
        chosen = {each.filename: each for one in sets for answer in one.values() for each in records_in(answer)}
        not_here = {record.filename: record for record in self._files.not_here(list(chosen.values()))}
        left_out = self._selection.left_out(frames.values, cal_types)
        making = (
            partial(_lock_of, state, moment_asked(database))
            if self._lock is None
            else partial(_refuse_lock, self._lock.name)
        )
        return FrameSets(frames.names, sets, not_here, self.orm_class, frames.values, left_out, making)

    def lock(
        self,
        inputs: Iterable[Any],
        cal_types: Iterable[str] | None = None,
        *,
        use: Mapping[str, Any] | None = None,
        as_of: str | datetime | None = None,
    ) -> LockFile:
        """Give a lock file: what is chosen for frames, so that ``CalibrationStore(lock=...)`` gives the same anywhere.

        Parameters
        ----------
        inputs, cal_types
            As in `select_sets`. A type that nothing fits is kept with the reason.
        use : mapping, optional
            As in `get_calibrations`, for all of the frames.
        as_of : str or datetime, optional
            As in `select`.

        Raises
        ------
        SourceFileError, HeaderError
            When a frame cannot be read.
        ConfigurationError
            When two frames have one file name and differ in more than what the caller gives for them, or the store is a
            locked one.

        Examples
        --------
        >>> path = store.lock([frame]).write("night.lock")
        >>> locked = open_store("demo", lock="night.lock")
        """
        if self._lock is not None:
            _refuse_lock(self._lock.name)
        from .choosing.misses import moment_asked
        from .choosing.night import FrameSets
        from .own_choice import own_choices

        frames = self._selection.frames(inputs, keep=False)
        database, state = self._database("local", as_of), self._archive.state()
        own = own_choices(use, frames.values, self.known_db, self._files.path)
        sets = self._selection.sets(frames, cal_types, database, own.records)
        making = partial(_lock_of, state, moment_asked(database), unregistered=frozenset(own.paths))
        left_out = self._selection.left_out(frames.values, cal_types)
        return FrameSets(frames.names, sets, {}, self.orm_class, frames.values, left_out, making).lock()

    def check_lock(self, lock: str | os.PathLike[str] | LockFile, inputs: Iterable[Any] | None = None) -> LockCheck:
        """Tell what would be chosen differently now than a lock file says, and why.

        Parameters
        ----------
        lock : path or LockFile
        inputs : iterable of frames, optional
            Only these frames of it. By default all, of which no file is needed, since their values stand in the lock.

        Returns
        -------
        LockCheck
            `ok`, the `causes`, and `now`: what would be locked.

        Raises
        ------
        SourceFileError, ConfigurationError
            When it is no lock file of this instrument, or the store is a locked one.
        CalibrationNotFoundError
            When it does not have one of the `inputs`.
        RemoteUnavailableError
            When an archive is configured that was never synced and does not answer.
        """
        from .lock_checking import check
        from .remote.staleness import state_in_words

        if self._lock is not None:
            _refuse_lock(self._lock.name)
        if self.settings.remote_database_url is not None and self.last_sync is None:
            self.sync_from_remote()  # what is not known here yet would be told as changed
        given, _ = _locked(self.orm_class, lock), self._database("local")
        state = self._archive.state()
        synced = "" if state is None else state_in_words(self.local_db)
        return check(given, inputs, self._selection, self.known_db, self.local_db, _chosen_in(state), synced)

    def locked_records(self) -> list[R]:
        """Give the records of all calibrations that the store's lock file names.

        Raises
        ------
        ConfigurationError
            When the store has no lock file.
        CalibrationNotFoundError
            Lists those that are not to be had any more.
        """
        if self._lock is None:
            raise ConfigurationError("The store has no lock file.", "Open it with lock=PATH.", setting="lock")
        return self._locked_selection(self._lock).records(self.known_db)

    def explain(
        self, input: Any, selector: Any, nearest: int = 20, *, as_of: str | datetime | None = None
    ) -> Explanation:
        """Tell why each record of the type was refused or chosen; prints as a table.

        Parameters
        ----------
        input, selector, as_of
            As in `select`.
        nearest : int
            How many records, nearest in time first, are told one by one; the others are counted.

        Examples
        --------
        >>> explanation = store.explain(frame, "dark")
        >>> explanation.headline()
        'dark for ... is chosen'
        >>> print(explanation)
        dark for ...
        """
        return self._selection.explain(input, selector, self.known_at(as_of), count_of("nearest", nearest))

    def get_calibration(
        self,
        input: Any,
        selector: Any,
        *,
        use_cached: bool | None = None,
        as_of: str | datetime | None = None,
    ) -> CalibrationResult:
        """Give the calibration that fits a frame best, as a verified file on disk and its record.

        Parameters
        ----------
        input, selector, as_of
            As in `select`. The file is that of then, also under the name that it has now; there is none where its
            content is another one now.
        use_cached : bool, optional
            In place of the store's setting for this call.

        Raises
        ------
        CalibrationNotFoundError, HeaderError, SourceFileError
            As in `select`.
        RemoteError, IntegrityError
            When the file is not here and does not come, or is not what its record says.

        Examples
        --------
        >>> dark = store.get_calibration(frame, "dark")
        >>> dark.path.name, dark.calibration.quality
        ('dark_2.fits', 'GOOD')
        """
        record = self.select(input, selector, as_of=as_of)
        return self._result(record, self._use_cached(use_cached), as_of)

    def _result(self, record: R, use_cached: bool, as_of: str | datetime | None) -> CalibrationResult:
        if as_of is None:
            return CalibrationResult(self._files.provide(record, use_cached), record)
        found = self._files_then({record.id: record}, use_cached)[record.id]
        if isinstance(found, KoaMiddlewareError):
            raise found
        return CalibrationResult(found.path, record)

    def _files_then(self, records: Mapping[str, R], use_cached: bool) -> dict[str, Any]:
        """Give the files of records as they stood at a time, by id; errors stand in their places."""
        provide = partial(self._files.provide_many, use_cached=use_cached)
        return provided_then(records, self.known_db, self._cache, provide)

    @overload
    def get_calibrations(
        self,
        input: Any,
        cal_types: Iterable[str] | None = None,
        *,
        use: Mapping[str, Any] | None = None,
        return_exceptions: Literal[False] = False,
        as_of: str | datetime | None = None,
    ) -> dict[str, CalibrationResult | Bracket]: ...

    @overload
    def get_calibrations(
        self,
        input: Any,
        cal_types: Iterable[str] | None = None,
        *,
        use: Mapping[str, Any] | None = None,
        return_exceptions: Literal[True],
        as_of: str | datetime | None = None,
    ) -> dict[str, CalibrationResult | Bracket | KoaMiddlewareError]: ...

    def get_calibrations(
        self,
        input: Any,
        cal_types: Iterable[str] | None = None,
        *,
        use: Mapping[str, Any] | None = None,
        return_exceptions: bool = False,
        as_of: str | datetime | None = None,
    ) -> Mapping[str, CalibrationResult | Bracket | KoaMiddlewareError]:
        """Give the best calibration of each type for a frame, in the plugin's order or that of `cal_types`.

        By default these are the types that the plugin says such a frame needs, else all that it has a selector for, but
        those whose selector compares a `given` column of which the frame says nothing. Of a selector whose direction is
        ``"bracket"`` the value is a `Bracket`.

        Parameters
        ----------
        input, as_of
            As in `get_calibration`.
        cal_types : iterable of str, optional
        use : mapping, optional
            By cal type, the user's own choice in the place of the rule's: an id, a file name, a record, or the path of
            a file. A file that is not registered is described by its header and used where it lies. `choice` of its
            record says so, and what hangs on that type hangs on it. What is flagged as bad gives a `QualityWarning`,
            what names no type, or differs from the frame in a column that must agree, a `HeaderWarning`.
        return_exceptions : bool
            Whether a type's error stands in its place.

        Raises
        ------
        CalibrationNotFoundError
            Lists all types that nothing fits; or when what `use` names is not known.
        RemoteError, IntegrityError
            Likewise of all files that are not here and do not come.
        ConfigurationError, SourceFileError, HeaderError
            When `use` names a type without a selector, a calibration of another type, the frame itself, two
            calibrations of a type, or a file that is damaged or not described.

        Examples
        --------
        >>> found = store.get_calibrations(frame, ["dark", "wls"])
        >>> found["dark"].path.name, found["wls"].weight
        ('dark_2.fits', 0.75)
        """
        from .choosing.batch import records_in
        from .choosing.frame_sets import raise_failures
        from .own_choice import own_choices

        frames = self._selection.frames([input], keep=False)
        database = self._database("local", as_of)
        own = own_choices(use, frames.values, self.known_db, self._files.path)
        (chosen,) = self._selection.sets(frames, cal_types, database, own.records)
        files: dict[str, Any] = {id_: Provided(path) for id_, path in own.paths.items()}
        records = {each.id: each for answer in chosen.values() for each in records_in(answer) if each.id not in files}
        if as_of is None:
            files |= zip(records, self._files.provide_many(list(records.values()), self.use_cached), strict=True)
        else:
            files |= self._files_then(records, self.use_cached)
        found = {name: _with_files(answer, files) for name, answer in chosen.items()}
        if not truth_of("return_exceptions", return_exceptions):
            raise_failures(found)
        return found

    def get_calibration_by_id(
        self, id: str | R, *, use_cached: bool | None = None, as_of: str | datetime | None = None
    ) -> CalibrationResult:
        """Give the calibration of an id, or of a record, as a verified file on disk and its record.

        Parameters
        ----------
        id : str or record
        use_cached, as_of
            As in `get_calibration`.

        Raises
        ------
        CalibrationNotFoundError
            When there is none.
        RemoteError, IntegrityError
            As in `get_calibration`.
        """
        if as_of is not None:
            return self._result(self.known_at(as_of).query_by_id(asked_name(id)), self._use_cached(use_cached), as_of)
        return CalibrationResult(*self._files.provide_by_id(asked_name(id), self._use_cached(use_cached)))

    def _advice(self, error: CalibrationNotFoundError) -> list[str]:
        """Give what else may be done where nothing fits."""
        from .database.older import of_older_table

        return [self._archive.advice(), "" if error.total else of_older_table(self.local_db)]

    def known_at(self, as_of: str | datetime | None) -> LocalDatabase[R]:
        """Give `known_db` as it stood at a time, for reading; it is the store's, which closes it.

        Raises
        ------
        ConfigurationError
            When `as_of` is no time, or the state of that time is not known; see `select`.
        """
        if as_of is None:
            return self.known_db
        if self._lock is not None:
            raise _locked_out(self._lock.name, "as_of")
        has_archive = self.settings.remote_database_url is not None
        return self._pasts.at(self.known_db, moment_of(as_of), has_archive=has_archive)

    def among_cached(self) -> Self:
        """Give this store as if it knew only the records whose files are on this disk, whole; for reading.

        It shares this store's connections, which closes it. A calibration that is registered or downloaded later is
        not in it.

        Raises
        ------
        ConfigurationError
            When a lock says what is chosen.
        """
        if self._lock is not None:
            raise _locked_out(self._lock.name, "among_cached")
        with importing:
            from .database.present import PresentDatabase

        found = object.__new__(type(self))
        present = PresentDatabase(self.known_db, self._files.names_here())
        vars(found).update(vars(self), known_db=present, _sync_if_older_than=None)
        return found

    def _database(self, source: str, as_of: str | datetime | None = None) -> CalibrationDatabase[R]:
        check_kind("source", source, str, "'local' or 'remote'")
        if self._lock is not None and source != "local":
            raise _locked_out(self._lock.name, "source")
        if source == "local":
            if self._sync_if_older_than is not None and self.local_db.refusal is None:
                self._archive.freshen()
            self._archive.tell_of_a_partial_copy()
            return self.known_at(as_of)
        if source == "remote":
            there = self._archive.require("A selection from the archive").database
            return there if as_of is None else there.as_of(moment_of(as_of))
        raise ConfigurationError(
            f"There is no source {shown(source)}.", "Use 'local' or 'remote'.", setting="source", variable=None
        )

    # -- records -------------------------------------------------------------------------------------------------------

    def query(
        self,
        cal_type: str | None = None,
        date_time_start: str | datetime | None = None,
        date_time_end: str | datetime | None = None,
        *,
        as_of: str | datetime | None = None,
        **columns: Any,
    ) -> list[R]:
        """Records that match, ordered by time, then id.

        Parameters
        ----------
        cal_type : str or list of str, optional
        date_time_start, date_time_end : str, datetime or astropy Time, optional
            UTC, both inclusive; a date alone as the end means all of that day.
        as_of : str or datetime, optional
            As in `select`.
        **columns
            Values to be equal, of several in a list any; None asks for a null.

        Raises
        ------
        HeaderError
            For a name that is no column, or an unusable value.
        ConfigurationError
            For a cal type that neither the plugin declares nor a record has, and for an end before the start.

        Examples
        --------
        >>> [record.filename for record in store.query("dark", "2023-02-26", quality="GOOD")]
        ['dark_2.fits']
        """
        return self.known_at(as_of).query(cal_type, date_time_start, date_time_end, **columns)

    def history(self, id_or_filename: str | R) -> History:
        """Tell what happened to a record, oldest first, also to one that is gone.

        Of a file name it tells of all records that had it, one after the other.

        Parameters
        ----------
        id_or_filename : str or record
            A file name may be a former one.

        Returns
        -------
        History
            A list of dicts with `time` (UTC), `id`, `who`, `what` (``"added"``, ``"published"``, ``"changed"``,
            ``"flagged"``, ``"withdrawn"``, ``"judged here"``, ``"superseded"``), `why`, `before` and `after`: the
            columns in which the versions differ.

        Raises
        ------
        CalibrationNotFoundError
            When there never was such a record, as far as it is known.
        """
        from .database.told import history_of

        return history_of(self.known_db, asked_name(id_or_filename))

    def to_table(self, records: Iterable[R] | R, *, times: bool = False) -> Any:
        """Give records as an `astropy.table.Table`: a row each, units on the columns, nulls masked.

        `filename`, `cal_type`, `datetime_obs` and `quality` come first, then the instrument's own columns, then the
        other ones, with `id` and `checksum` last.

        Parameters
        ----------
        records : record or iterable of records
            Without any, the table has all columns and no rows.
        times : bool
            Whether `datetime_obs` and `mjd_start` are columns of `astropy.time.Time`, in UTC.

        Returns
        -------
        astropy.table.Table

        Raises
        ------
        ConfigurationError
            When something else than records is given.

        Examples
        --------
        >>> table = store.to_table(store.query("dark"), times=True)
        >>> print(table["datetime_obs"].max().isot)
        2023-02-27T00:00:00.000
        """
        from .display import astropy_table

        return astropy_table(self.orm_class, records_of(records), times=truth_of("times", times))

    def coverage(
        self,
        cal_types: str | Iterable[str] | None = None,
        start: str | datetime | None = None,
        end: str | datetime | None = None,
    ) -> Coverage:
        """Tell what calibrations there are over time, and when the rules give none.

        Parameters
        ----------
        cal_types : str or iterable of str, optional
            All that the plugin has a selector for by default.
        start, end : str or datetime, optional
            UTC; a date alone as the end means all of that day. By default from the first calibration to the last.

        Raises
        ------
        ConfigurationError
            When there is no selector of a type, or the end is not after the start.
        HeaderError
            When a time is none.

        Examples
        --------
        >>> coverage = store.coverage("dark", "2023-02-01", "2023-03-01")
        >>> coverage.to_dict()["groups"][0]["records"][0]["filename"]
        'dark_0.fits'
        >>> figure = coverage.figure("night.png")
        """
        from .reports.coverage.finding import coverage_of

        return coverage_of(self.known_db, cal_types, start, end)

    # -- where products come from --------------------------------------------------------------------------------------

    def provenance(self, results: Any) -> Provenance:
        """Tell which calibrations a product was made with: as FITS cards, as lines of a history, in terms of PROV.

        Parameters
        ----------
        results : mapping or iterable
            What `get_calibrations` or `select_set` gave; or a list of results, records and pairs.

        Raises
        ------
        ConfigurationError
            When it is something else.

        Examples
        --------
        >>> found = store.get_calibrations(frame, ["dark"])
        >>> store.provenance(found).cards()["KC01FILE"]
        'dark_2.fits'
        """
        from .reports.provenance.provenance import provenance_of

        judged = self.known_db.judged_here()
        own = {id_: said.quality for id_, said in judged.items()}
        return provenance_of(results, self.orm_class, own, self._calibration_folders())

    def affected(
        self,
        id_or_filename: str | R,
        *,
        products: Iterable[str | os.PathLike[str]] = (),
        locks: Iterable[str | os.PathLike[str]] = (),
    ) -> Affected:
        """Find what was made from a calibration: masters, what was made from these, products and lock files.

        One that is gone is looked for as it was last. Masters are those whose files are in the cache, or in a shared
        one. A header names what was used by our cards, or by those that the plugin declares; it is known there by its
        checksum or id, else by its file's name.

        Parameters
        ----------
        id_or_filename : str or record
        products : iterable of path
            FITS files, and folders with all that is in them.
        locks : iterable of path
            Lock files.

        Returns
        -------
        Affected
            A file that cannot be read is told there.

        Raises
        ------
        CalibrationNotFoundError
            When there never was such a record.
        SourceFileError
            When a product, a folder or a lock file is not there.
        """
        from .database.told import known_or_former
        from .reports.provenance.affected import affected_by

        record = known_or_former(self.known_db, asked_name(id_or_filename))
        given = paths_of("products", products), paths_of("locks", locks)
        return affected_by(record, self.known_db, self._calibration_folders(), *given)

    def _calibration_folders(self) -> list[Path]:
        """Give the folders in which calibrations are found: the cache's, and a shared one's."""
        shared = self.settings.shared_cache_dir
        return [self._cache.calibrations, *([] if shared is None else [shared / "calibrations"])]

    # -- files ---------------------------------------------------------------------------------------------------------

    def register_calibration(
        self, source: Any, *, origin: str | None = None, new_version: bool = False
    ) -> CalibrationResult:
        """Put a calibration into the cache and the database, both or neither.

        Parameters
        ----------
        source : path or model
            A file, or an object with ``save(output_dir=...) -> path`` and `to_orm()` or `to_record()`.
        origin : str, optional
            ``"LOCAL"`` or ``"REMOTE"``; else what the header says, else ``"LOCAL"``.
        new_version : bool
            Whether other content of a family that is there becomes its next version.

        Returns
        -------
        CalibrationResult
            The same content under the same name gives the record that is there.
            What was removed is registered again with a `QualityWarning`.

        Raises
        ------
        DuplicateCalibrationError
            When the name or the family is taken by other content; nothing changes.
        SourceFileError, HeaderError, UnsafeFilenameError
            When the file is damaged, lacks a needed keyword, is of an unknown type, or has no safe name.
        CacheError
            When the cache cannot be written.

        Examples
        --------
        >>> result = store.register_calibration("dark_4.fits")
        >>> result.calibration.cal_type, result.calibration.origin
        ('dark', 'LOCAL')
        """
        self._sweep()
        from .register import Registration

        placed = Registration(self._holdings).register(source, origin, truth_of("new_version", new_version))
        return CalibrationResult(placed.path, placed.record)

    register_local_calibration = register_calibration

    def get_local_filepath(self, record: R) -> Path:
        """Path at which a record's file stands, also in a shared cache, or would stand in the user's own."""
        return self._files.path(record_of(record))

    def calibration_in_cache(self, record: R) -> bool:
        """Whether a record's file is in the cache, or in a shared one, with the recorded content."""
        return self._files.is_here(record_of(record))

    def download_calibration(self, record: R) -> Path:
        """Bring a record's file from the archive into the cache, verified, in place of one that is there.

        Raises
        ------
        RemoteNotConfiguredError
            When no calibration URL is set.
        DownloadError
            When it does not arrive, or the record is LOCAL.
        ChecksumMismatchError
            When it arrives with other content.
        CacheError
            When it cannot be written.
        """
        return self._files.download(record_of(record))

    def prefetch(
        self,
        inputs: Any = None,
        *,
        cal_types: Iterable[str] | None = None,
        records: Iterable[R] | R | None = None,
        workers: int = WORKERS,
        progress: Progress | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> PrefetchReport:
        """Download ahead what will be needed, in parallel.

        A file that cannot be downloaded, and a frame that nothing fits, are in the report and stop no other. What is in
        the cache stays, unless the store was made with `use_cached` false.

        Parameters
        ----------
        inputs : frame or list of frames, optional
            Whose best calibrations are wanted; each as in `select`.
        cal_types : iterable of str, optional
            Only these types of them.
        records : record or iterable of records, optional
            Wanted besides, for instance those of a night from `query`.
        workers : int
            Number of parallel transfers.
        progress : callable, optional
            Called with the bytes that have come since its last call; without it a terminal shows a bar.
        announce : callable, optional
            Called once, before anything is downloaded, with a line that says how much that is and how much is free.

        Raises
        ------
        CacheError
            When the files do not fit on the disk; then none is downloaded.
        ConfigurationError
            When a setting, such as the calibration URL or the cookie file, or an argument is unusable.
        """
        check_callable("progress", progress)
        check_callable("announce", announce)
        transport = Transport(count_of("workers", workers, least=1), progress)
        besides = [] if records is None else records_of(records)
        frames = self._selection.frames([] if inputs is None else inputs, keep=True)
        sets = self._selection.sets(frames, cal_types, self._database("local")) if frames.names else []
        from .choosing.frame_sets import wanted_of

        wanted = wanted_of(frames.names, frames.values, sets)
        report = self._files.prefetch([*besides, *wanted.records], self.use_cached, transport, announce)
        report.unmatched.update(wanted.unmatched)
        report.left_out.update(self._selection.left_out(frames.values, cal_types))
        return report

    def verify(self, repair: bool = False, *, dry_run: bool = False) -> VerificationReport:
        """Hash every cached file and compare it with its record; list what else there is, and check the database.

        A terminal shows the progress. No lock is held while files are hashed.

        Parameters
        ----------
        repair : bool
            Whether spoilt and lost files of the archive are downloaded again, a spoilt one after it was moved to
            ``quarantine/``; files that lost their record are registered again, where their header has its id; and what
            killed processes left is removed. No file of a user's is touched.
        dry_run : bool
            Only tell what a repair would do.

        Returns
        -------
        VerificationReport

        Raises
        ------
        CacheError
            When the cache or the database cannot be read.

        Examples
        --------
        >>> report = store.verify()
        >>> report.ok, report.checked, report.bad
        (True, 4, {})
        """
        from .cache.verify import Verifier

        mend, only_tell = truth_of("repair", repair), truth_of("dry_run", dry_run)
        verifier = Verifier(self._holdings, self.known_db, self._files.shared, self.settings.calibration_url)
        report = verifier.run()
        report.without_record = self._known_to_none(report.without_record)
        report.same_content = {
            name: report.same_content[name] for name in report.without_record if name in report.same_content
        }
        if mend or only_tell:
            from .cache.repair import Repairer
            from .register import Registration

            registration = Registration(self._holdings)
            Repairer(
                self._holdings,
                self._files,
                lambda path: registration.register(path, None, new_version=False).record,
                dry_run=only_tell,
            ).repair(verifier)
        return report

    def _known_to_none(self, filenames: list[str]) -> list[str]:
        """Give those files that no calibration of the shared cache names either."""
        if not filenames or self.known_db is self.local_db:
            return filenames
        known = self.known_db.execute(select(self.orm_class.table().c.filename))
        return sorted(set(filenames) - {name for (name,) in known})

    def remove(self, id_or_filename: str | R, *, dry_run: bool = False) -> Removal:
        """Take a LOCAL record away; its file is moved to ``quarantine/``.

        Parameters
        ----------
        id_or_filename : str or record
        dry_run : bool
            Only tell which record it is.

        Returns
        -------
        Removal
            The record as it was, and where its file is now.

        Raises
        ------
        CalibrationNotFoundError
            When there is no such record.
        RemoteError
            When the record is the archive's; nothing changes.
        CacheError
            When the row or the file cannot be moved, another database of the cache cannot be read, or the record is
            the shared cache's; nothing changes.
        """
        from .cache.remove import Remover

        record = self._own(asked_name(id_or_filename))
        only_tell = truth_of("dry_run", dry_run)
        removal = Remover(self._holdings).remove(record, dry_run=only_tell)
        if not only_tell:
            self._tell_of_shared(record.filename)
        return removal

    def _tell_of_shared(self, filename: str) -> None:
        """Say that a shared calibration is known again whose name a removed one had."""
        if self.known_db is not self.local_db:
            for shared in self.known_db.query(filename=filename):
                said = (
                    f"The shared cache's {shared.filename} is known here again; its quality there is {shared.quality}."
                )
                warn(said, SharedCacheWarning)

    @classmethod
    def rebuild(
        cls,
        orm_class: type[R],
        cache_dir: str | os.PathLike[str] | None = None,
        local_database_filename: str | None = None,
        *,
        remote_database_url: str | None = None,
        offline: bool | None = None,
    ) -> RebuildReport:
        """Make a lost or spoilt database anew, of all that is left; what is in a sound one is not changed.

        A sound one that does not name all files of the instrument gets their records. The sources are what can be read
        of the old one, which is set aside, the copies beside it, which upgrades or somebody left in its folder, the
        archive where one is configured and answers, and the files of this instrument in the cache. No store of this
        database should be open; one that is must be opened again.

        Parameters
        ----------
        orm_class, cache_dir, local_database_filename, remote_database_url, offline
            As of a store.

        Returns
        -------
        RebuildReport
            What was wrong, what came from where, and what is `lost`.

        Raises
        ------
        CacheError
            When the cache cannot be read or written, or the database was changed meanwhile; nothing is changed then.
        SchemaMismatchError
            When the database is a newer version's.
        """
        from .cache.rebuild import Rebuilder
        from .remote.archive import Archive

        _check_class(orm_class)
        settings = resolve(
            orm_class.instrument_name,
            cache_dir=cache_dir,
            local_database_filename=local_database_filename,
            remote_database_url=remote_database_url,
            offline=offline,
        )
        cache = Cache(settings.cache_dir)
        path = cache.database / settings.local_database_filename
        cache.create(path)

        def sync(local: LocalDatabase[R]) -> None:
            with closing(Archive(settings, local, None, cache.holds)) as archive:
                archive.sync()

        has_archive = settings.remote_database_url is not None and not settings.offline
        return Rebuilder(cache, orm_class, path, sync if has_archive else None).run()

    def export_bundle(
        self, path: str | os.PathLike[str] | BinaryIO, records: Iterable[R] | R, overwrite: bool = False
    ) -> BundleExport:
        """Write records with their files into one tar, for a machine without a network.

        A file that is not in the cache is downloaded.

        Parameters
        ----------
        path : path or binary file
            An open file, such as ``sys.stdout.buffer``, is written from where it stands.
        records : record or iterable of records
        overwrite : bool
            Whether a bundle of that name, or an empty file, is replaced; anything else that has the name never is.

        Raises
        ------
        ConfigurationError
            When something else than records is given, or there is something of that name that is not to be replaced.
        RemoteError, IntegrityError, SourceFileError
            When a file is not here and does not come, or is not what its record says; no bundle is left then.
        CacheError
            When the bundle cannot be written.
        """
        from .cache.bundle_export import export_bundle

        target = stream_of("path", path, "write") or user_path(file_path_of("path", path))
        replaces = truth_of("overwrite", overwrite)
        return export_bundle(target, records_of(records), self._files, self._holdings, overwrite=replaces)

    def import_bundle(self, path: str | os.PathLike[str] | BinaryIO) -> BundleImport:
        """Take in the records of a bundle, each with its file or not at all.

        A record keeps its id, origin, version and quality, and its values in columns that the class does not know,
        which are added to the table where it lacks them. What is here already is unchanged, but for a REMOTE
        record of which the bundle has a newer state. A conflict, or a spoilt file, changes nothing and is reported.

        Parameters
        ----------
        path : path or binary file
            An open file, such as ``sys.stdin.buffer``, is read to its end.

        Raises
        ------
        ConfigurationError
            When it is a text file, or no path.
        SourceFileError
            When it is no bundle, a damaged or hostile one, or one of another instrument; nothing is imported.
        CacheError
            When the files do not fit on the disk; nothing is imported.
        """
        from .cache.bundle import BundleImporter

        source = stream_of("path", path, "read") or user_path(path_of("path", path))
        return BundleImporter(self._files, self._holdings).run(source)

    def import_legacy(self, folder: str | os.PathLike[str], *, dry_run: bool = False) -> BundleImport:
        """Take in a cache of the older ``koa_middleware``, of either era; that folder is not changed.

        Ids, versions, file names and origins stay, where ``KECK`` is ``REMOTE``. What is here already is unchanged, so
        that an interrupted import may be repeated. A file that is missing, unsafely named, or differs from its recorded
        digest is reported, and left.

        Parameters
        ----------
        folder : path
            What ``KOA_CALIBRATION_CACHE`` named for the older package.
        dry_run : bool
            Take nothing in, only tell what would be.

        Raises
        ------
        SourceFileError
            When there is no such cache, or several of its tables may be meant.
        """
        from .cache.bundle import BundleImport, BundleImporter
        from .cache.legacy import as_bundle, read_table

        legacy, report = user_path(path_of("folder", folder)), BundleImport()
        if not truth_of("dry_run", dry_run):
            self.local_db.check_writable()
        bundle = as_bundle(legacy, read_table(legacy, self.orm_class, report), self.orm_class, report)
        BundleImporter(self._files, self._holdings).take(bundle, report, dry_run=dry_run)
        return report

    def prune(
        self,
        *,
        max_size: int | None = None,
        older_than: timedelta | None = None,
        cal_type: str | None = None,
        dry_run: bool = False,
    ) -> PruneReport:
        """Remove files that can be downloaded again, and what dead processes left in ``partial/``.

        LOCAL files, files whose copy in the archive was not seen, files that another instrument's database names, and
        files that are open or were used in the last ten minutes stay; without a calibration URL, all do. A copy was
        seen when it was downloaded with the recorded checksum, uploaded by `publish`, or is found now in an archive
        that is a folder. The last use is the latest one of the file's times of access and change; to be told a file's
        path counts as use.

        Parameters
        ----------
        max_size : int, optional
            Bytes that this instrument's files may have afterwards; those not used for longest go first.
        older_than : datetime.timedelta, optional
            Files that were not used for longer than this go.
        cal_type : str, optional
            Only files of this type go; all of them where neither of the two above is given.
        dry_run : bool
            Only tell what would go.

        Raises
        ------
        ConfigurationError
            When a limit is not what it must be, or there is no such type; see `query`.
        CacheError
            When a file cannot be removed, or another database of the cache cannot be read.
        """
        from .cache.prune import Pruner
        from .cache.prune_decision import Limits

        check_limit("max_size", max_size, Real, "a number of bytes")
        check_limit("older_than", older_than, timedelta, "a datetime.timedelta, such as timedelta(days=30)")
        check_kind("cal_type", cal_type, str, "the name of a cal type")
        days = None if older_than is None else older_than / timedelta(days=1)
        wanted_type = None if cal_type is None else cal_type.strip().lower()
        if wanted_type is not None:
            self.local_db.check_type(wanted_type)
        limits = Limits(max_size, days, wanted_type)
        if limits.given and self.settings.calibration_url is not None:
            self._files.require_url()
        return Pruner(self._holdings, self._copies).prune(limits, truth_of("dry_run", dry_run))

    # -- the archive's database ----------------------------------------------------------------------------------------

    def sync_from_remote(self, full: bool = False) -> SyncResult:
        """Bring the local database up to date with the remote one.

        Parameters
        ----------
        full : bool
            Compare everything, also what the remote says has not changed.

        Returns
        -------
        SyncResult
            The counts `added`, `changed` and `withdrawn`, and all unresolved `conflicts`.

        Raises
        ------
        RemoteNotConfiguredError, RemoteUnavailableError, RemoteError
            When there is no remote, it does not answer, or refuses. What came before stays.
        SchemaMismatchError
            When the remote table, or a needed column of it, is missing.

        Examples
        --------
        >>> result = store.sync_from_remote()
        >>> result.added, result.changed, result.withdrawn
        (4, 0, 0)
        """
        self._sweep()
        self._pasts.close()
        return self._archive.sync(full=truth_of("full", full))

    @property
    def last_sync(self) -> str | None:
        """End of the last complete sync, UTC by the local clock; None before the first."""
        from .remote.staleness import last_sync

        return last_sync(self.local_db)

    def conflicts(self) -> list[Conflict]:
        """Rows of the archive that are kept apart: a LOCAL record has their id or file name, or a value is unusable."""
        return self.local_db.conflicts()

    def publish(
        self,
        records: Iterable[R] | R | None = None,
        *,
        upload_to: str | os.PathLike[str] | None = None,
        dry_run: bool = False,
    ) -> PublishResult:
        """Send records to the archive in one transaction; they are REMOTE from then on, on both sides.

        A record whose own file is missing or is not what the record says is not sent; the others are, and an error at
        the end names it.

        Parameters
        ----------
        records : record or iterable of records, optional
            All LOCAL ones by default.
        upload_to : path or file URL, optional
            A folder that the files are copied to first, verified; also those of records that were published before,
            where the archive was not seen to have them. An archive over HTTP takes the files itself where no folder is
            named.
        dry_run : bool
            Only tell what is new to the archive, and under which names it would be published now.

        Returns
        -------
        PublishResult
            The counts `published` and `unchanged`, and the names of the files that are `not_uploaded`: the archive was
            not seen to have them, and `prune` leaves them here.

        Raises
        ------
        DuplicateCalibrationError
            When an id or file name is taken there by other content; then nothing is published.
        IntegrityError
            When the files of some records are not sound; what became of the others is its `result`.
        ConfigurationError
            When something else than records is given.
        RemoteNotConfiguredError, RemoteUnavailableError, RemoteError, SchemaMismatchError
            As in `sync_from_remote`.
        """
        from .cache.upload import Uploader

        chosen = None if records is None else records_of(records)
        folder = None if upload_to is None else path_of("upload_to", upload_to)
        files = Uploader(self._cache, self.local_db, self._copies, folder, self._archive.files)
        if truth_of("dry_run", dry_run):
            result = self._archive.foreseen(self._to_publish(chosen, files))
            files.check_nothing_refused(result)
            return result
        names = None if chosen is None else [record.filename for record in chosen]
        files.complete(names, self._archive.held)
        result = self._archive.publish(self._to_publish(chosen, files), files.upload, files.place)
        names = None if names is None else [result.renamed.get(name, name) for name in names]
        missing = files.finish(names, self._archive.held)
        files.forget(result.renamed)
        self._archive.settle()
        result = replace(result, not_uploaded=[record.filename for record in missing])
        files.check_nothing_refused(result)
        return result

    def _to_publish(self, chosen: list[R] | None, files: Uploader[R]) -> list[R]:
        """Give the records of a publication whose files are sound, and those that are REMOTE already."""
        asked = self.local_db.query(origin="LOCAL") if chosen is None else chosen
        local = files.sound([record for record in asked if record.origin == "LOCAL"], self._archive.held)
        return [*local, *(record for record in asked if record.origin != "LOCAL")]

    def flag(self, id_or_filename: str | R, quality: str | None, reason: str, *, here: bool = False) -> R:
        """Set a record's quality and keep who did it and why; gives the record as it is then.

        Parameters
        ----------
        id_or_filename : str or record
        quality : str or None
            ``"GOOD"``, ``"BAD"`` or ``"UNKNOWN"``; a BAD one is never chosen. None, with `here`, takes back what was
            judged here.
        reason : str
        here : bool
            Whether it is this store's own judgement, for choosing alone: the row keeps the archive's word, and no sync
            ends the judgement. It holds with ``source="remote"`` too, and for calibrations of a shared cache.

        Raises
        ------
        ConfigurationError
            When the quality is not one of the three, or the reason is no text.
        CalibrationNotFoundError
            When there is no such record, or no judgement to take back.
        RemoteError
            When the record is the archive's and the archive cannot be told, or refuses; nothing changes.
        """
        if truth_of("here", here):
            own_word = check_own_judgement(quality, reason)
            judged = self.known_db.find(asked_name(id_or_filename))
            self.local_db.judge(judged, own_word, reason, this_user())
            return judged
        word = check_judgement(quality, reason)
        record = self._own(asked_name(id_or_filename))
        if record.origin == "LOCAL":
            with self.local_db.begin() as connection:
                write_flag(connection, self.orm_class, record.id, word, reason, this_user())
        else:
            self._archive.flag(record, word, reason)
        return self.local_db.query_by_id(record.id)

    def refresh(self, from_files: bool = False, dry_run: bool = False) -> RefreshReport:
        """Derive columns of LOCAL records anew, as after an upgrade of the plugin; tells what changed.

        Columns that no keyword fills are derived anew, others filled where they are null. Ids, names, versions and
        qualities stay.

        Parameters
        ----------
        from_files : bool
            Whether the headers of the files that are here are read again; what they say counts.
        dry_run : bool
            Whether nothing is changed.
        """
        from .refresh import refresh

        read, dry = truth_of("from_files", from_files), truth_of("dry_run", dry_run)
        return refresh(self.local_db, self._cache, from_files=read, dry_run=dry)

    def _own(self, id_or_filename: str) -> R:
        try:
            return self.local_db.find(id_or_filename)
        except CalibrationNotFoundError:
            shared = self.known_db.find(id_or_filename)
        folder = self.settings.shared_cache_dir
        said = f"{shared.filename} is a calibration of the shared cache {folder}, which is only read."
        raise CacheError(said, "Tell the keeper of that cache.", path=folder)

    def _use_cached(self, said: bool | None) -> bool:
        return self.use_cached if said is None else truth_of("use_cached", said)


def _locked(orm_class: type[ORMCalibration], given: str | os.PathLike[str] | LockFile) -> LockFile:
    from .reports.lock.lock_file import LockFile

    lock = given if isinstance(given, LockFile) else LockFile.read(given)
    if lock.instrument != orm_class.instrument_name:
        said = f"{lock.name} is a lock file of {lock.instrument}, and the store is one of {orm_class.instrument_name}."
        raise ConfigurationError(said, "Give one of the same instrument.", setting="lock")
    return lock


def _lock_of(
    state: _State, as_of: str | None, sets: FrameSets, *, unregistered: frozenset[str] = frozenset()
) -> LockFile:
    from .reports.lock.locking import lock_of

    return lock_of(sets, _chosen_in(state)._replace(as_of=as_of, unregistered=unregistered))


def _chosen_in(state: _State) -> ChosenIn:
    from .reports.lock.locked import ArchiveState
    from .reports.lock.locking import ChosenIn

    return ChosenIn(None if state is None else ArchiveState(*state))


def _locked_out(name: str, setting: str) -> ConfigurationError:
    said = f"The store is locked by {name}, which alone says what a frame gets."
    return ConfigurationError(said, f"Leave out the {setting}, or open a store without the lock.", setting=setting)


def _refuse_lock(name: str, sets: FrameSets | None = None) -> NoReturn:  # noqa: ARG001
    said = f"The store is locked by {name}, so that what it gives is not locked again."
    raise ConfigurationError(said, "Open a store without the lock.", setting="lock", variable=None)


def _check_class(orm_class: Any) -> None:
    if not (isinstance(orm_class, type) and issubclass(orm_class, ORMCalibration) and orm_class is not ORMCalibration):
        raise ConfigurationError(
            f"The orm_class is {shown(orm_class)}, not the class of an instrument.",
            "Give a plugin's ORM, such as get_plugin(NAME).ORM.",
            setting="orm_class",
        )
