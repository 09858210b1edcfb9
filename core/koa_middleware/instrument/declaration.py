"""What an instrument's class may declare, checked when the class is made."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from types import FunctionType
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Double, Float, Index, Integer, String, Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, MappedColumn, RelationshipProperty
from sqlalchemy.orm.interfaces import MapperProperty
from sqlalchemy.util import OrderedSet

from ..exceptions import HeaderError, InvalidPluginError, described
from .keywords import bare
from .values import default_value, normal_form

#: The types of which every value has one form, in Python and in each database.
TYPES = (String, Integer, BigInteger, Float, Boolean)

#: Another word for `Float`.
_FLOATS = (Double,)

#: Settings of the class that are tuples of names.
_NAMES = ("cal_types", "version_family", "instrume_values")

#: Class methods that a plugin may override, with what they take.
_HOOKS = {
    "derive": ("values",),
    "filename_for": ("record",),
    "values_from_file": ("path",),
    "values_from_header": ("header", "filename"),
}

#: What a class may set or override, which a name that is nearly the same was meant to be.
_KNOWN = ("instrument_name", "filename_pattern", *_NAMES, *_HOOKS)

#: How alike two names are of which one is the other misspelt.
_ALIKE = 0.87

#: Hooks that a plugin used to override, and what took their place.
_GONE = {"normalise": "derive"}

#: What names the table, which is named after the instrument: other instruments go by that name in one cache.
_OF_TABLE = ("__tablename__", "__table__")

#: Columns that tell versions of one family apart, or may change.
_NEVER_OF_FAMILIES = ("id", "filename", "cal_version", "quality", "checksum", "file_size", "last_updated")

#: A column of such a name hides SQLite's own; so does ``_rowid_``.
_NUMBERS_OF_ROWS = frozenset({"rowid", "oid"})

#: Columns that the history has beside those of a class.
_OF_HISTORY = frozenset({"koa_archive_n", "koa_n", "koa_since", "koa_until"})

#: Arguments of `query` beside the columns.
_ARGUMENTS = frozenset({"as_of", "date_time_end", "date_time_start", "newest", "self"})


def check_body(cls: type[Any], base: type[Any]) -> None:
    """Check what stands in the bodies of a class and of those between it and the base, before it is mapped.

    Raises
    ------
    InvalidPluginError
        For an unusable instrument's name, a setting that is none or is nearly named as one, a hook that takes other
        arguments than the base's, a method of the base that is no hook, a table of another name, a relationship, or a
        column whose name is taken.
    """
    name = getattr(cls, "instrument_name", None)
    if not (isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]*", name)):
        raise _invalid(
            cls,
            f"has the instrument_name {name!r}",
            "Set it to lower-case letters, digits and underscores, beginning with a letter.",
        )
    for setting in _NAMES:
        _check_names(cls, setting)
    if not all(map(bare, cls.instrume_values)):
        raise _invalid(cls, f"has the instrume_values {cls.instrume_values!r}", "Write what INSTRUME says, or ().")
    _compiled(cls)
    for body in cls.__mro__[: cls.__mro__.index(base)]:
        for hook in sorted(_GONE.keys() & vars(body).keys()):
            raise _invalid(cls, f"overrides {hook}", f"Override {_GONE[hook]} instead.")
        for name in (name for name in _OF_TABLE if name in vars(body)):
            raise _invalid(cls, f"sets {name}", "Leave it out; the table is named after the instrument.")
        for attribute, value in vars(body).items():
            _check_attribute(cls, base, attribute, value)
        for attribute, value in _columns_in(body):
            _check_column(cls, base, attribute, value)
    for hook, arguments in _HOOKS.items():
        _check_hook(cls, hook, arguments)


def check_table(cls: type[Any], base: type[Any]) -> None:
    """Check the columns of a class that is mapped.

    Raises
    ------
    InvalidPluginError
        For a column of another type than `TYPES`, or that differs from the base's column of its name; for a column with
        two names, another primary key, or what a database would fill or check; for names of columns or types that are
        none, also in the pattern of file names; for a default that is not in the form of its column.
    """
    table: Table = cls.__table__
    for name in (column.key for column in table.primary_key if column.key != "id"):
        raise _invalid(cls, f"has {name} as a primary key, beside id", "Leave primary_key out: id is the primary key.")
    for column in table.c:
        if type(column.type) not in TYPES + _FLOATS:
            allowed = ", ".join(kind.__name__ for kind in TYPES)
            raise _invalid(cls, f"has the column {column.key} of the type {column.type!r}", f"Use one of {allowed}.")
        common = vars(base).get(column.key)
        if isinstance(common, MappedColumn) and not isinstance(column.type, type(common.column.type)):
            wanted = type(common.column.type).__name__
            raise _invalid(
                cls, f"declares {column.key} anew with the type {column.type!r}", f"It stays of the type {wanted}."
            )
        if isinstance(common, MappedColumn):
            _check_common(cls, column, common.column, is_needed="None" not in str(base.__annotations__[column.key]))
        for argument in (name for name, value in _of_databases(column).items() if value is not None):
            raise _invalid(cls, f"has the column {column.key} with {argument}", "Leave it out; default gives a value.")
        if column.default is not None:
            _check_default(cls, column)
    by_letters: dict[str, str] = {}
    for name in table.c.keys():  # noqa: SIM118 - a collection of columns, not of names
        if (other := by_letters.setdefault(name.lower(), name)) != name:
            raise _invalid(cls, f"has the columns {other} and {name}", "A database knows no letter case: rename one.")
    for attribute, column in cls.__mapper__.columns.items():
        if attribute != column.key:
            said = f"has the column {column.key!r} under the name {attribute!r}"
            raise _invalid(cls, said, "Give attribute and column one name.")
    for unknown in (name for name in cls.version_family if name not in table.c):
        raise _invalid(
            cls,
            f"names {unknown} in its version_family, which is no column",
            f"Name columns of the class: {', '.join(table.c.keys())}.",
        )
    for name in (name for name in cls.version_family if name in _NEVER_OF_FAMILIES):
        raise _invalid(
            cls, f"names {name} in its version_family", f"Leave it out: versions of one family differ in {name}."
        )
    groups = _compiled(cls).groupindex
    for unknown in (name for name in groups if name not in table.c):
        raise _invalid(
            cls,
            f"has the group {unknown} in its filename_pattern, which is no column",
            f"Name groups as columns: {', '.join(table.c.keys())}.",
        )
    if cls.filename_pattern and not groups:
        raise _invalid(
            cls, "has a filename_pattern without named groups", "Name a group as its column: (?P<cal_type>[a-z]+)."
        )
    for odd in (name for name in cls.cal_types if name != _type_form(table, name)):
        form = _type_form(table, odd)
        hint = f"Write {form!r}." if form else "Leave it out."
        raise _invalid(cls, f"has {odd!r} among its cal_types, which no calibration can have", hint)


def settle_indexes(table: Table, *brought: tuple[str, ...]) -> None:
    """Add the indexes that every instrument has, once each, and put all in one order.

    SQLite chooses among equally good indexes by the order of their creation, and SQLAlchemy keeps them in a set.
    """
    for columns in brought:
        Index(None, *(table.c[name] for name in columns))
    by_columns = {
        (tuple(expression.key for expression in index.columns), index.unique): index
        for index in sorted(table.indexes, key=lambda index: str(index.name))
    }
    ordered = sorted(by_columns.values(), key=lambda index: (-len(index.columns), str(index.name)))
    table.indexes = OrderedSet(ordered)


@contextmanager
def mapping(cls: type[Any]) -> Iterator[None]:
    """Turn SQLAlchemy's refusal of a class into `InvalidPluginError`."""
    try:
        yield
    except SQLAlchemyError as error:
        said = str(error).split("(Background on", 1)[0].strip().rstrip(".")
        raise _invalid(cls, f"cannot be mapped to a table ({said})", "Correct the class.") from error


