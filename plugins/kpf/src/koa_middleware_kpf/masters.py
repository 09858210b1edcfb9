"""What the name and the header of a KPF master say together, and what a frame's header says besides its columns.

A master's own keywords stand in its image extensions ``GREEN_CCD`` and ``RED_CCD``. Its primary header is a copy of one
arbitrary input frame's, so that times there are not the master's. Masters of level L1 and L2 have no such extensions.

Without times in its extensions, a stack of one session is taken at the time of the input frame in its primary header;
one of a whole day runs from 0 to 24 h UTC of its date (a real flat's ``MIDMJD`` ends in .49997). A session's stack
whose header says nothing, or a time more than three hours from it, has the session's usual hour. `time_inferred` is
true of what the name alone says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from koa_middleware import HeaderError, ORMCalibration

from .names import CAL_TYPES, MasterName, looks_like_a_master, parse_name, parse_object, wrong_date

#: A good etalon mask has 172 kB; one whose fit failed has 9 kB. In bytes.
SMALLEST_ETALON_MASK = 50_000

#: A header that says a time farther from its session's usual one is not this stack's. In hours.
LONGEST_SESSION = 3.0

_IMAGE_TYPES = {"flatlamp": "flat"}

_FLATS, _LAMPS = ("flat", "flatlamp"), ("arclamp",)

#: Image types, besides its own, of the frames that are stacked in a master of a type; of others, any.
_STACKED_IN = {
    "bias": (),
    "dark": (),
    "flat": _FLATS,
    "arclamp": (),
    "smoothlamp": _FLATS,
    "ordermask": _FLATS,
    "ordertrace": _FLATS,
    "wls": _LAMPS,
    "etalonmask": _LAMPS,
}


def ccd(keyword: str) -> tuple[str, str]:
    """Give a keyword of the image extensions."""
    return f"GREEN_CCD:{keyword}", f"RED_CCD:{keyword}"


def read_speed_of(written: Any) -> str:
    """``regular`` or ``fast``: the first word, such as that of a controller's file."""
    return re.split(r"[^a-z]", str(written).strip().lower())[0]


def era_of(written: Any) -> str:
    """``4.0``, whether it is written as text or as a number."""
    text = str(written).strip()
    return f"{float(text):.1f}" if re.fullmatch(r"\d+(\.\d?0*)?", text) else text


def middle(values: Mapping[str, Any]) -> float | None:
    """Middle of the exposures, in days UTC: between the first and the last start, else half an exposure later."""
    start: float | None = values.get("mjd_start")
    if start is None:
        return None
    exposure = max(values.get("exposure_time") or 0.0, 0.0) / 86400
    return start + (values["mjd_end"] - start if values.get("mjd_end") is not None else exposure) / 2


def settled(
    orm_class: type[ORMCalibration], values: dict[str, Any], header: Mapping[str, Any], filename: str
) -> dict[str, Any]:
    """Column values of a master or a frame, of those that its keywords fill and of its name.

    A master is known by its name, or by ``MIDMJD`` in its extensions. Its name decides on type, object and level.

    Raises
    ------
    HeaderError
        For a file named like a master of a kind that is not kept, of no date, or of another type than its header's.
    """
    source = filename or "the header"
    named = parse_name(filename)
    if date := wrong_date(filename):
        raise _refused(
            f"{filename} is named like a KPF master of {date}, which is no date.",
            "Name it by its UT date, yyyymmdd.",
            "datetime_obs",
            (),
            source,
        )
    if named is None and looks_like_a_master(filename):
        raise _refused(
            f"{filename} is named like a KPF master of a kind that the store does not keep.",
            f"Register {', '.join(CAL_TYPES)}; leave out norect flats and JSON wavelength solutions.",
            "cal_type",
            ("IMTYPE",),
            source,
        )
    if values.get("amplifiers") is None:
        # A raw frame has an extension for each amplifier; in a reduced one those that are left are empty.
        values["amplifiers"] = sum(header.get(f"GREEN_AMP{n}:NAXIS") == 2 for n in range(1, 5)) or None
    if named is None and not {"mjd_mid", "mjd_end"} & values.keys():
        values.pop("cal_type", None)  # a frame is no calibration, whatever its image type
        values |= _middle_of_frame(orm_class, header.get("DATE-MID"), values.get("mjd_start"), source)
        return values
    return _master(values, named, source)


def _master(values: dict[str, Any], named: MasterName | None, source: str) -> dict[str, Any]:
    values.pop("datetime_obs", None)  # of an input frame
    said = values.get("cal_type")
    if named is None:
        return {**values, "master_cal": True, "cal_type": _IMAGE_TYPES.get(said or "", said)}
    cal_type = named.values["cal_type"].lower()
    if said not in {None, cal_type, *_STACKED_IN.get(cal_type, (said,))}:
        raise _refused(
            f"{source} is named like a {cal_type} master, but its header says {said!r} (keyword IMTYPE).",
            "Correct the name or the header.",
            "cal_type",
            ("IMTYPE",),
            source,
        )
    stacked = values.pop("object", None)
    values |= {key: value for key, value in named.values.items() if value is not None}
    if "object" in named.values:
        values.setdefault("object", stacked)
    return _dated({**values, **parse_object(values.get("object"))}, named)


def _dated(values: dict[str, Any], named: MasterName) -> dict[str, Any]:
    """Give a master's values with the times of its name, where the header has none or contradicts the session."""
    has_middle = "mjd_mid" in values or {"mjd_start", "mjd_end"} <= values.keys() or "session" in values
    found = values.get("mjd_mid") or middle(values) if has_middle else None
    contradicts = named.session and found is not None and abs(found - named.mid) > LONGEST_SESSION / 24
    if found is None or contradicts:
        values = {name: value for name, value in values.items() if not (contradicts and name == "mjd_end")}
        values |= {"mjd_start": named.begin, "mjd_mid": named.mid, "time_inferred": named.inferred}
    return values


def _middle_of_frame(orm_class: type[ORMCalibration], said: Any, start: float | None, source: str) -> dict[str, Any]:
    try:
        mid = orm_class.normalise({"datetime_obs": said}).get("mjd_start")
    except HeaderError:  # no time: the start and the exposure time give it
        return {}
    if mid is not None and start is not None and abs(mid - start) > 1:
        raise _refused(
            f"The middle of {source} is {said} (keyword DATE-MID), more than a day from its start, MJD {start} "
            "(keyword MJD-OBS, DATE-BEG or DATE-OBS).",
            "Correct the header, or give mjd_start yourself.",
            "mjd_mid",
            ("DATE-MID",),
            source,
        )
    return {} if mid is None else {"mjd_mid": mid}


def _refused(said: str, hint: str, column: str, keywords: tuple[str, ...], source: str) -> HeaderError:
    return HeaderError(said, hint, column=column, keywords=keywords, source=source)
