"""What a caller may hand to a selection, as column values: a path, headers, a mapping, a row, a pipeline's model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from ..disk.reading import check_readable, user_path
from ..exceptions import HeaderError
from .door import columns_of
from .headers import headers_of, is_hdu_list, is_header
from .hooks import values_by
from .orm import ORMCalibration
from .plain import is_missing

#: Where a model holds its metadata, in the order in which they count.
_METADATA = ("header", "headers", "meta")


def column_values(orm_class: type[ORMCalibration], given: Any) -> Mapping[str, Any]:
    """Give the column values of a frame.

    Parameters
    ----------
    orm_class : type
    given : path, headers, mapping, row, model or record
        A path to a FITS file; a FITS header or an `HDUList`; a mapping, or a table's row, of column values, of FITS
        keywords, or of headers by extension; an object with such a `header`, `headers` or `meta`, the last one perhaps
        nested; a record.

    Raises
    ------
    SourceFileError, HeaderError
    """
    if isinstance(given, dict) and given.keys() <= columns_of(orm_class).keys():
        return given
    if isinstance(given, str | os.PathLike):
        path = user_path(given)
        check_readable(path)
        return orm_class.normalise(values_by(orm_class, "values_from_file", path.name, path), path.name)
    if isinstance(given, ORMCalibration):
        return given.to_dict()
    holder = _holder(given)
    if holder is None or (is_hdu_list(holder) and not holder):
        raise _no_frame(given)
    named = _named(orm_class, holder)
    filename = named.get("filename")
    source = "the header" if filename is None else str(filename)
    name = None if filename is None else source
    read = values_by(orm_class, "values_from_header", source, headers_of(holder), name)
    return orm_class.normalise({**read, **named}, source if named.keys() <= {"filename"} else filename or "the input")


def is_frame(given: Any) -> bool:
    """Whether this is one frame, and not several of them, such as a list or a table."""
    if isinstance(given, str | bytes | os.PathLike | ORMCalibration):
        return True
    return not hasattr(given, "as_array") and _holder(given) is not None


def _holder(given: Any) -> Any:
    """Give the header, mapping or object that says what a frame is; None where there is none."""
    row = _row(given)
    if row is not None:
        return row
    for name in _METADATA:
        held = getattr(given, name, None)
        if held is not None and not isinstance(held, str | bytes | int | float) and not callable(held):
            row = _row(held)
            return held if row is None else row
    return None


def _row(given: Any) -> Any:
    """Give headers and mappings as they are, a table's row as a mapping; None for all else."""
    if is_header(given) or is_hdu_list(given) or isinstance(given, Mapping):
        return given
    if hasattr(given, "as_void"):  # of astropy
        return dict(zip(given.colnames, given, strict=True))
    if hasattr(given, "to_dict") and getattr(given, "ndim", None) == 1:  # of pandas
        return given.to_dict()
    if isinstance(mapping := getattr(given, "_mapping", None), Mapping):  # of SQLAlchemy
        return mapping
    array = given if hasattr(given, "dtype") else getattr(given, "array", None)
    names = getattr(getattr(array, "dtype", None), "names", None)
    if names and (getattr(given, "shape", ()) == () or array is not given):  # of numpy, of a FITS table
        return {name: given[name] for name in names}
    has_keys = callable(getattr(given, "keys", None)) and hasattr(given, "__getitem__")
    if has_keys and not isinstance(given, type) and not hasattr(given, "meta"):  # of fitsio, of sqlite3
        return {key: given[key] for key in given.keys()}  # noqa: SIM118
    return None


def _named(orm_class: type[ORMCalibration], holder: Any) -> dict[str, Any]:
    """Give what stands under the columns' own names, but where such a name is the column's keyword too."""
    if is_header(holder):
        return {}
    if is_hdu_list(holder):
        opened = holder.filename()  # of what it was read from, None where it was made
        return {"filename": PurePath(opened).name} if isinstance(opened, str) and opened else {}
    named = {}
    for name, column in columns_of(orm_class).items():
        value = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
        if not is_missing(value) and name.upper() not in column.info.get("keywords", ()):
            named[name] = value
    return named


def _no_frame(given: Any) -> HeaderError:
    kind = type(given).__name__
    hint = "Give a path, a header, an HDUList, a mapping or a table's row, or an object with header or meta."
    if isinstance(given, list | tuple | set | frozenset):
        hint = "Give one frame, or several to select_many."
    elif isinstance(given, bytes) or hasattr(given, "read") or hasattr(given, "open"):
        hint = "Give the path of its file."
    return HeaderError(f"A {kind} is not a frame.", hint, column="", keywords=(), source=kind)