def _check_common(cls: type[Any], column: Column[Any], common: Column[Any], is_needed: bool) -> None:
    """Check that a column of the base, declared anew, is still needed, unique or given as it is there."""
    wanted = {
        "primary_key=True": common.primary_key and not column.primary_key,
        "nullable=False": is_needed and column.nullable,
        "nullable=True": not is_needed and not column.nullable,
        "unique=True": common.unique and not column.unique,
        "a default": common.default is not None and column.default is None,
    }
    for argument in (name for name, is_missing in wanted.items() if is_missing):
        raise _invalid(cls, f"declares {column.key} anew without {argument}", f"Give it {argument}, as in the base.")


def _of_databases(column: Column[Any]) -> dict[str, Any]:
    """Arguments of a column that a database would act on, where rows come and go through this package."""
    return {
        "a ForeignKey": column.foreign_keys or None,
        "server_default": column.server_default,
        "onupdate": column.onupdate,
        "server_onupdate": column.server_onupdate,
    }


def _default(cls: type[Any], column: Column[Any]) -> Any:
    """Give a column's default; of a function, what it gives now."""
    default: Any = column.default
    try:
        if default.is_scalar or default.is_callable:
            return default_value(column)
        said = "is of the database"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's own function
        said = f"fails with {described(error)}"
    raise _invalid(cls, f"has a default of {column.key} that {said}", "Write a value, or a function that gives one.")


def _check_default(cls: type[Any], column: Column[Any]) -> None:
    """Check that a default is in the form in which values are stored and compared."""
    default = _default(cls, column)
    try:
        form = normal_form(column, default, "the class")
    except HeaderError as error:
        said = f"has the default {default!r} of {column.key}, which is {error.__cause__}"
        raise _invalid(cls, said, "Write a value that the column can hold.") from None
    if form != default:
        said = f"has the default {default!r} of {column.key}, which is stored as {form!r}"
        raise _invalid(cls, said, f"Write {form!r}.")


