"""What a header, and a file's name, say of an instrument's columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Column

from ..exceptions import HeaderError, KoaMiddlewareError, described
from .door import DATE, TIMES, Said, Values, columns_of
from .forms import is_mjd
from .plain import is_wildcard, plain, shown
from .scales import scale_of, utc_of_mjd
from .times import in_utc, joined
from .values import ORIGIN_WORDS, form_of, normal_form

if TYPE_CHECKING:
    from .orm import ORMCalibration

#: Where a time of day stands whose date stands alone.
_CLOCKS = ("UTC", "UT", "TIME-OBS")

_any_instrument: ContextVar[bool] = ContextVar("_any_instrument", default=False)
_unasked: ContextVar[frozenset[str]] = ContextVar("_unasked", default=frozenset())


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


def accepts_any_instrument() -> bool:
    """Whether this is such a context."""
    return _any_instrument.get()


def without(orm_class: type[ORMCalibration], given: Collection[str]) -> frozenset[str]:
    """Columns of which no header is asked where some are given by name: these, and with a time all times.

    Of times given by name only these must agree with each other, so that none is read beside them.
    """
    if not any(name in given for name in TIMES):
        return frozenset(given)
    times = (name for name, column in columns_of(orm_class).items() if name in TIMES or is_mjd(column))
    return frozenset({*given, *times})


@contextmanager
def unasked(columns: frozenset[str]) -> Iterator[None]:
    """Read headers and names as if they said nothing of some columns, in this context."""
    token = _unasked.set(columns)
    try:
        yield
    finally:
        _unasked.reset(token)


def said_by(orm_class: type[ORMCalibration], cards: Mapping[str, Any], source: str) -> Said:
    """Read headers: of each column the first keyword, in order of preference, that has a value.

    A time that is none, such as 0 or a Julian Date, is passed over like a keyword that is not there.

    Raises
    ------
    HeaderError
        When the header is another instrument's, or a value cannot be one of its column.
    """
    check_instrument(orm_class, cards, source)
    said, put_aside = Said(Values(), {}, {}), _unasked.get()
    for filled in _filled(orm_class):
        name = filled.column.key
        for keyword in () if name in put_aside else filled.keywords:
            try:
                value = _value(filled, keyword, cards, source)
            except HeaderError as error:
                if not filled.is_time:
                    raise
                said.faults.setdefault(name, error)
                continue
            if value is not None:
                said.values[name] = _in_utc(filled.column, value, keyword, cards, source) if filled.is_time else value
                said.keywords[name] = keyword
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
    asked = columns.keys() - _unasked.get()
    found = {name: normal_form(columns[name], value, filename) for name, value in groups.items() if name in asked}
    return {name: value for name, value in found.items() if value is not None}


def check_instrument(orm_class: type[ORMCalibration], cards: Mapping[str, Any], source: str) -> None:
    """Check that headers name this instrument, or none.

    Raises
    ------
    HeaderError
        Unless in a context of `any_instrument`.
    """
    said = instrument_in(cards)
    if not said or _any_instrument.get():
        return
    if not means(said, orm_class.instrume_values or (orm_class.instrument_name,)):
        raise HeaderError(
            f"{source} is of the instrument {said} (keyword INSTRUME), not of {orm_class.instrument_name}.",
            "Use that instrument's plugin (koa-cal instruments lists the installed ones), or --force-instrument where "
            "the header is wrong.",
            column="",
            keywords=("INSTRUME",),
            source=source,
        )


def instrument_in(cards: Mapping[str, Any]) -> str:
    """Give the ``INSTRUME`` of headers; empty where there is none, or a word such as ``N/A``."""
    said = cards.get("INSTRUME")
    return "" if is_wildcard(said) or not bare(said) else str(said).strip()


def date_alone(column: Column[Any], values: Mapping[str, Any]) -> str:
    """Say in addition of a time that is missing that a date stands alone; nothing where none does."""
    date = values.get("datetime_obs")
    if not is_mjd(column) or not isinstance(date, str) or len(date) != DATE:
        return ""
    keywords = " or ".join(column.table.c.datetime_obs.info.get("keywords", ()))
    said = f" (keyword {keywords})" if keywords else ""
    return f"; its datetime_obs{said} is the date {date} alone, without a time of day (keyword {' or '.join(_CLOCKS)})"


def means(instrume: object, values: Iterable[str]) -> bool:
    """Whether a value of ``INSTRUME`` is one of some; letter case, hyphens, underscores and blanks don't count."""
    return bare(instrume) in map(bare, values)


def bare(instrument: object) -> str:
    """Give an instrument's name without what does not count in it."""
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
    if filled.convert is not None and not form_of(column).is_null(raw):
        raw = _converted(filled.convert, raw, column, keyword, source)
    return normal_form(column, raw, source, f"keyword {keyword}")


def _converted(convert: Callable[[Any], Any], raw: Any, column: Column[Any], keyword: str, source: str) -> Any:
    try:
        return convert(form_of(column).to_convert(plain(raw)))
    except (KoaMiddlewareError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:  # a plugin's own function, on whatever a header holds
        said = f"The {keyword} of {source} is {shown(raw)}, which cannot be converted ({described(error)})."
        raise _fault(column, keyword, source, said) from error


def _in_utc(column: Column[Any], value: Any, keyword: str, cards: Mapping[str, Any], source: str) -> Any:
    """Give a time in UTC: a date alone with its time of day, and what is of another scale converted."""
    extension = keyword.rpartition(":")[0]
    prefixes = [f"{extension}:", ""] if extension else [""]
    is_text = isinstance(value, str)
    if is_text and len(value) == DATE:
        clocks = (cards.get(f"{prefix}{clock}") for prefix in prefixes for clock in _CLOCKS)
        value = next((full for clock in clocks if len(full := joined(value, clock)) > DATE), value)
    scales = (cards.get(f"{prefix}TIMESYS") for prefix in prefixes)
    scale = next((found for found in scales if not is_wildcard(found)), "")
    try:
        known = scale_of(str(scale))
    except ValueError as error:
        said = f"The TIMESYS of {source} is {shown(scale)}, which is {error}, so that its {keyword} cannot be read."
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
