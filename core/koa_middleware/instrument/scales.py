"""Time scales other than UTC, as FITS names them (FITS Standard 4.0, section 9.2.1), and astropy's `Time`."""

from __future__ import annotations

import re
from typing import Any

from ..importing import importing

#: What FITS and older files call the scales, and astropy's names of them; "" is UTC itself.
_SCALES = {
    **dict.fromkeys(("UTC", "UT", ""), ""),
    **dict.fromkeys(("TAI", "IAT"), "tai"),
    **dict.fromkeys(("TT", "TDT", "ET"), "tt"),
    "TDB": "tdb",
    "GPS": "gps",
}
_GPS_BEHIND_TAI = 19 / 86400  # days, always


def scale_of(name: str) -> str:
    """Give the scale that a name means; ``UTC(NIST)`` and ``TT(TAI)`` are those before the bracket.

    Raises
    ------
    ValueError
        When it is none that is known.
    """
    word = re.sub(r"\(.*\)$", "", name.strip().upper()).strip()
    if word not in _SCALES:
        raise ValueError(f"none of {', '.join(filter(None, _SCALES))}")
    return _SCALES[word]


def utc_of_mjd(mjd: float, scale: str) -> float:
    """Give the Modified Julian Date, in days UTC, of one in a scale that `scale_of` gave."""
    if not scale:
        return mjd
    with importing:
        from astropy.time import Time

    if scale == "gps":
        mjd, scale = mjd + _GPS_BEHIND_TAI, "tai"
    return utc_of(Time(mjd, format="mjd", scale=scale))


def utc_of(time: Any) -> float:
    """Give the Modified Julian Date, in days UTC, of an `astropy.time.Time`.

    Raises
    ------
    ValueError
        When it is not one time, or of a scale that has no relation to UTC.
    """
    from astropy.time import ScaleValueError
    from astropy.utils import iers

    if not time.isscalar:
        raise ValueError(f"a {type(time).__name__} of {time.size}, not one value")
    try:
        with iers.conf.set_temp("auto_download", False):  # no selection waits for a server
            return float(time.utc.mjd)
    except ScaleValueError as error:
        raise ValueError(str(error)) from error


def is_time(value: Any) -> bool:
    """Whether a value is an `astropy.time.Time`, told without importing astropy."""
    return hasattr(value, "isot") and hasattr(value, "scale")
