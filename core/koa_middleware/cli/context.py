"""Which instrument a command is about, its store, and the values of its frame."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, TextIO

from ..exceptions import ConfigurationError, HeaderError, KoaMiddlewareError, PluginError, SourceFileError
from .messages import say, set_instrument

if TYPE_CHECKING:
    from ..instrument.orm import ORMCalibration
    from ..plugins import InstrumentPlugin
    from ..reports.lock.lock_file import LockFile
    from ..store import CalibrationStore


def open_for(
    options: Namespace, files: Sequence[str] = (), *, instrument: str | None = None, lock: str | None = None
) -> CalibrationStore[Any]:
    """Open the store of the command's instrument, else of the one that is given; locked where a lock file is named."""
    from ..store import CalibrationStore

    orm_class, locked = _asked(options, files, instrument, lock)
    return CalibrationStore(orm_class, lock=locked)


def open_to_read(options: Namespace, files: Sequence[str] = (), *, lock: str | None = None) -> CalibrationStore[Any]:
    """Open a store as `open_for` does, for a command that makes no database.

    Raises
    ------
    CacheError
        When there is none; a lock file brings one.
    """
    from ..store import CalibrationStore
    from .no_database import without_database

    orm_class, locked = _asked(options, files, None, lock)
    if locked is None and (missing := without_database(orm_class)) is not None:
        raise missing
    return CalibrationStore(orm_class, lock=locked)


def _asked(
    options: Namespace, files: Sequence[str], instrument: str | None, lock: str | None
) -> tuple[type[ORMCalibration], LockFile | None]:
    """Give the class of the command's instrument, and the lock file that is named."""
    if getattr(options, "as_of", None) is not None:
        from ..database.moments import moment_of

        options.as_of = moment_of(options.as_of)  # one time for all that the command asks
    if lock is None:
        return choose_instrument(options.instrument or instrument, files).ORM, None
    from ..reports.lock.lock_file import LockFile

    locked = LockFile.read(lock)
    return choose_instrument(options.instrument or locked.instrument).ORM, locked


def what_plugins_print_on_stderr() -> redirect_stdout[TextIO]:
    """Give a context in which what a plugin prints goes to stderr, since results go to stdout."""
    return redirect_stdout(sys.stderr)


def load_plugin(name: str) -> InstrumentPlugin:
    """Load a plugin."""
    from ..plugins import get_plugin

    with what_plugins_print_on_stderr():
        return get_plugin(name)


def choose_instrument(name: str | None, files: Sequence[str] = ()) -> InstrumentPlugin:
    """Give the plugin of the named instrument.

    Where none is named: of ``KOA_INSTRUMENT``, else of the first file whose ``INSTRUME`` has one, else the only one.

    Hints name that instrument from then on.

    Raises
    ------
    ConfigurationError
        When nothing decides.
    UnknownInstrumentError, InvalidPluginError
        When the decided one is not installed or cannot be used.
    SourceFileError, HeaderError
        When none of the files can be read.
    """
    from ..fetch.waiting import tell_waits_to

    plugin = _chosen(name, files)
    set_instrument(plugin.name)
    tell_waits_to(say)
    return plugin


def _chosen(name: str | None, files: Sequence[str]) -> InstrumentPlugin:
    from ..plugins import available_instruments
    from ..settings import named_instrument

    if name := name or named_instrument():
        return load_plugin(_instrument_of(name))
    faults: list[KoaMiddlewareError] = []
    for file in files:
        try:
            if named := instrument_in_header(file):
                return load_plugin(_instrument_of(named))
        except (HeaderError, PluginError, SourceFileError) as error:
            faults.append(error)
    if faults and len(faults) == len(files):
        raise faults[0]
    installed = available_instruments()
    if len(installed) == 1:
        return load_plugin(installed[0])
    raise ConfigurationError(
        f"No instrument is named, and {len(installed)} are installed: {', '.join(installed)}."
        if installed
        else "No instrument's plugin is installed.",
        "Name one with -i, or in KOA_INSTRUMENT." if installed else "Install one, for instance koa-middleware[NAME].",
        setting="instrument",
        variable=None,
    )


