"""Every error and every warning that a caller of this package can meet.

::

    KoaMiddlewareError
    ├── ConfigurationError          (ValueError)    an argument or environment variable
    ├── PluginError
    │   ├── UnknownInstrumentError                  no such plugin is installed
    │   └── InvalidPluginError                      an installed plugin cannot be used
    ├── SourceFileError             (OSError)       a given file is missing, empty, truncated, not what it should be
    ├── HeaderError                 (ValueError)    a header or input lacks a value, or holds an unusable one
    ├── CalibrationNotFoundError    (LookupError)   nothing fits, or no such id or file name
    ├── DuplicateCalibrationError   (ValueError)    the name or the family is taken by other content
    ├── UnsafeFilenameError         (ValueError)    a file name that could leave the cache folder
    ├── SchemaMismatchError         (RuntimeError)  a database whose table is not the plugin's
    ├── IntegrityError              (OSError)       a cached file that is not what its record says
    ├── CacheError                  (OSError)       the cache folder or its database cannot be read or written
    └── RemoteError                 (OSError)
        ├── RemoteNotConfiguredError                no remote database or file URL is set
        ├── RemoteUnavailableError                  the server does not answer, or refuses
        ├── DownloadError                           a file did not arrive
        └── ChecksumMismatchError                   a file arrived, with other content

Warnings, of work that goes on: `FallbackWarning`, `StaleWarning`, `QuarantineWarning`, `SchemaWarning`,
`SharedCacheWarning`, `HeaderWarning`, `QualityWarning`.

A message is one sentence that says what was asked and what was found, and one hint that says what to do.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from logging import Logger
    from pathlib import Path
    from types import FrameType

    from .remote.publish import PublishResult

__all__ = [
    "CacheError",
    "CalibrationNotFoundError",
    "ChecksumMismatchError",
    "ConfigurationError",
    "DownloadError",
    "DuplicateCalibrationError",
    "FallbackWarning",
    "HeaderError",
    "HeaderWarning",
    "IntegrityError",
    "InvalidPluginError",
    "KoaMiddlewareError",
    "PluginError",
    "QualityWarning",
    "QuarantineWarning",
    "RemoteError",
    "RemoteNotConfiguredError",
    "RemoteUnavailableError",
    "SchemaMismatchError",
    "SchemaWarning",
    "SharedCacheWarning",
    "SourceFileError",
    "StaleWarning",
    "UnknownInstrumentError",
    "UnsafeFilenameError",
]


def _rebuild(cls: type[KoaMiddlewareError], message: str, hint: str, state: dict[str, Any]) -> KoaMiddlewareError:
    return cls(message, hint, **state)


class KoaMiddlewareError(Exception):
    """Root of all errors of this package.

    Parameters
    ----------
    message : str
        One sentence: what was asked and what was found.
    hint : str
        One sentence: what to do.
    **values
        Set as attributes, under the names that each class lists.
    """

    hint: str

    def __init__(self, message: str, hint: str = "", **values: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self._values = values
        for name, value in values.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def saying(self, message: str) -> Self:
        """Give this error with another message."""
        return type(self)(message, self.hint, **self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self._values)


def all_in_one(errors: Sequence[KoaMiddlewareError]) -> KoaMiddlewareError:
    """One error that says what several say; its class, hint and values are those of the first."""
    first, *more = errors
    said = dict.fromkeys(error.message for error in errors)
    return first.saying(" ".join(said)) if more else first


class ConfigurationError(KoaMiddlewareError, ValueError):
    """An argument or an environment variable is missing or unusable."""

    setting: str
    variable: str | None = None


class PluginError(KoaMiddlewareError):
    """Something about instrument plugins."""


class UnknownInstrumentError(PluginError):
    """No installed plugin has this name."""

    instrument: str
    available: tuple[str, ...]


class InvalidPluginError(PluginError):
    """An installed plugin cannot be used; names the distribution and its version."""

    instrument: str
    distribution: str


class SourceFileError(KoaMiddlewareError, OSError):
    """A given file is missing, unreadable, empty, truncated, or not what it should be."""

    path: Path | None


class HeaderError(KoaMiddlewareError, ValueError):
    """A header, or another input, lacks a needed value or holds an unusable one."""

    column: str
    keywords: tuple[str, ...]
    source: str


class CalibrationNotFoundError(KoaMiddlewareError, LookupError):
    """Nothing fits, or there is no record of this id or file name.

    Attributes
    ----------
    cal_type : str or None
        The type that was asked for.
    asked : mapping
        The input's values that the rule compared.
    total : int
        Number of records of that type in the database.
    not_here : int
        Where those alone were asked whose files are on this disk: number of the others of that type.
    as_of : str or None
        The past state that was asked, UTC; None: the present one.
    nearest : tuple
        The nearest refused candidates, each with its reason.
    misses : mapping
        Where several types were asked for: the error of each one that nothing fits.
    """

    cal_type: str | None = None
    asked: Mapping[str, Any] = {}
    total: int = 0
    not_here: int = 0
    as_of: str | None = None
    nearest: tuple[Any, ...] = ()
    misses: Mapping[str, KoaMiddlewareError] = {}


class DuplicateCalibrationError(KoaMiddlewareError, ValueError):
    """The file name or the version family is taken by other content."""

    filename: str
    existing: str
    version: str | None = None


class UnsafeFilenameError(KoaMiddlewareError, ValueError):
    """A file name that is not a plain name inside the cache folder."""

    name: str
    reason: str


class SchemaMismatchError(KoaMiddlewareError, RuntimeError):
    """A table lacks what the instrument's class needs, is not there, or needs what only a newer class has.

    Attributes
    ----------
    database, table : str
    missing : tuple of str
        The columns, or the table, that one of the two lacks.
    """

    database: str
    table: str
    missing: tuple[str, ...]


class IntegrityError(KoaMiddlewareError, OSError):
    """A cached file is not what its record says; of a publication, `result` tells what became of the others."""

    path: Path
    result: PublishResult | None = None


class CacheError(KoaMiddlewareError, OSError):
    """The cache folder or its database cannot be read or written: a full disk, a lock, a damaged file."""

    path: Path


class RemoteError(KoaMiddlewareError, OSError):
    """The remote refused a request, or cannot be used as asked."""


class RemoteNotConfiguredError(RemoteError):
    """A remote database or file URL is needed and none is set."""

    variable: str


class RemoteUnavailableError(RemoteError):
    """The remote database does not answer, or refuses the connection."""

    host: str


class DownloadError(RemoteError):
    """A file did not arrive."""

    url: str | None = None
    status: int | None = None


class ChecksumMismatchError(RemoteError):
    """A file arrived whose content is not what its record says."""

    url: str | None = None
    expected: str
    found: str


class HeaderWarning(UserWarning):
    """A calibration was registered without a value that its selector compares, so that it is never chosen.

    Also: one that the user gave names no type, or is not as the frame in what its selector compares; a product's header
    had named another file as the one that it was made with.
    """


class FallbackWarning(UserWarning):
    """A calibration was chosen by a selector's fallback, because nothing fits its rule."""


