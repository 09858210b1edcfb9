"""What stands in the file name of a KPF master.

Sources: KPF-Pipeline's documentation and its masters' folders. ``yyyymmdd`` is the UT date. The pipeline has no names
of their own for static references: its tables point to masters and frames, one of them for several types. Here each
is registered under ``kpf_<yyyymmdd>_<type>``, by the date of what it points to (inferred).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, NamedTuple

from .eras import REFERENCES, mjd

MASTERS = ("bias", "dark", "flat", "arclamp", "wls", "smoothlamp", "ordermask", "ordertrace", "etalonmask")
CAL_TYPES = (*MASTERS, *REFERENCES)

_TYPE = r"(?P<cal_type>bias|dark|flat|arclamp|wls)"
_LEVEL = r"(?:_(?P<level>2D|L1|L2))?"
_VERSION = r"(?:\.(?P<cal_version>\d{3}))?"
_FITS = _LEVEL + _VERSION + r"\.(?:fits|fit|fts)(?:\.(?:gz|fz|bz2|xz))?"
_CSV = _VERSION + r"\.csv"
_SESSION = r"eve|morn|midnight|midday|night"

#: Pattern of a whole name, in any letter case, and the values that its form alone says. The first that matches counts.
_FORMS: tuple[tuple[re.Pattern[str], dict[str, Any]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), says)
    for pattern, says in (
        (r"kpf_(?P<date>\d{8})_smooth_lamp" + _FITS, {"cal_type": "smoothlamp", "object": "smoothlamp"}),
        (r"kpf_(?P<date>\d{8})_order_mask" + _FITS, {"cal_type": "ordermask", "object": "ordermask"}),
        (
            r"kpf_(?P<date>\d{8})_master_flat_(?P<chip>GREEN|RED)_CCD" + _CSV,
            {"cal_type": "ordertrace", "level": "L1"},
        ),
        (
            rf"(?P<date>\d{{8}})_(?P<object>(?:.+-)?(?:{_SESSION}))_(?P<fiber>cal|sci[123])_etalon_wavelengths" + _CSV,
            {"cal_type": "etalonmask", "level": "L1", "lamp": "etalon"},
        ),
        (
            rf"kpf_(?P<date>\d{{8}})_(?P<cal_type>{'|'.join(REFERENCES)})" + _VERSION + r"\.\w+(?:\.(?:gz|fz|bz2|xz))?",
            {"level": "L1"},
        ),
        # A flat that is not rectified ("norect") is an intermediate product of the pipeline, not a calibration.
        (rf"kpf_(?P<date>\d{{8}})_master_{_TYPE}(?:_(?P<object>(?!norect|2D\b|L[12]\b).+?))?" + _FITS, {}),
        # The next pipeline generation. Its levels are those of the EPRV standard: L1 is the assembled image.
        (rf"KP\.(?P<date>\d{{8}})\.(?P<second>\d{{5}}\.\d+)_master_{_TYPE}" + _FITS, {}),
    )
)

_LOOKS_LIKE_A_MASTER = re.compile(r"kpf_\d{8}_.*|KP\.\d{8}\..*_master_.*|.*_etalon_wavelengths.*", re.IGNORECASE)

#: What is stacked where the name leaves it out.
_STANDARD_OBJECTS = {"bias": "autocal-bias", "dark": "autocal-dark", "flat": "autocal-flat-all"}

#: ``autocal-lfc-all-eve``, and ``cal-LFC-morn`` of before 2023-06-29, which was through all fibres.
_LAMP_OBJECT = re.compile(
    rf"(?:auto)?cal-(?P<lamp>lfc|thar|etalon|une)(?:-(?P<fiber>all|cal|sci|sky))?-(?P<session>{_SESSION})",
    re.IGNORECASE,
)
_MASK_OBJECT = re.compile(rf"(?:.+-)?(?P<session>{_SESSION})_(?:cal|sci[123])", re.IGNORECASE)

#: UTC hour of a session. Evening and morning are those of real stacks (01:54 and 17:48 UTC), the others local midnight
#: and noon (10 h behind UTC); good enough to tell the sessions of one date apart (inferred).
_HOURS = {"eve": 1.9, "morn": 17.8, "midnight": 10.0, "night": 10.0, "midday": 22.0}


class MasterName(NamedTuple):
    """What a master's name says.

    Attributes
    ----------
    values : dict
        Column values. There is an `object`, perhaps None, where names of that form can hold one.
    begin, mid : float
        MJD, days UTC, inferred from the date: a stack of a day runs from 0 to 24 h, that of a session is taken at its
        usual hour.
    session : bool
        Whether the name tells the session.
    inferred : bool
        Whether `begin` and `mid` are; not where the name holds the second of the start.
    """

    values: dict[str, Any]
    begin: float
    mid: float
    session: bool = False
    inferred: bool = True


def parse_name(name: str) -> MasterName | None:
    """Read the name of a master; None when it is not one of a kind that is kept.

    Parameters
    ----------
    name : str
        A file name without its folder.
    """
    for pattern, says in _FORMS:
        match = pattern.fullmatch(name)
        if match is None:
            continue
        named = {key: value for key, value in match.groupdict().items() if value}
        try:
            date = datetime.strptime(named.pop("date"), "%Y%m%d")
        except ValueError:  # eight digits that are no date
            return None
        second = named.pop("second", None)
        values = {"level": "2D", "master_cal": True, **says, **named}
        values["level"] = values["level"].upper()
        if "chip" in values:
            values["chip"] = values["chip"].upper()
            values["object"] = f"ordertrace{values['chip'].lower()}"
        if values["cal_type"] == "etalonmask":
            values["object"] = f"{values['object']}_{values['fiber']}"
        if second is not None:
            start = mjd(date) + float(second) / 86400
            return MasterName(values, start, start, inferred=False)
        values.setdefault("object", _STANDARD_OBJECTS.get(values["cal_type"].lower()))
        session = parse_object(values["object"]).get("session")
        if session is None:
            return MasterName(values, mjd(date), mjd(date) + 0.5)
        time = mjd(date) + _HOURS[session] / 24
        return MasterName(values, time, time, session=True)
    return None


def wrong_date(name: str) -> str:
    """Give the eight digits of a name of a kind that is kept, where they are no date; else empty text."""
    match = next(filter(None, (pattern.fullmatch(name) for pattern, _ in _FORMS)), None)
    try:
        datetime.strptime(match["date"] if match else "20000101", "%Y%m%d")
    except ValueError:
        return str(match["date"]) if match else ""
    return ""


def looks_like_a_master(name: str) -> bool:
    """Whether a name is built as those of masters are, of kinds that are kept or not."""
    return _LOOKS_LIKE_A_MASTER.fullmatch(name) is not None


def parse_object(name: str | None) -> dict[str, str]:
    """`lamp`, `fiber` and `session` of a standard lamp stack or an etalon mask; nothing of other objects."""
    match = _LAMP_OBJECT.fullmatch(name or "")
    if match:
        return {key: (value or "all").lower() for key, value in match.groupdict().items()}
    match = _MASK_OBJECT.fullmatch(name or "")
    return {"session": match["session"].lower()} if match else {}