def _instrument_of(named: str) -> str:
    """Give the installed instrument that a name, or a value of ``INSTRUME``, means; the name itself where none does."""
    from ..instrument.keywords import means
    from ..plugins import available_instruments

    installed = available_instruments()
    for instrument in installed:
        if means(named, (instrument,)):
            return instrument
    for instrument in installed:
        with suppress(PluginError):  # one that cannot be used is not the one that is meant
            if means(named, load_plugin(instrument).ORM.instrume_values):
                return instrument
    return named


def instrument_in_header(file: str) -> str:
    """Give the ``INSTRUME`` of a file's header; empty where it has none, or is no FITS file.

    Raises
    ------
    SourceFileError, HeaderError
        When the file, or the card, cannot be read.
    """
    from ..disk.fits import is_fits
    from ..disk.reading import check_readable, user_path
    from ..instrument.headers import open_headers
    from ..instrument.keywords import instrument_in

    path = user_path(file)
    check_readable(path)
    if not is_fits(path):
        return ""
    with open_headers(path) as headers:
        return instrument_in(headers)


def paths_given(given: Sequence[str]) -> list[str]:
    """Give the paths that were typed; in the place of ``-`` those that stand on standard input, one a line.

    Raises
    ------
    ConfigurationError
        When standard input is a terminal, or holds none.
    """
    paths: list[str] = []
    for each in given:
        if each != "-":
            paths.append(each)
            continue
        listed = [] if sys.stdin is None or sys.stdin.isatty() else [line.rstrip("\r\n") for line in sys.stdin]
        if not any(listed):
            said = "No paths come from standard input."
            hint = "Pipe them, one a line: ls *.fits | koa-cal register -"
            raise ConfigurationError(said, hint, setting="-", variable=None)
        paths += filter(None, listed)
    return paths


def files_in(given: Sequence[str], wanted: str = "frames") -> list[str]:
    """Give files, each once, and in the place of a folder the FITS files in it, by their names; say what is no file.

    `wanted` is what they are, for messages.

    Raises
    ------
    ConfigurationError
        When there is none in a folder.
    """
    from ..disk.reading import fault_of_kind, user_path

    files: list[str] = []
    for each in paths_given(given):
        path = user_path(each)
        if not path.is_dir():
            files.append(each)
            continue
        named = sorted(file for file in path.iterdir() if _is_fits_name(file.name))
        inside = [str(file) for file in named if file.is_file()]
        for file in named:
            if not file.is_file():
                say(f"{file} is left out: {fault_of_kind(file) if file.exists() else 'it is a link to nothing'}")
        if not inside:
            said = f"The folder {each} holds no FITS files."
            hint = f"Name a folder of {wanted}, or {wanted}."
            raise ConfigurationError(said, hint, setting=wanted, variable=None)
        files += inside
    once: dict[str, str] = {}
    for each in files:
        once.setdefault(os.path.realpath(user_path(each)), each)
    return list(once.values())


def _is_fits_name(name: str) -> bool:
    from ..disk.compression import without_compression

    return not name.startswith(".") and without_compression(name).lower().endswith((".fits", ".fit", ".fts"))


def frame_values(store: CalibrationStore[Any], frame: str | None, overrides: list[tuple[str, str]]) -> dict[str, Any]:
    """Column values of a frame, those given by the user in place of the header's; of no frame these alone.

    Raises
    ------
    ConfigurationError
        When a given column is unknown, or its value unusable or none.
    HeaderError, SourceFileError
        When the frame's own are unusable, or it cannot be read.
    """
    from ..instrument.frames import file_values

    given = values_given(store, overrides)
    if frame is None:
        return given
    try:
        return file_values(store.orm_class, frame, given)
    except HeaderError as error:
        advise_set(error)
        raise


