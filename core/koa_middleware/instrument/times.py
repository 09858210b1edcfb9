"""Times as Modified Julian Dates (days UTC) and as ISO text (``YYYY-MM-DDTHH:MM:SS.sss``, UTC).

Days have 86,400 s here, as in a FITS ``MJD-OBS``: a leap second is not told apart from the second after it.
MJD 40587 is 1970-01-01 (the definition of MJD, IAU 1973).
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from .scales import scale_of, utc_of_mjd

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_MJD = 40587
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)
#: Years that a time of an observation can be of: what lies outside is a placeholder, a Julian Date, or seconds.
FIRST_YEAR, LAST_YEAR = 1900, 2099
#: The same in days UTC: the first day, and the first one after them.
FIRST_MJD, END_MJD = 15020.0, 88069.0

#: Milliseconds of a day: times that are the same to the millisecond, as ISO text has them, are the same.
DAY_MS = 86_400_000.0

_LEAP_SECOND = re.compile(r"(?:(?<=:\d\d:)|(?<=[Tt ]\d{4}))60(?=[.,Zz+-]|$)")
_SCALE = re.compile(r"\s*\((\w+)\)$")  # as FITS wrote it once, and astropy's `Time.fits` does
_SEPARATED = re.compile(r"[\dW-]+(?:[Tt ].+)?", re.ASCII)  # Python takes any letter between date and time of day
_CUT_SHORT = re.compile(r"[Tt ]\d\d(?::?\d\d)?[.,]")  # of an hour or minute Python takes a fraction for one of a second
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d*)?)?", re.ASCII)

#: A time as it is stored; such a one is only checked.
_STORED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d\.\d{3}", re.ASCII)


class IsoTime(NamedTuple):
    """A time as text, and whether what it was read from told the time of day."""

    text: str
    has_clock: bool


def parse_iso(text: str) -> IsoTime:
    """Read an ISO 8601 time; one without a zone is UTC, unless a scale stands behind it: ``...(TAI)``.

    Raises
    ------
    ValueError
        When it is not such a time.
    """
    if _STORED.fullmatch(text):
        datetime.fromisoformat(text)
        return IsoTime(text, True)
    text = text.strip()
    if (scale := _SCALE.search(text)) is not None:
        return _in_scale(text[: scale.start()], scale_of(scale[1]))
    if not _SEPARATED.fullmatch(text) or _CUT_SHORT.search(text):
        raise ValueError(f"Invalid isoformat string: {text!r}")
    whole, leaps = _LEAP_SECOND.subn("59", text)
    moment = datetime.fromisoformat(whole)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    has_clock = re.search(r"\d[Tt ]\d", text) is not None
    try:
        return IsoTime(_to_milliseconds(moment + leaps * _SECOND), has_clock)
    except OverflowError as error:
        raise ValueError(f"{text} is not in the years 1 to 9999") from error


def in_utc(time: str, scale: str) -> str:
    """Give an ISO time of a scale, as `scale_of` names it, in UTC; a date alone stays one."""
    return _in_scale(time, scale).text if parse_iso(time).has_clock else time


def _in_scale(text: str, scale: str) -> IsoTime:
    time = parse_iso(text)
    if not scale or not time.has_clock:
        return time
    return IsoTime(iso_from_mjd(utc_of_mjd(mjd_from_iso(time.text), scale)), True)


def is_observed(mjd: float) -> bool:
    """Whether a Modified Julian Date is one of the years in which observations are made, 1900 to 2099."""
    return FIRST_MJD <= mjd < END_MJD


def joined(date: str, clock: object) -> str:
    """Give a date with a time of day that stands elsewhere; alone where that is none."""
    text = str(clock).strip()
    if not _CLOCK.fullmatch(text):
        return date
    try:
        return parse_iso(f"{date.strip()}T{'0' * (text[1] == ':')}{text.rstrip('.')}").text
    except ValueError:
        return date


def iso_from_mjd(mjd: float) -> str:
    """ISO text of a Modified Julian Date, to the nearest millisecond.

    Raises
    ------
    ValueError
        When it is not finite or outside the years 1 to 9999.
    """
    if not math.isfinite(mjd):
        raise ValueError(f"{mjd} is not a finite Modified Julian Date")
    try:
        return _to_milliseconds(_EPOCH + (mjd - _EPOCH_MJD) * _DAY)
    except OverflowError as error:
        raise ValueError(f"{mjd} is not a Modified Julian Date of the years 1 to 9999") from error


def mjd_from_iso(text: str) -> float:
    """Modified Julian Date, in days UTC, of an ISO time; one without a zone is UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    days = _EPOCH_MJD * _DAY + (moment - _EPOCH)
    return (days // _MICROSECOND) / (_DAY // _MICROSECOND)  # of whole numbers, which rounds once


def now_iso() -> str:
    """Give the time now, with microseconds."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def elapsed(age: timedelta) -> str:
    """Give a span in words, such as ``90 min``, ``5 h`` or ``3 d``."""
    hours = age / timedelta(hours=1)
    if hours < 2:
        return f"{age / timedelta(minutes=1):.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"


def in_days(days: int) -> str:
    """Give the time in so many days, as `now_iso` gives it."""
    return (datetime.now(UTC).replace(tzinfo=None) + days * _DAY).isoformat(timespec="microseconds")


def _to_milliseconds(moment: datetime) -> str:
    rounded = moment.astimezone(UTC) + timedelta(microseconds=500)
    return rounded.replace(tzinfo=None).isoformat(timespec="milliseconds")
