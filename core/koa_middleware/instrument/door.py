"""The end of the one door for values: forms, times that give each other, and what follows from others.

Headers, mappings, frames, models, bundles and rows of an archive pass it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Column

from ..exceptions import HeaderError, KoaMiddlewareError, described
from .hooks import misbehaved, overrides
from .times import END_MJD, FIRST_MJD, iso_from_mjd, mjd_from_iso
from .values import normal_form

if TYPE_CHECKING:
    from .orm import ORMCalibration

#: Length of a date without a time of day.
DATE = len("YYYY-MM-DD")

#: The two that give each other: where one is no time, the other counts.
TIMES = ("datetime_obs", "mjd_start")

#: What `datetime_obs` loses to `mjd_start` by its milliseconds, in days.
_ROUNDING = 1e-8


class Said(NamedTuple):
    """What was said of the columns.

    Attributes
    ----------
    values : dict
        Normal forms by column.
    faults : dict
        By column of a time, why what is said of it is none.
    keywords : dict
        By column, the keyword that says it; of headers only.
    """

    values: Values
    faults: dict[str, HeaderError]
    keywords: dict[str, str]


class Values(dict[str, Any]):
    """Column values that passed the door, or are on their way through it.

    Attributes
    ----------
    derived : frozenset of str
        The columns that the class's `derive` filled.
    faults : mapping
        As in `Said`, of a header whose times a plugin's class may still give.
    """

    derived: frozenset[str] = frozenset()
    faults: Mapping[str, HeaderError] = MappingProxyType({})


@cache
def columns_of(orm_class: type[ORMCalibration]) -> dict[str, Column[Any]]:
    """Give the columns of a class's table by name."""
    return dict(orm_class.table().c.items())


def in_forms(orm_class: type[ORMCalibration], values: Mapping[str, Any], source: str) -> Said:
    """Bring values into their normal forms; other keys than column names are left out.

    Raises
    ------
    HeaderError
        When one cannot be of its column.
    """
    said = Said(Values(), {**getattr(values, "faults", {})}, {})
    said.values.derived = getattr(values, "derived", frozenset())
    for name, column in columns_of(orm_class).items():
        if name not in values:
            continue
        try:
            said.values[name] = normal_form(column, values[name], source)
        except HeaderError as error:
            if name not in TIMES:
                raise
            said.values[name], said.faults[name] = None, error
    return said


def finished(
    orm_class: type[ORMCalibration], said: Said, source: str, derive: bool = True, settled: Collection[str] = ()
) -> Values:
    """Complete what was said: the times, and with `derive` what the class derives from the rest.

    Columns that are `settled` are derived from no others.

    Raises
    ------
    HeaderError
        When the times disagree, one is none and nothing else gives it, or `derive` fails.
    InvalidPluginError
        When `derive` does not return a mapping of columns.
    """
    values = Values(said.values)
    values.derived = said.values.derived
    complete_times(values, source, said.keywords)
    if derive and overrides(orm_class, "derive"):
        more = _derived(orm_class, values, source)
        more = {name: value for name, value in more.items() if name not in settled} if settled else more
        added = fill(values, more, orm_class, source, "derived")
        values.derived |= added
        complete_times(values, source, said.keywords)
    raise_faults(said._replace(values=values))
    return values


def derive_into(orm_class: type[ORMCalibration], values: dict[str, Any], source: str) -> frozenset[str]:
    """Fill values that are all in form with what the class derives from them; gives the columns that it filled.

    Raises
    ------
    HeaderError
        When `derive` fails, or gives what cannot be of its column.
    InvalidPluginError
        When it does not return a mapping of columns.
    """
    return fill(values, _derived(orm_class, values, source), orm_class, source)


def raise_faults(said: Said, but: Collection[str] = ()) -> None:
    """Raise the first fault of a column that has no value in the end, of some columns none.

    Raises
    ------
    HeaderError
    """
    for name, fault in said.faults.items():
        if said.values.get(name) is None and name not in but:
            raise fault


def fill(
    values: dict[str, Any], more: Mapping[str, Any], orm_class: type[ORMCalibration], source: str, how: str = ""
) -> frozenset[str]:
    """Fill columns that have no value yet, of times also those that are a date alone; gives their names.

    `how` says for messages where `more` comes from.

    Raises
    ------
    HeaderError
        When a value cannot be one of its column, or is a time of another day than the date that stands there.
    """
    added = set()
    for name, value in more.items():
        if not _is_open(values, name):
            continue
        form = normal_form(columns_of(orm_class)[name], value, source, how)
        if form is not None:
            if name == "datetime_obs" and values.get(name):
                _check_agreement(values[name], mjd_from_iso(form), source, {})
            values[name] = form
            added.add(name)
    return frozenset(added)


