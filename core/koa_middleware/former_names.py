"""The older package's names that still work; each use is a DeprecationWarning that says the present one."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from .exceptions import ConfigurationError

#: Public names of the package.
PUBLIC = {"CalibrationORM": "ORMCalibration"}
#: Arguments of `CalibrationStore`.
ARGUMENTS = {"calibrations_url": "calibration_url"}
#: Methods of the store and of its databases.
METHODS = {"select_and_get_calibration": "get_calibration", "query_id": "query_by_id"}
#: Environment variables.
VARIABLES = {"KOA_REMOTE_CALIBRATION_URL": "KOA_REMOTE_DATABASE_URL"}
#: Environment variables that mean nothing any more, and what to do.
WITHOUT_MEANING = {
    "KOA_CALIBRATIONS_URL": "set KOA_REMOTE_DATABASE_URL for the archive, KOA_CALIBRATION_URL for its files",
    "KOA_LOCAL_DATABASE_TABLE_NAME": "unset it; the table has the name of the instrument's class",
    "KOA_CALIBRATION_ORIGIN": "unset it; register_calibration takes origin=, and a rule require={'origin': ...}",
    "KOA_CALDB_SYNC_INTERVAL": "unset it, and give sync_if_older_than= to the store, in seconds",
}

P = ParamSpec("P")
T = TypeVar("T")


def tell(said: str) -> None:
    """Give a DeprecationWarning that points at the line that called this package; a plugin's may be one."""
    steps = 0
    frame: FrameType | None = sys._getframe()
    while frame is not None and _is_ours(frame):
        steps, frame = steps + 1, frame.f_back
    warnings.warn(said, DeprecationWarning, stacklevel=steps + 1)


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "koa_middleware"


def tell_renamed(former: str, present: str) -> None:
    """Say that something has another name now."""
    tell(f"{former} is the former name of {present}; use {present}.")


def with_former_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function take its arguments by their former names too.

    Raises
    ------
    ConfigurationError
        When both names are given, with two values.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        for former in ARGUMENTS.keys() & kwargs.keys():
            present, value = ARGUMENTS[former], kwargs.pop(former)
            tell_renamed(former, present)
            given = kwargs.get(present)
            if None not in (given, value) and str(given) != str(value):
                said = f"{present} and {former}, its former name, are given with two values."
                raise ConfigurationError(said, f"Give {present} alone.", setting=present)
            kwargs[present] = value if given is None else given
        return function(*args, **kwargs)

    return call


class FormerMethod:
    """A method under its former name.

    Parameters
    ----------
    name : str
        The former name; `METHODS` has the present one.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, owner: object, kind: type | None = None) -> Any:
        """Give the method of its present name."""
        if owner is None:
            return self
        tell_renamed(self._name, METHODS[self._name])
        return getattr(owner, METHODS[self._name])


def under_present_names(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Give the environment with what former variables say; a present one goes before its former one.

    Those that mean nothing any more are told.
    """
    for former, advice in WITHOUT_MEANING.items():
        if _is_set(variables, former):
            tell(f"{former} means nothing any more; {advice}.")
    for former, present in VARIABLES.items():
        if _is_set(variables, former):
            tell_renamed(former, present)
            if not _is_set(variables, present):
                variables = {**variables, present: variables[former]}
    return variables


def _is_set(variables: Mapping[str, str], name: str) -> bool:
    return variables.get(name, "").strip().lower() not in {"", "none"}
