"""The values of a frame as fields of a form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ...exceptions import ConfigurationError, HeaderError, KoaMiddlewareError
from ...instrument.door import in_forms
from ...instrument.orm import ORMCalibration
from ...instrument.plain import is_wildcard
from .compared import compared_in, given_columns
from .problem_page import problem_in
from .search import TIME, check_column

#: What the names of such fields begin with.
PREFIX = "frame."

#: What errors call a frame that has no file name.
_UNNAMED = ("the frame", "the input")

#: What a frame's row may hold that no rule asks a frame for.
_NOT_OF_FRAMES = frozenset(
    ("id", "checksum", "file_size", "last_updated", "origin", "quality", "cal_version", "master_cal")
)


class Field(NamedTuple):
    """A field: its column, what stands in it, its unit, and what is to be typed."""

    column: str
    value: str
    unit: str
    hint: str


def fields(orm_class: type[ORMCalibration], values: Mapping[str, Any]) -> list[Field]:
    """Give the fields of a frame: its time, what the rules compare, and what else is known of it."""
    columns, given = orm_class.table().c, given_columns(orm_class)
    known = {name: value for name, value in values.items() if value is not None and name not in _NOT_OF_FRAMES}
    names = dict.fromkeys(
        (TIME, *compared_in(orm_class), *(name for name in orm_class.column_names() if name in known))
    )

    def hint(name: str) -> str:
        if name == TIME:
            return "UTC, such as 2026-02-12T10:00:00"
        return "no frame holds it: choose one" if name in given else ""

    return [Field(name, str(known.get(name, "")), columns[name].info.get("unit", ""), hint(name)) for name in names]


def typed_in(items: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Give what was typed, by column, as it stands there."""
    found = {name.removeprefix(PREFIX): value for name, value in items if name.startswith(PREFIX)}
    return {name: value.strip() for name, value in found.items() if isinstance(value, str) and value.strip()}


def values_of(orm_class: type[ORMCalibration], typed: Mapping[str, str]) -> dict[str, Any]:
    """Give the column values that were typed.

    Raises
    ------
    ConfigurationError
        When there is no such column, or a value is a wildcard.
    HeaderError
        When a value is none of its column.
    """
    for name in typed:
        check_column(orm_class, name)
    own = in_forms(orm_class, typed, "the frame")
    for fault in own.faults.values():
        raise fault
    for name, value in own.values.items():
        if is_wildcard(value, orm_class.table().c[name].info.get("nulls")):
            said = f"The {name} of the frame is {typed[name]!r}, which is no value."
            raise ConfigurationError(said, "Type the value, or leave the field empty.", setting=name, variable=None)
    return dict(own.values)


def problem_of_typed(error: KoaMiddlewareError, typed: Mapping[str, str]) -> dict[str, Any]:
    """Give an error of values that were typed into a form for its page: they have no header to correct."""
    told = problem_in(error)
    if not isinstance(error, HeaderError) or error.source not in (*_UNNAMED, typed.get("filename")):
        return told
    said = told["said"].replace("the input", "the frame")
    verb = "Correct" if error.column in typed else "Give"
    return {
        **told,
        "said": f"{said[:1].upper()}{said[1:]}" if said.startswith("the ") else said,
        "hint": f"{verb} its {error.column} below.",
    }


def query_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give a frame's values as they stand in an address."""
    known = {name: value for name, value in values.items() if name not in _NOT_OF_FRAMES}
    return {f"{PREFIX}{name}": str(value) for name, value in known.items() if value is not None}