class SchemaWarning(UserWarning):
    """A database was brought up to date, and old rows don't obey all that the instrument's class declares now.

    Also: it holds rows of the older package that are not here.
    """


class StaleWarning(UserWarning):
    """A sync was due and the remote did not answer; the local database serves as it is."""


class QuarantineWarning(UserWarning):
    """A spoilt file was moved aside, and another one comes in its place."""


class QualityWarning(UserWarning):
    """A calibration is used that is flagged as bad, because the user gave it, or a lock file says so.

    Also: one that was removed is registered again.
    """


class SharedCacheWarning(UserWarning):
    """The shared cache, or a file of it, cannot be used; the work goes on without it."""


def described(error: BaseException) -> str:
    """Give an error's class and sentence, without a hint and a full stop; the error may be of any code."""
    try:
        sentence = error.message if isinstance(error, KoaMiddlewareError) else str(error)
    except Exception:  # noqa: BLE001 - an error that cannot say itself still has a class
        sentence = ""
    return f"{type(error).__name__}: {sentence}".rstrip(": .")


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Ask, as the beginning of a hint, whether the nearest known name was meant; empty where none is near."""
    from difflib import get_close_matches

    near = get_close_matches(given.lower(), known, n=1)
    return f"Did you mean {near[0]}? " if near else ""


def logger() -> Logger:
    """Give this package's logger, ``koa_middleware``.

    It is fetched when it is used, since frameworks that configure logging mute the loggers that exist by then. Where
    nobody configured logging, its lines go nowhere: warnings tell the same.
    """
    import logging

    found = logging.getLogger("koa_middleware")
    if not found.handlers:
        found.addHandler(logging.NullHandler())
    return found


def warn(message: str, category: type[Warning]) -> None:
    """Give a warning that points at the line that called this package, or a plugin of it, first; and log it."""
    message = message.encode(errors="backslashreplace").decode()  # of a path whose bytes are no text
    logger().warning("%s", message)
    frame: FrameType | None = sys._getframe()
    depth = steps = 0
    while frame is not None:
        depth += 1
        if str(frame.f_globals.get("__name__", "")).startswith("koa_middleware"):
            steps = depth
        frame = frame.f_back
    warnings.warn(message, category, stacklevel=steps + 1)
