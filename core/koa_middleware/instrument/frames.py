"""What a caller may hand to a selection, as column values: a path, headers, a mapping, a row, a pipeline's model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any

from ..disk.reading import check_readable, user_path
from ..exceptions import HeaderError, described
from .door import DATE, TIMES, Said, Values, check_given, columns_of, finished, in_forms
from .forms import is_mjd
from .headers import Held, headers_of, is_hdu_list, is_header
from .hooks import values_by
from .keywords import unasked, without
from .orm import ORMCalibration
from .plain import article, is_missing

#: Where a model holds its metadata, in the order in which they count.
_METADATA = ("header", "headers", "meta")

#: Characters of a keyword, which are capitals (FITS Standard 4.0, section 4.1.2.1).
_LONGEST_KEYWORD = 8


@dataclass(frozen=True)
class FileWith:
    """A frame's file, with some column values that are given in place of its header's.

    Attributes
    ----------
    file : str
    values : mapping
    """

    file: str
    values: Mapping[str, Any]

    def __fspath__(self) -> str:
        return self.file

    def __str__(self) -> str:
        return self.file


def column_values(orm_class: type[ORMCalibration], given: Any) -> Mapping[str, Any]:
    """Give the column values of a frame.

    Parameters
    ----------
    orm_class : type
    given : path, headers, mapping, row, model or record
        A path to a FITS file; a FITS header or an `HDUList`; a mapping, or a table's row, of column values, of FITS
        keywords, or of headers by extension; an object with such a `header`, `headers` or `meta`, the last one perhaps
        nested; a record. Letter case of names does not count, but what looks like a FITS keyword is none of a column.
        A value that is given by column name counts in place of its keyword's, a time in place of all of the header's.

    Raises
    ------
    SourceFileError, HeaderError
    """
    if isinstance(given, dict) and given.keys() <= columns_of(orm_class).keys():
        return given
    if isinstance(given, FileWith):
        return file_values(orm_class, given.file, given.values)
    if isinstance(given, str | os.PathLike):
        return file_values(orm_class, given, {})
    if isinstance(given, ORMCalibration):
        return given.to_dict()
    holder = _holder(given)
    if holder is None or (is_hdu_list(holder) and not holder):
        raise _no_frame(given)
    headers = headers_of(holder)
    named = {**_name_of_file(given), **_named(orm_class, holder, headers)}
    filename = named.get("filename")
    source = "the header" if filename is None else str(filename)
    given_by = source if named.keys() <= {"filename"} else filename or "the input"
    own = in_forms(orm_class, named, given_by)
    said = {name: value for name, value in own.values.items() if value is not None}
    return _with_given(
        orm_class,
        own._replace(values=Values(said)),
        lambda: values_by(orm_class, "values_from_header", source, headers, None if filename is None else source),
        given_by,
    )


def file_values(orm_class: type[ORMCalibration], file: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Give the column values of a file, some of them given by name in place of its own.

    Raises
    ------
    SourceFileError, HeaderError
    """
    path = user_path(file)
    check_readable(path)
    own = in_forms(orm_class, given, path.name)
    return _with_given(orm_class, own, lambda: values_by(orm_class, "values_from_file", path.name, path), path.name)


def _with_given(
    orm_class: type[ORMCalibration], own: Said, read: Callable[[], Mapping[str, Any]], source: str
) -> Values:
    """Give column values, those given by name in place of a header's, which is not asked for them.

    What the class derived from the header's alone, it derives anew from all.
    """
    if not own.values:
        found = in_forms(orm_class, read(), source)
        return finished(orm_class, found._replace(faults={**found.faults, **own.faults}), source)
    check_given(own.values, source)
    given = without(orm_class, own.values)
    with unasked(given):
        found = in_forms(orm_class, read(), source)
    put_aside = given | found.values.derived
    kept = {name: value for name, value in found.values.items() if name not in put_aside}
    said = Said(Values({**kept, **own.values}), {**found.faults, **own.faults}, {})
    settled = TIMES if any(name in own.values for name in TIMES) else ()
    values = finished(orm_class, said, source, settled=settled)
    _require_clock(orm_class, own.values.get("datetime_obs"), values, source)
    return values


