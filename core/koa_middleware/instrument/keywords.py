"""What a header, and a file's name, say of an instrument's columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Column

from ..exceptions import HeaderError, KoaMiddlewareError, described
from .door import Said, columns_of
from .forms import is_mjd
from .scales import scale_of, utc_of_mjd
from .times import in_utc, joined
from .values import ORIGIN_WORDS, normal_form

if TYPE_CHECKING:
    from .orm import ORMCalibration

#: Where a time of day stands whose date stands alone.
_CLOCKS = ("UTC", "UT", "TIME-OBS")

_DATE = len("YYYY-MM-DD")

_any_instrument: ContextVar[bool] = ContextVar("_any_instrument", default=False)


class _Filled(NamedTuple):
    """A column that keywords fill."""

    column: Column[Any]
    keywords: tuple[str, ...]
    convert: Callable[[Any], Any] | None
    is_time: bool


@contextmanager
def any_instrument() -> Iterator[None]:
    """Accept headers whatever instrument they name, in this context."""
    token = _any_instrument.set(True)
    try:
        yield
    finally:
        _any_instrument.reset(token)


def said_by(orm_class: type[ORMCalibration], cards: Mapping[str, Any], source: str) -> Said:
    """Read headers: of each column the first keyword, in order of preference, that has a value.

    A time that is none, such as 0 or a Julian Date, is passed over like a keyword that is not there.

    Raises
    ------
    HeaderError
        When the header is another instrument's, or a value cannot be one of its column.
    """
    check_instrument(orm_class, cards, source)
    said = Said({}, {})
    for filled in _filled(orm_class):
        name = filled.column.key
        for keyword in filled.keywords:
            try:
                value = _value(filled, keyword, cards, source)
            except HeaderError as error:
                if not filled.is_time:
                    raise
                said.faults.setdefault(name, error)
                continue
            if value is not None:
                said.values[name] = _in_utc(filled.column, value, keyword, cards, source) if filled.is_time else value
                said.faults.pop(name, None)
                break
    return said


def named_by(orm_class: type[ORMCalibration], filename: str) -> dict[str, Any]:
    """Column values in normal form that a file's name says, by the class's `filename_pattern`.

    Raises
    ------
    HeaderError
        When one cannot be of its column.
    """
    if not orm_class.filename_pattern:
        return {}
    match, columns = re.compile(orm_class.filename_pattern).fullmatch(PurePath(filename).name), columns_of(orm_class)
    groups = match.groupdict() if match else {}
    found = {name: normal_form(columns[name], value, filename) for name, value in groups.items() if name in columns}
    return {name: value for name, value in found.items() if value is not None}


def check_instrument(orm_class: type[ORMCalibration], cards: Mapping[str, Any], source: str) -> None:
    """Check that headers name this instrument, or none.

    Raises
    ------
    HeaderError
        Unless in a context of `any_instrument`.
    """
    said = cards.get("INSTRUME")
    if said is None or not _bare(said) or _any_instrument.get():
        return
    if not means(said, orm_class.instrume_values or (orm_class.instrument_name,)):
        raise HeaderError(
            f"{source} is of the instrument {str(said).strip()} (keyword INSTRUME), not of "
            f"{orm_class.instrument_name}.",
            f"Use that instrument's plugin, koa-cal -i {str(said).strip().lower()}, or --force-instrument where the "
            "header is wrong.",
            column="",
            keywords=("INSTRUME",),
            source=source,
        )


def means(instrume: object, values: Iterable[str]) -> bool:
    """Whether a value of ``INSTRUME`` is one of some; letter case, hyphens, underscores and blanks don't count."""
    return _bare(instrume) in map(_bare, values)


def _bare(instrument: object) -> str:
    return re.sub(r"[\s_-]", "", str(instrument)).lower()


@cache
def _filled(orm_class: type[ORMCalibration]) -> tuple[_Filled, ...]:
    return tuple(
        _Filled(column, keywords, column.info.get("convert"), column.key == "datetime_obs" or is_mjd(column))
        for column in columns_of(orm_class).values()
        if (keywords := column.info.get("keywords", ()))
    )


def _value(filled: _Filled, keyword: str, cards: Mapping[str, Any], source: str) -> Any:
    """Give the normal form of a keyword's value; None where it has none."""
    column = filled.column
    try:
        raw = cards.get(keyword)
    except HeaderError as error:  # no FITS card
        raise _fault(column, keyword, source, error.message) from error
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return None
    if column.key == "origin" and str(raw).strip().upper() not in ORIGIN_WORDS:
        return None  # FITS uses this keyword for institutions and software too
    if filled.convert is not None:
        raw = _converted(filled.convert, raw, column, keyword, source)
    return normal_form(column, raw, source, keyword)


def _converted(convert: Callable[[Any], Any], raw: Any, column: Column[Any], keyword: str, source: str) -> Any:
    try:
        return convert(raw)
    except KoaMiddlewareError:
        raise
    except Exception as error:  # a plugin's own function, on whatever a header holds
        said = f"The {keyword} of {source} is {raw!r}, which cannot be converted ({described(error)})."
        raise _fault(column, keyword, source, said) from error


def _in_utc(column: Column[Any], value: Any, keyword: str, cards: Mapping[str, Any], source: str) -> Any:
    """Give a time in UTC: a date alone with its time of day, and what is of another scale converted."""
    extension = keyword.rpartition(":")[0]
    prefixes = [f"{extension}:", ""] if extension else [""]
    is_text = isinstance(value, str)
    if is_text and len(value) == _DATE:
        clocks = (cards.get(f"{prefix}{clock}") for prefix in prefixes for clock in _CLOCKS)
        value = next((full for clock in clocks if len(full := joined(value, clock)) > _DATE), value)
    scale = next((found for prefix in prefixes if (found := cards.get(f"{prefix}TIMESYS")) is not None), "")
    try:
        known = scale_of(str(scale))
    except ValueError as error:
        said = f"The TIMESYS of {source} is {scale!r}, which is {error}, so that its {keyword} cannot be read."
        raise _fault(column, "TIMESYS", source, said) from error
    return value if not known else in_utc(value, known) if is_text else utc_of_mjd(value, known)


def _fault(column: Column[Any], keyword: str, source: str, said: str) -> HeaderError:
    return HeaderError(
        said if source in said else f"{said.rstrip('.')} (in {source}, for the column {column.key}).",
        "Correct the header, or give the value yourself.",
        column=column.key,
        keywords=(keyword,),
        source=source,
    )
