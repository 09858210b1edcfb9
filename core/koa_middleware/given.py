"""What a caller gives to a store's methods, checked before anything is done with it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from numbers import Integral
from typing import Any, BinaryIO, Literal, TypeVar, cast

from .exceptions import ConfigurationError
from .instrument.frames import is_frame
from .instrument.orm import ORMCalibration
from .instrument.plain import shown

R = TypeVar("R", bound=ORMCalibration)

#: Columns of a record by which files are found and verified.
_TEXTS = ("id", "filename", "cal_type", "quality", "checksum")
_OPTIONAL_TEXT = (str, type(None))


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
    return [record_of(record) for record in listed(given, str, os.PathLike, ORMCalibration)]


def listed(given: Any, *kinds: type) -> list[Any]:
    """Give things as a list; what is of one of these kinds, or cannot be iterated over, is a single one."""
    return [given] if _is_single(given, *kinds) else list(given)


def record_of(given: R) -> R:
    """Give a record.

    Raises
    ------
    ConfigurationError
        When something else is given, or a record of which a name, an id or the like is no text.
    """
    if isinstance(given, ORMCalibration):
        for name in _TEXTS:
            if not isinstance(getattr(given, name), _OPTIONAL_TEXT):
                said = f"The {name} of a record was set to {shown(getattr(given, name))}."
                raise ConfigurationError(said, "Give it as text, or read the record anew.", setting="records")
        return given
    raise ConfigurationError(
        f"{shown(given)} is not a record.",
        "Give records, such as those of query(), or that of get_calibration_by_id(ID).",
        setting="records",
    )


def path_of(name: str, given: Any) -> str:
    """Give the path or file URL of an argument as text.

    Raises
    ------
    ConfigurationError
        When it is none, is empty, or no system has such a path.
    """
    try:
        text = os.fsdecode(given)
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            os.stat(text)  # noqa: PTH116 - a URL is no Path
    except (TypeError, ValueError, OSError):
        said = "no path" if isinstance(given, str | bytes | os.PathLike) else f"of the type {type(given).__name__}"
        raise ConfigurationError(f"{name} is {said}.", "Give a path.", setting=name) from None
    if not text.strip():
        raise ConfigurationError(f"{name} is empty.", "Give a path.", setting=name)
    return text


def paths_of(name: str, given: Any) -> list[str]:
    """Give the paths of an argument as text; a single one may be given as it is.

    Raises
    ------
    ConfigurationError
        As in `path_of`.
    """
    return [path_of(name, each) for each in listed(given, str, bytes, os.PathLike)]


def file_path_of(name: str, given: Any) -> str:
    """Give the path of a file that is to be written, as text.

    Raises
    ------
    ConfigurationError
        As in `path_of`; also when only a folder can have that path.
    """
    text = path_of(name, given)
    if os.path.basename(text) in {"", ".", ".."}:  # noqa: PTH119 - a Path drops a separator at the end
        raise ConfigurationError(f"{text} is the path of a folder.", "Name a file in it.", setting=name)
    return text


def stream_of(name: str, given: Any, method: Literal["read", "write"]) -> BinaryIO | None:
    """Give an argument that is an open file, of which a method is used; None where it is something else, as a path.

    Raises
    ------
    ConfigurationError
        When it is a text file, is closed, or was opened for the other.
    """
    if not hasattr(given, method):
        return None
    can, mode, doing = ("readable", "rb", "reading") if method == "read" else ("writable", "wb", "writing")
    fault = ""
    if getattr(given, "closed", False):
        fault = "a closed file"
    elif isinstance(given, io.TextIOBase) or hasattr(given, "encoding"):
        fault = "a text file"
    elif not getattr(given, can, lambda: True)():
        fault = f"a file that is not open for {doing}"
    if fault:
        hint = f"Give a path, or open the file with the mode {mode!r}."
        raise ConfigurationError(f"{name} is {fault}.", hint, setting=name)
    return cast("BinaryIO", given)


def count_of(name: str, value: Any, least: int = 0) -> int:
    """Give an argument that is a whole number that a database can hold, `least` or more.

    Raises
    ------
    ConfigurationError
    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if is_whole and least <= value < 2**63:
        return int(value)
    found = value if isinstance(value, float) else f"of the type {type(value).__name__}"
    said = "out of range" if is_whole else found
    raise ConfigurationError(f"{name} is {said}.", f"Give a whole number, {least} or more.", setting=name)


def check_limit(name: str, value: Any, kind: type, wanted: str) -> None:
    """Check that an argument, where it is given, is of its kind, and 0 or more.

    Raises
    ------
    ConfigurationError
    """
    check_kind(name, value, kind, wanted)
    if value is not None and not value >= (timedelta(0) if kind is timedelta else 0):  # nor is NaN
        raise ConfigurationError(f"{name} is {value}.", f"Give {wanted}, 0 or more.", setting=name)


def truth_of(name: str, value: Any) -> bool:
    """Give an argument that is true or false.

    Raises
    ------
    ConfigurationError
        When it is neither, such as text, of which any is true.
    """
    is_known = isinstance(value, int) and value in (0, 1)
    if is_known or value is None or type(value).__name__ in {"bool", "bool_"}:  # numpy's
        return bool(value)
    raise ConfigurationError(f"{name} is of the type {type(value).__name__}.", "Give True or False.", setting=name)


def check_callable(name: str, value: Any) -> None:
    """Check that an argument, where it is given, can be called.

    Raises
    ------
    ConfigurationError
    """
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} is of the type {type(value).__name__}.", "Give a function.", setting=name)


def check_kind(name: str, value: object, kind: type, wanted: str) -> None:
    """Check that an argument, where it is given, is what it must be.

    Raises
    ------
    ConfigurationError
    """
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise ConfigurationError(f"{name} is {shown(value)}.", f"Give {wanted}.", setting=name)


def _is_single(given: Any, *kinds: type) -> bool:
    if isinstance(given, kinds) or not isinstance(given, Iterable):
        return True
    try:
        iter(given)
    except TypeError:  # as of numpy's value that stands for a masked one
        return True
    return False
