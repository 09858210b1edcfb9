"""What a caller gives to a store's methods, checked before anything is done with it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeVar

from .exceptions import ConfigurationError
from .instrument.frames import is_frame
from .instrument.orm import ORMCalibration

R = TypeVar("R", bound=ORMCalibration)


def frames_of(inputs: Any) -> Iterable[Any]:
    """Give frames one by one; what is a frame itself, or cannot be iterated over, is a single one."""
    if getattr(inputs, "ndim", None) == 2 and hasattr(inputs, "to_dict"):  # a table of pandas
        return list(inputs.to_dict("records"))
    if hasattr(inputs, "as_array"):  # a table of astropy, which iterates over its rows
        return list(map(inputs.__getitem__, range(len(inputs))))
    return [inputs] if is_frame(inputs) or _is_single(inputs) else inputs


def records_of(given: Iterable[R] | R) -> list[R]:
    """Give records as a list; a single one may be given as it is.

    Raises
    ------
    ConfigurationError
        When something else is given, such as ids or file names.
    """
    records: list[Any] = [given] if _is_single(given, str, os.PathLike, ORMCalibration) else list(given)
    for record in records:
        if not isinstance(record, ORMCalibration):
            raise ConfigurationError(
                f"{record!r} is not a record.",
                "Give records, such as those of query(), or that of get_calibration_by_id(ID).",
                setting="records",
            )
    return records


def check_kind(name: str, value: object, kind: type, wanted: str) -> None:
    """Check that an argument, where it is given, is what it must be.

    Raises
    ------
    ConfigurationError
    """
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise ConfigurationError(f"{name} is {value!r}.", f"Give {wanted}.", setting=name)


def _is_single(given: Any, *kinds: type) -> bool:
    return isinstance(given, kinds) or not isinstance(given, Iterable)