def complete_times(values: dict[str, Any], source: str, keywords: Mapping[str, str]) -> None:
    """Fill `datetime_obs` from `mjd_start` where it is missing or a date alone, and the other way from a full time.

    Raises
    ------
    HeaderError
        When both are there and more than a day apart.
    """
    time, mjd = values.get("datetime_obs"), values.get("mjd_start")
    if time is not None and mjd is not None:
        _check_agreement(time, mjd, source, keywords)
    if mjd is None and time is not None and len(time) > DATE:
        values["mjd_start"] = mjd_from_iso(time)
    elif mjd is not None and (time is None or len(time) == DATE):
        values["datetime_obs"] = iso_from_mjd(mjd)


def _is_open(values: Mapping[str, Any], name: str) -> bool:
    value = values.get(name)
    return value is None or (name == "datetime_obs" and len(value) == DATE)


def _check_agreement(time: str, mjd: float, source: str, keywords: Mapping[str, str]) -> None:
    if times_agree(time, mjd):
        return
    named = [f"{name} (keyword {keywords[name]})" if name in keywords else name for name in TIMES]
    raise HeaderError(
        f"The {named[0]} of {source} is {time}, its {named[1]} {mjd!r} is {iso_from_mjd(mjd)}: more than a day apart.",
        "Correct the header, or give the right one yourself." if keywords else "Correct one of them.",
        column="datetime_obs",
        keywords=tuple(keywords[name] for name in TIMES if name in keywords),
        source=source,
    )


def check_given(values: Mapping[str, Any], source: str) -> None:
    """Check the times in form that a caller gives in place of all others: that they agree.

    Raises
    ------
    HeaderError
    """
    time, mjd = values.get("datetime_obs"), values.get("mjd_start")
    if time is None or mjd is None or times_agree(time, mjd):
        return
    raise HeaderError(
        f"The datetime_obs given for {source} is {time}, the mjd_start given {mjd!r} is {iso_from_mjd(mjd)}: more than "
        "a day apart.",
        "Give one of them alone, or both of one time.",
        column="datetime_obs",
        keywords=(),
        source=source,
    )


def times_agree(time: str, mjd: float) -> bool:
    """Whether a time in form and a Modified Julian Date are no more than a day apart."""
    later = mjd - mjd_from_iso(time)
    return -1 - _ROUNDING <= later <= 1 + _ROUNDING + (len(time) == DATE)


def agree_in_postgres(time: str, mjd: str) -> str:
    """SQL that is true only where a time in form and a Modified Julian Date agree as `_check_agreement` asks.

    It keeps a second from the limit, so that Python decides there.
    """
    bounds = [
        f"to_char(timestamp '1858-11-17' + ({mjd} {days}) * interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS')"
        for days in ("- 0.99998", "+ 0.99998")
    ]
    return f"CASE WHEN {mjd} BETWEEN {FIRST_MJD} AND {END_MJD} THEN {time} BETWEEN {bounds[0]} AND {bounds[1]} END"


def _derived(orm_class: type[ORMCalibration], values: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    """Let the class derive; gives all that it returns.

    What its own code cannot take is a `HeaderError`, so that one row of an archive stops no other.
    """
    known = {name: value for name, value in values.items() if not _is_open(values, name)}
    try:
        found: Any = orm_class.derive(known)
    except (KoaMiddlewareError, Warning):
        raise
    except (Exception, SystemExit) as error:  # a plugin's own code, on whatever values there are
        raise HeaderError(
            f"The derive of {orm_class.__name__} failed for {source} with {described(error)}.",
            f"Let the plugin {orm_class.instrument_name} expect such values.",
            column="",
            keywords=(),
            source=source,
        ) from error
    fault = f"returned a {type(found).__name__}" if not isinstance(found, Mapping) else _unknown(orm_class, found)
    if fault:
        raise misbehaved(orm_class, "derive", fault, "Let it return a dict of column values.")
    return {name: value for name, value in found.items() if value is not None}


def _unknown(orm_class: type[ORMCalibration], found: Mapping[str, Any]) -> str:
    unknown = [str(name) for name in found if name not in columns_of(orm_class)]
    return f"returned {', '.join(unknown)}, which is no column" if unknown else ""
