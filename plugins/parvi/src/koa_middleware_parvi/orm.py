"""Columns of PARVI's calibrations, and the FITS keywords and file names that fill them.

A master's header is a copy of its first frame's: ``OBJECT``, ``EXPTIME``, ``FIBER``, ``TIMEI00``. Its type stands in
its name alone. No public source names a keyword for the era or for the quality; those of the sister instrument
HISPEC are read (``INSTERA``, ``DATAQUAL``).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Self

from koa_middleware import HeaderError, ORMCalibration, fits_column
from sqlalchemy import Float, Index, Integer, String
from sqlalchemy.orm import Mapped

CAL_TYPES = ("dark", "fullflat", "fiberflat", "lfc")

#: The era of frames and calibrations that name none, as PARVI's own headers do (inferred).
DEFAULT_ERA = "0.0.1"

_UNIX_EPOCH = 40587  # MJD of 1970-01-01, by the definition of MJD
_DAY = 86400 * 10**9  # nanoseconds

_MASTER = re.compile(
    r"master_(?P<cal_type>dark|fullflat|fiberflat|lfc)(?:_(?P<date>\d{8}))?(?:_(?P<exptime>\d+(?:\.\d+)?)s)?"
    r"(?:_fiber(?P<fiber>[1-4]))?(?:\.(?P<version>\d{3}))?\.(?:fits|fit|fts)(?:\.(?:gz|fz|bz2|xz))?",
    re.IGNORECASE,
)
_RAW = re.compile(r".*?(?P<stamp>\d{14})\.(?:fits|fit|fts)(?:\.(?:gz|fz|bz2|xz))?", re.IGNORECASE)


class PARVICalibration(ORMCalibration):
    """A calibration of PARVI.

    Attributes
    ----------
    instrument_era : str
        A period of stability.
    exptime : float or None
        Exposure time in s, rounded to ms, so that equal ones are equal.
    fiber : int or None
        1 (science), 3 (calibration), 2 or 4.
    """

    instrument_name = "parvi"
    cal_types = CAL_TYPES
    version_family = ("exptime", "fiber")
    __table_args__ = (
        Index(None, "cal_type", "instrument_era", "exptime", "mjd_start"),
        Index(None, "cal_type", "instrument_era", "fiber", "mjd_start"),
        Index(None, "cal_type", "instrument_era", "mjd_start"),
    )

    instrument_era: Mapped[str] = fits_column("INSTERA", String, default=DEFAULT_ERA)
    exptime: Mapped[float | None] = fits_column("EXPTIME", Float)
    fiber: Mapped[int | None] = fits_column("FIBER", Integer)

    @classmethod
    def values_from_header(cls, header: Any, filename: str | None = None) -> dict[str, Any]:
        """Column values of a header; where it is silent, those that stand in the file's name.

        The start of the exposure is ``EXPMJDST``, ``MJD-OBS``, a full ``DATE-OBS``, or ``TIMEI00`` (unix nanoseconds,
        written as text). A master with a date in its name alone is of 00:00 UTC of that date, a raw frame of its
        14-digit time stamp, taken as UTC (both inferred).
        """
        source = filename or "the header"
        values = super().values_from_header(header, filename)
        if "mjd_start" not in values:
            values.pop("datetime_obs", None)  # a date alone
            values |= cls.normalise(_start(header, source), source)
        values = cls.normalise({**_values_from_name(filename or ""), **values}, source)
        values.setdefault("instrument_era", DEFAULT_ERA)
        if values.get("exptime") is not None:
            values["exptime"] = round(values["exptime"], 3)
        return values

    @classmethod
    def filename_for(cls, record: Self) -> str:
        """File name of a record's version; a dark's gets its date, since a pipeline names all nights' darks alike."""
        name = super().filename_for(record)
        return re.sub(r"^master_dark_(?!\d{8}_)", f"master_dark_{record.datetime_obs[:10].replace('-', '')}_", name)


def _start(header: Any, source: str) -> dict[str, float]:
    nanoseconds = header.get("TIMEI00")
    if nanoseconds is None or not str(nanoseconds).strip():
        return {}
    try:
        return {"mjd_start": _UNIX_EPOCH + int(nanoseconds) / _DAY}
    except ValueError as error:
        raise HeaderError(
            f"TIMEI00 of {source} is {nanoseconds!r}, not a whole number of nanoseconds since 1970.",
            "Correct the header, or write the start of the exposure as MJD-OBS.",
            column="mjd_start",
            keywords=("TIMEI00",),
            source=source,
        ) from error


def _values_from_name(filename: str) -> dict[str, Any]:
    master, raw = _MASTER.fullmatch(filename), _RAW.fullmatch(filename)
    if master is None:
        return _time(raw["stamp"], "%Y%m%d%H%M%S") if raw else {}
    values = {key: master[key] for key in ("cal_type", "exptime", "fiber") if master[key]}
    return {
        **values,
        "master_cal": True,
        "cal_version": master["version"] or "001",
        **_time(master["date"] or "", "%Y%m%d"),
    }


def _time(digits: str, form: str) -> dict[str, Any]:
    try:
        return {"datetime_obs": datetime.strptime(digits, form).isoformat(timespec="milliseconds")}
    except ValueError:  # no date, or digits that are none
        return {}
