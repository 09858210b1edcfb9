"""The class methods that a plugin overrides: how they are called, and what they may return."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from ..disk.names import check_filename
from ..exceptions import InvalidPluginError, KoaMiddlewareError, described

if TYPE_CHECKING:
    from .orm import ORMCalibration


@cache
def overrides(orm_class: type[ORMCalibration], hook: str) -> bool:
    """Whether a plugin's class has a class method of its own in the place of the base's."""
    return next(each for each in orm_class.__mro__ if hook in vars(each)).__module__ != f"{__package__}.orm"


def values_by(orm_class: type[ORMCalibration], hook: str, source: str, *arguments: Any) -> Mapping[str, Any]:
    """Call a class method that gives column values.

    Raises
    ------
    InvalidPluginError
        When a plugin's own fails with an error that is none of this package, ends the program, or returns something
        else.
    """
    found = _call(orm_class, hook, source, arguments)
    if isinstance(found, Mapping):
        return found
    raise misbehaved(orm_class, hook, f"returned a {type(found).__name__}", "Let it return a dict of column values.")


def filename_of(record: ORMCalibration) -> str:
    """Give the file name of a record's version; see `values_by` and `check_filename` for its errors."""
    orm_class = type(record)
    found = _call(orm_class, "filename_for", record.filename, (record,))
    if isinstance(found, str):
        return check_filename(found)
    raise misbehaved(orm_class, "filename_for", f"returned a {type(found).__name__}", "Let it return a file name.")


def misbehaved(orm_class: type[ORMCalibration], hook: str, fault: str, hint: str) -> InvalidPluginError:
    """Give the error for a class method that does not do what it should."""
    return InvalidPluginError(
        f"The {hook} of {orm_class.__name__}, of the plugin {orm_class.instrument_name}, {fault}.",
        hint,
        instrument=orm_class.instrument_name,
        distribution="",
    )


def _call(orm_class: type[ORMCalibration], hook: str, source: str, arguments: tuple[Any, ...]) -> Any:
    try:
        return getattr(orm_class, hook)(*arguments)
    except (KoaMiddlewareError, Warning):
        raise
    except (Exception, SystemExit) as error:
        if not overrides(orm_class, hook):
            raise
        fault = f"failed for {source} with {described(error)}"
        raise misbehaved(orm_class, hook, fault, "Correct that method.") from error
