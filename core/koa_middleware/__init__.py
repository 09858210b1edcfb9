"""The calibration store of the Keck Observatory's data reduction pipelines.

===========================================  ================================================================
`open_store`, `CalibrationStore`             the store of an instrument: chooses, holds and takes in calibrations
`available_instruments`, `get_plugin`        what is installed
`CalibrationResult`, `Bracket`               what the store gives: a file with its record, a pair around a frame
`Explanation`, `Coverage`, `LockFile`        why, when there are calibrations, and the same choice again
`InstrumentPlugin`, `hookimpl`               a plugin, and how it makes itself known
`ORMCalibration`, `fits_column`              its table
`CalibrationSelector`, `Step`                its rules
`relative`, `by`                             amounts in a rule
`at_least`, `at_most`, `between`             ranges in a rule
===========================================  ================================================================

Errors and warnings are here at once; every other public name is loaded when it is first used, so that importing this
package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import exceptions
from .exceptions import *  # noqa: F403 - all of them are public

if TYPE_CHECKING:
    from .choosing.amounts import Step, at_least, at_most, between, by, relative
    from .choosing.bracket import Bracket
    from .choosing.explanation import Explanation
    from .choosing.selector import CalibrationSelector
    from .hookspecs import hookimpl
    from .instrument.columns import fits_column
    from .instrument.orm import ORMCalibration
    from .opening import open_store
    from .plugins import InstrumentPlugin, available_instruments, get_plugin
    from .reports.coverage.report import Coverage
    from .reports.lock.lock_file import LockFile
    from .store import CalibrationResult, CalibrationStore

__version__ = "0.1.0"

_HOME_OF = {
    "CalibrationStore": "store",
    "open_store": "opening",
    "get_plugin": "plugins",
    "available_instruments": "plugins",
    "CalibrationResult": "store",
    "Explanation": "choosing.explanation",
    "Coverage": "reports.coverage.report",
    "LockFile": "reports.lock.lock_file",
    "ORMCalibration": "instrument.orm",
    "fits_column": "instrument.columns",
    "CalibrationSelector": "choosing.selector",
    "Step": "choosing.amounts",
    "relative": "choosing.amounts",
    "by": "choosing.amounts",
    "at_least": "choosing.amounts",
    "at_most": "choosing.amounts",
    "between": "choosing.amounts",
    "Bracket": "choosing.bracket",
    "InstrumentPlugin": "plugins",
    "hookimpl": "hookspecs",
}

__all__ = [  # noqa: RUF022 - what a reader needs first, first
    "CalibrationStore",
    "open_store",
    "get_plugin",
    "available_instruments",
    "CalibrationResult",
    "Explanation",
    "Coverage",
    "LockFile",
    "ORMCalibration",
    "fits_column",
    "CalibrationSelector",
    "Step",
    "relative",
    "by",
    "at_least",
    "at_most",
    "between",
    "Bracket",
    "InstrumentPlugin",
    "hookimpl",
]
__all__ += exceptions.__all__


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        from .former_names import PUBLIC, tell_renamed

        if name in PUBLIC:
            tell_renamed(name, PUBLIC[name])
            return __getattr__(PUBLIC[name])
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
