"""The methods that a plugin's selector overrides: how they are called, and what they may return."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from ..exceptions import ConfigurationError, InvalidPluginError, KoaMiddlewareError, described
from ..instrument.orm import ORMCalibration

if TYPE_CHECKING:
    from .selector import CalibrationSelector


def values_by(selector: CalibrationSelector, method: str, *arguments: Any) -> Mapping[str, Any]:
    """Call a method that gives column values.

    Raises
    ------
    ConfigurationError
        When it returns something else.
    InvalidPluginError
        When it fails with an error that is none of this package.
    """
    values: Any = _call(selector, method, arguments)
    if values is arguments[0] or isinstance(values, Mapping | ORMCalibration):
        return cast("Mapping[str, Any]", values)
    raise _returned(selector, method, values, "It should return a mapping of column values.")


def records_by(selector: CalibrationSelector, method: str, *arguments: Any) -> list[ORMCalibration]:
    """Call a method that gives records; see `values_by` for its errors."""
    records = _call(selector, method, arguments)
    hint = "It should return a list of records."
    if not isinstance(records, Iterable):
        raise _returned(selector, method, records, hint)
    found = records if isinstance(records, list) else list(records)
    for each in found:
        if not isinstance(each, ORMCalibration):
            raise _returned(selector, method, each, hint, "among its records")
    return found


def record_by(selector: CalibrationSelector, method: str, *arguments: Any) -> ORMCalibration | None:
    """Call a method that gives a record or None; see `values_by` for its errors."""
    record = _call(selector, method, arguments)
    if record is None or isinstance(record, ORMCalibration):
        return record
    raise _returned(selector, method, record, "It should return a record, or None.")


def any_by(selector: CalibrationSelector, method: str, *arguments: Any) -> Any:
    """Call a method that may give anything; see `values_by` for its errors."""
    return _call(selector, method, arguments)


def _call(selector: CalibrationSelector, method: str, arguments: tuple[Any, ...]) -> Any:
    if not selector._overrides(method):
        return getattr(selector, method)(*arguments)
    try:
        return getattr(selector, method)(*arguments)
    except (KoaMiddlewareError, Warning):
        raise
    except Exception as error:
        raise InvalidPluginError(
            f"The {method} of {type(selector).__name__} failed with {described(error)}.",
            "Correct that method.",
            instrument="",
            distribution="",
        ) from error


def _returned(selector: CalibrationSelector, method: str, found: Any, hint: str, where: str = "") -> ConfigurationError:
    return ConfigurationError(
        f"The {method} of {type(selector).__name__} returned {found!r}{where and f' {where}'}.",
        hint,
        setting=method,
        variable=None,
    )


@contextmanager
def without_collection() -> Iterator[None]:
    """Keep Python from looking for cyclic garbage while there are many records, of which none is garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