def _require_clock(orm_class: type[ORMCalibration], given: str | None, values: Mapping[str, Any], source: str) -> None:
    """Check that a date that is given has a time of day, or that other times are known."""
    if given is None or len(given) > DATE:
        return
    if any(values.get(name) is not None for name, column in columns_of(orm_class).items() if is_mjd(column)):
        return
    raise HeaderError(
        f"The datetime_obs given for {source} is the date {given} alone, without a time of day.",
        f"Give it with its time of day in UTC, such as {given}T12:00:00, or give mjd_start.",
        column="datetime_obs",
        keywords=(),
        source=source,
    )


def is_frame(given: Any) -> bool:
    """Whether this is one frame, and not several of them, such as a list or a table."""
    if isinstance(given, str | bytes | os.PathLike | ORMCalibration):
        return True
    return _holder(given) is not None


def _holder(given: Any) -> Any:
    """Give the header, mapping or object that says what a frame is; None where there is none."""
    if _is_table(given):
        return None
    row = _row(given)
    if row is not None:
        return row
    for name in _METADATA:
        held = getattr(given, name, None)
        if held is not None and not isinstance(held, str | bytes | int | float) and not callable(held):
            row = _row(held)
            return held if row is None else row
    return None


def _is_table(given: Any) -> bool:
    """Whether this is a table of astropy or pandas, or an array of rows."""
    if hasattr(given, "as_array") or (hasattr(given, "to_dict") and getattr(given, "ndim", None) == 2):
        return True
    return getattr(getattr(given, "dtype", None), "names", None) is not None and getattr(given, "shape", ()) != ()


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


def _name_of_file(given: Any) -> dict[str, Any]:
    """Give the file name that an object has, as an attribute or by a method, as a column value."""
    try:
        name = getattr(given, "filename", None)
        name = name() if callable(name) else name
    except TypeError:  # a method that asks for something
        return {}
    except Exception as error:  # a model's own code
        raise HeaderError(
            f"The filename of a {type(given).__name__} failed with {described(error)}.",
            "Correct it, or give the path of its file.",
            column="filename",
            keywords=(),
            source=type(given).__name__,
        ) from error
    base = PurePath(name).name if isinstance(name, str | os.PathLike) else ""
    return {"filename": base} if base else {}


def _named(orm_class: type[ORMCalibration], holder: Any, headers: Mapping[str, Any]) -> dict[str, Any]:
    """Give what stands under the columns' own names, but where such a name is the column's keyword too."""
    if not isinstance(headers, Held):
        return {}
    get = _by_column(holder, headers) if isinstance(holder, Mapping) else partial(getattr, holder)
    named = {}
    for name, column in columns_of(orm_class).items():
        value = get(name, None)
        is_keyword = name.upper() in column.info.get("keywords", ())
        if not is_missing(value) and not (is_keyword and _is_alone(name, holder)):
            named[name] = value
    return named


def _by_column(holder: Mapping[Any, Any], headers: Held) -> Callable[[str, Any], Any]:
    """Find a column's value: by its name, in any letter case unless that is a FITS keyword."""

    def find(name: str, default: Any) -> Any:
        if name in holder:
            return holder[name]
        key = headers.spelling(name)
        text = str(key)
        is_keyword = len(text) <= _LONGEST_KEYWORD and text.isupper()
        return default if key is None or is_keyword else holder[key]

    return find


def _is_alone(name: str, holder: Any) -> bool:
    """Whether what a name says is not said twice, by it and by a keyword that differs from it in letter case."""
    return not isinstance(holder, Mapping) or sum(str(key).upper() == name.upper() for key in holder) < 2


def _no_frame(given: Any) -> HeaderError:
    kind = type(given).__name__
    hint = "Give a path, a header, an HDUList, a mapping or a table's row, or an object with header or meta."
    if _is_table(given):
        row = "table.iloc[0]" if getattr(given, "ndim", None) == 2 else "table[0]"
        hint = f"Give one row, such as {row}; select_many takes all."
    elif isinstance(given, list | tuple | set | frozenset):
        hint = "Give one frame, or several to select_many."
    elif isinstance(given, bytes) or hasattr(given, "read") or hasattr(given, "open"):
        hint = "Give the path of its file."
    return HeaderError(
        f"{article(kind).capitalize()} {kind} is not a frame.", hint, column="", keywords=(), source=kind
    )
