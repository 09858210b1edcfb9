"""The calibration store of the Keck Observatory's data reduction pipelines.

Public names are loaded when they are first used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .archive import StaleWarning
    from .exceptions import (
        CacheError,
        CalibrationNotFoundError,
        ChecksumMismatchError,
        ConfigurationError,
        DownloadError,
        DuplicateCalibrationError,
        HeaderError,
        IntegrityError,
        InvalidPluginError,
        KoaMiddlewareError,
        PluginError,
        RemoteError,
        RemoteNotConfiguredError,
        RemoteUnavailableError,
        SchemaMismatchError,
        SourceFileError,
        UnknownInstrumentError,
        UnsafeFilenameError,
    )
    from .explain import Explanation
    from .hookspecs import hookimpl
    from .opening import open_store
    from .orm import ORMCalibration, fits_column
    from .plugins import InstrumentPlugin, available_instruments, get_plugin
    from .provision import QuarantineWarning
    from .selectors import CalibrationSelector, FallbackWarning
    from .store import CalibrationResult, CalibrationStore

__version__ = "0.1.0"

_HOMES = {
    "archive": ("StaleWarning",),
    "exceptions": (
        "CacheError",
        "CalibrationNotFoundError",
        "ChecksumMismatchError",
        "ConfigurationError",
        "DownloadError",
        "DuplicateCalibrationError",
        "HeaderError",
        "IntegrityError",
        "InvalidPluginError",
        "KoaMiddlewareError",
        "PluginError",
        "RemoteError",
        "RemoteNotConfiguredError",
        "RemoteUnavailableError",
        "SchemaMismatchError",
        "SourceFileError",
        "UnknownInstrumentError",
        "UnsafeFilenameError",
    ),
    "explain": ("Explanation",),
    "hookspecs": ("hookimpl",),
    "opening": ("open_store",),
    "orm": ("ORMCalibration", "fits_column"),
    "plugins": ("InstrumentPlugin", "available_instruments", "get_plugin"),
    "provision": ("QuarantineWarning",),
    "selectors": ("CalibrationSelector", "FallbackWarning"),
    "store": ("CalibrationResult", "CalibrationStore"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - what a reader needs first, first
    "CalibrationStore",
    "open_store",
    "get_plugin",
    "available_instruments",
    "CalibrationResult",
    "Explanation",
    "ORMCalibration",
    "fits_column",
    "CalibrationSelector",
    "FallbackWarning",
    "StaleWarning",
    "QuarantineWarning",
    "InstrumentPlugin",
    "hookimpl",
    "KoaMiddlewareError",
    "CacheError",
    "CalibrationNotFoundError",
    "ChecksumMismatchError",
    "ConfigurationError",
    "DownloadError",
    "DuplicateCalibrationError",
    "HeaderError",
    "IntegrityError",
    "InvalidPluginError",
    "PluginError",
    "RemoteError",
    "RemoteNotConfiguredError",
    "RemoteUnavailableError",
    "SchemaMismatchError",
    "SourceFileError",
    "UnknownInstrumentError",
    "UnsafeFilenameError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