def columns_named(store: CalibrationStore[Any], names: Sequence[str], option: str) -> list[str]:
    """Give columns of the instrument as they are written there; letter case does not count.

    Raises
    ------
    ConfigurationError
        When one is unknown; it says what was probably meant.
    """
    from ..instrument.orm import check_names

    columns = {name.lower(): name for name in store.orm_class.column_names()}
    found = [columns.get(name.strip().lower(), name.strip()) for name in names]
    try:
        check_names(store.orm_class, found, option)
    except HeaderError as error:
        raise _unusable(error.message, error.hint, option) from error
    return found


def values_wanted(store: CalibrationStore[Any], where: list[tuple[str, str]]) -> dict[str, Any]:
    """Give what columns must hold, by ``--where``; a column without a value must be empty.

    Raises
    ------
    ConfigurationError
        When a column is unknown, is named twice, or cannot hold its value.
    """
    from ..instrument.values import normal_form

    table = store.orm_class.table()
    wanted: dict[str, Any] = {}
    for name, (_, value) in zip(columns_named(store, [each for each, _ in where], "--where"), where, strict=True):
        if name in wanted:
            raise _unusable(f"--where asks twice for {name}.", "All must hold, so give it once.", "--where")
        try:
            wanted[name] = normal_form(table.c[name], value, "--where") if value else None
        except HeaderError as error:
            raise _unusable(error.message, "Give another value.", "--where") from error
    return wanted


def values_given(store: CalibrationStore[Any], overrides: list[tuple[str, str]]) -> dict[str, Any]:
    """Column values that ``--set`` gives.

    Raises
    ------
    ConfigurationError
        When a column is unknown, or its value unusable or none.
    """
    from ..instrument.door import in_forms
    from ..instrument.plain import is_wildcard

    names = columns_named(store, [name for name, _ in overrides], "--set")
    given = {name: value for name, (_, value) in zip(names, overrides, strict=True)}
    try:
        own = in_forms(store.orm_class, given, "--set")
        for fault in own.faults.values():
            raise fault
    except HeaderError as error:
        raise _unusable(error.message, "Give another value.") from error
    for name, value in own.values.items():
        if is_wildcard(value, store.orm_class.table().c[name].info.get("nulls")):
            said = f"The {name} of --set is {given[name]!r}, which is no value."
            raise _unusable(said, f"Give the value, or leave {name} out.")
    return own.values


def frames_with(store: CalibrationStore[Any], files: Sequence[str], overrides: list[tuple[str, str]]) -> list[Any]:
    """Frames for a store's methods, which read them: files, with the values that ``--set`` gives for each.

    Raises
    ------
    ConfigurationError
        As in `values_given`; or when it gives values for no frame.
    """
    from ..instrument.frames import FileWith

    if overrides and not files:
        raise _unusable("--set is given, and no frame.", "Name the frames that it is for.")
    given = values_given(store, overrides)
    return [FileWith(file, given) if given else file for file in files]


def frame_at(store: CalibrationStore[Any], frame: str, time: str, overrides: list[tuple[str, str]]) -> dict[str, Any]:
    """Column values of a frame as it would be at another time; it is no file of a calibration then.

    Raises
    ------
    HeaderError, SourceFileError
    """
    values = frame_values(store, frame, [*overrides, ("datetime_obs", time)])
    return {name: value for name, value in values.items() if name not in ("id", "filename")}


def check_not_in_cache(store: CalibrationStore[Any], path: str | None) -> None:
    """Check that what is written would not stand among the cache's own files; see `Cache.check_outside`."""
    from ..cache.folder import Cache
    from ..disk.reading import user_path

    if path is not None:
        Cache(store.cache_dir).check_outside(user_path(path))


def advise_set(error: KoaMiddlewareError) -> None:
    """Let an error of a frame's value say how the command line takes it."""
    if isinstance(error, HeaderError) and error.column:
        error.hint = f"Give it with --set {error.column}=..., or correct the header."


def _unusable(message: str, hint: str, option: str = "--set") -> ConfigurationError:
    return ConfigurationError(message, hint, setting=option, variable=None)
