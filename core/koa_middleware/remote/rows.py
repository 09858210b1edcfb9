"""The door through which the rows of an archive come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..exceptions import DuplicateCalibrationError, HeaderError
from ..instrument.orm import DERIVED, ORMCalibration
from .protocol import Holds

#: Characters of a file name or an id that stand in a message.
_SHOWN = 100


def shown(name: object) -> str:
    """Give a row's file name or id as messages show it, whatever stands there."""
    text = str(name or "")
    return text if text.isprintable() and len(text) <= _SHOWN else ascii(text[:_SHOWN])


def source_of(values: Mapping[str, Any]) -> str:
    """Call a row as the messages of the one door do."""
    return f"the archive's row {shown(values['filename'])}"


def is_same_content(filename: str, own: str | None, theirs: str | None, holds: Holds) -> bool:
    """Whether two recorded checksums are of one content; where they are of two kinds, the file here decides."""
    kinds = {str(each).partition(":")[0] for each in (own, theirs)}
    return own == theirs if theirs is None or len(kinds) == 1 else holds(filename, str(theirs))


def clash(own: Mapping[str, Any], known: Mapping[str, Any]) -> DuplicateCalibrationError:
    """Give the error of a record whose id or file name belongs to other content.

    Parameters
    ----------
    own, known : mapping
        The record's row, and the one that has its id or name.
    """
    return DuplicateCalibrationError(
        f"{own['filename']} (version {own['cal_version']}, id {own['id']}) clashes with {shown(known['filename'])} "
        f"(id {shown(known['id'])}), which has other content, here or in the archive.",
        "Nothing was published; register the file under another name.",
        filename=own["filename"],
        existing=known["filename"],
        version=own["cal_version"],
    )


def in_form(orm_class: type[ORMCalibration], values: Mapping[str, Any], source: str = "") -> dict[str, Any]:
    """Bring a row of the archive, or for it, into form; its origin is REMOTE.

    The class derives only where a column is null that no keyword fills: all else is as the archive has it.

    Raises
    ------
    HeaderError
        When a value cannot be one of its column, or a needed one is missing.
    UnsafeFilenameError
    """
    source = source or source_of(values)
    derive = any(values.get(name) is None for name in orm_class.table().info[DERIVED])
    row = orm_class.in_form({**values, "origin": "REMOTE"}, source, derive=derive)
    for name in ("id", "filename"):  # what a row is followed by
        if row[name] != values[name]:
            said = f"its {name} {values[name]!r} is not in the form of one"
            raise HeaderError(said, column=name, keywords=(), source=source)
    if not row["cal_type"].isprintable():
        said = f"its cal_type {values['cal_type']!r} holds characters that are not seen"
        raise HeaderError(said, column="cal_type", keywords=(), source=source)
    return row
