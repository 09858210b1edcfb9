"""What a caller may hand to a selection, as column values: a path, a header, a mapping, or a pipeline's model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..disk.reading import check_readable, user_path
from ..exceptions import HeaderError
from .orm import ORMCalibration


def column_values(orm_class: type[ORMCalibration], given: Any) -> Mapping[str, Any]:
    """Give the column values of a frame.

    Parameters
    ----------
    orm_class : type
    given : path, header, mapping or model
        A path to a FITS file; a FITS header; a mapping of column values or a record; an object with `header` or
        `meta`, where `meta` may be a header, a mapping of column values, or an object with such attributes.

    Raises
    ------
    SourceFileError, HeaderError
    """
    if hasattr(given, "cards"):  # first, since astropy's header is a mapping too
        return orm_class.values_from_header(given)
    if isinstance(given, Mapping):
        return given
    if isinstance(given, str | os.PathLike):
        path = user_path(given)
        check_readable(path)
        return orm_class.values_from_file(path)
    if isinstance(given, ORMCalibration):
        return given.to_dict()
    if getattr(given, "header", None) is not None:
        return orm_class.values_from_header(given.header)
    meta = getattr(given, "meta", None)
    if meta is None:
        raise HeaderError(
            f"A {type(given).__name__} is not a frame.",
            "Give a path, a FITS header, a mapping of column values, or an object with .header or .meta.",
            column="",
            keywords=(),
            source=type(given).__name__,
        )
    if hasattr(meta, "cards"):
        return orm_class.values_from_header(meta)
    if isinstance(meta, Mapping):
        known = {name: meta[name] for name in orm_class.column_names() if name in meta}
        return known or orm_class.values_from_header(meta)
    return {name: getattr(meta, name) for name in orm_class.column_names() if hasattr(meta, name)}