def _check_names(cls: type[Any], setting: str) -> None:
    found = getattr(cls, setting)
    if isinstance(found, str):
        raise _invalid(cls, f"has text as its {setting}", f"Write ({found!r},), with the comma that makes it a tuple.")
    if not (isinstance(found, tuple | list | set | frozenset) and all(isinstance(name, str) for name in found)):
        raise _invalid(cls, f"has the {setting} {found!r}", "Write a tuple of names.")


def _compiled(cls: type[Any]) -> re.Pattern[str]:
    found = cls.filename_pattern
    try:
        if isinstance(found, str):
            return re.compile(found)
        said = f"is of the type {type(found).__name__}"
    except re.error as error:
        said = f"is no regular expression ({error})"
    raise _invalid(cls, f"has a filename_pattern that {said}", 'Write one as text, such as r"(?P<cal_type>[a-z]+)_.*".')


def _check_hook(cls: type[Any], hook: str, arguments: tuple[str, ...]) -> None:
    """Check that a hook can be called as it will be, by the class and with some arguments in their order."""
    try:
        inspect.signature(getattr(cls, hook)).bind(*arguments)
    except (TypeError, ValueError):
        hint = f"Define it as a class method: def {hook}({', '.join(('cls', *arguments))}), below @classmethod."
        raise _invalid(cls, f"has a {hook} that cannot be called with ({', '.join(arguments)})", hint) from None


def _check_attribute(cls: type[Any], base: type[Any], name: str, value: Any) -> None:
    """Check what a class's body sets that is no column."""
    if isinstance(value, MappedColumn | Column | MapperProperty) or name.startswith("_"):
        return
    if isinstance(value, tuple) and any(isinstance(each, MappedColumn | Column) for each in value):
        raise _invalid(cls, f"has a tuple as its column {name}", "Remove the comma at the end of the column.")
    is_method = isinstance(vars(base).get(name), FunctionType | classmethod)
    if is_method and not (callable(value) or isinstance(value, classmethod | staticmethod)):
        raise _invalid(cls, f"has {value!r} as its {name}", f"{name} is a method.")
    if is_method and name not in _HOOKS:
        raise _invalid(cls, f"overrides {name}", f"Override one of {', '.join(_HOOKS)}; {name} is not a plugin's.")
    if isinstance(vars(base).get(name), MappedColumn):
        hint = f"Leave it out; declare it with fits_column where other keywords fill {name}."
        if name == "cal_type" and isinstance(value, str):
            hint = f"Write cal_types = ({value!r},), the types that exist."
        raise _invalid(cls, f"has {value!r} in the place of its column {name}", hint)
    meant = get_close_matches(name.lower(), _KNOWN, n=1, cutoff=_ALIKE)
    if meant and name not in _KNOWN and not name.isupper():
        hint = f"Did you mean {meant[0]}? Begin the name of a helper with an underscore."
        raise _invalid(cls, f"has {name}, which is no setting and no method of a class of calibrations", hint)


def _columns_in(body: type[Any]) -> Iterator[tuple[str, Any]]:
    """Columns and the like that a class's body declares, by name; None where there is an annotation only."""
    annotations = {name: None for name, kind in vars(body).get("__annotations__", {}).items() if _is_mapped(kind)}
    declared = {n: v for n, v in vars(body).items() if isinstance(v, MappedColumn | Column | MapperProperty)}
    yield from {**annotations, **declared}.items()


def _is_mapped(annotation: Any) -> bool:
    return re.match(r"(\w+\.)*Mapped\[", str(annotation)) is not None


def _check_column(cls: type[Any], base: type[Any], name: str, value: Any) -> None:
    if isinstance(value, RelationshipProperty):
        raise _invalid(cls, f"has the relationship {name}", "A calibration is one row: give it columns alone.")
    if isinstance(value, MapperProperty):
        raise _invalid(cls, f"has the {type(value).__name__} {name}", "Give it columns alone.")
    if fault := fault_of_name(base, name):
        hint = "Begin its name with a letter." if name.startswith("_") else "Give the column another name."
        raise _invalid(cls, f"has a column named {name}{fault}", hint)


def fault_of_name(base: type[Any], name: str) -> str:
    """Say why no column may have a name, as the end of a clause that names it; empty where one may."""
    if isinstance(vars(base).get(name), MappedColumn):
        return ""
    if name.startswith("_"):
        return ", which begins with an underscore"
    if any(hasattr(owner, name) for owner in (base, DeclarativeBase)):
        return ", as an attribute of its base is"
    if name in _ARGUMENTS:
        return ", as an argument of query() is"
    if name.lower() in _OF_HISTORY:
        return ", as one of the history's own is"
    return ", as SQLite names the number of a row" if name.lower() in _NUMBERS_OF_ROWS else ""


def _type_form(table: Table, name: str) -> str | None:
    """Give the form in which a type's name is stored; None where it is no value."""
    form: str | None = normal_form(table.c.cal_type, name, "the class")
    return form


def _invalid(cls: type[Any], fault: str, hint: str) -> InvalidPluginError:
    return InvalidPluginError(
        f"The class {cls.__name__} {fault}.",
        hint,
        instrument=str(getattr(cls, "instrument_name", "")),
        distribution="",
    )
