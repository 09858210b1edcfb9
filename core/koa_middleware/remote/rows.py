"""The door through which the rows of an archive come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..exceptions import HeaderError
from ..instrument.orm import DERIVED, ORMCalibration


def in_form(orm_class: type[ORMCalibration], values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Bring a row of the archive into form; its origin is REMOTE.

    The class derives only where a column is null that no keyword fills: all else is as the archive has it.

    Raises
    ------
    HeaderError
        When a value cannot be one of its column, or a needed one is missing.
    UnsafeFilenameError
    """
    derive = any(values.get(name) is None for name in orm_class.table().info[DERIVED])
    row = orm_class.in_form({**values, "origin": "REMOTE"}, source, derive=derive)
    for name in ("id", "filename"):  # what a row is followed by
        if row[name] != values[name]:
            said = f"its {name} {values[name]!r} is not in the form of one"
            raise HeaderError(said, column=name, keywords=(), source=source)
    return row
