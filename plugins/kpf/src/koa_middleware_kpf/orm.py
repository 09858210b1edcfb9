"""Columns of KPF's calibrations, and the FITS keywords and file names that fill them.

A master's own keywords stand in its image extensions ``GREEN_CCD`` and ``RED_CCD``. Its primary header is a copy of one
arbitrary input frame's, so that times there are not the master's. Masters of level L1 and L2 have no such
extensions: their times are inferred, see `KPFCalibration.values_from_header`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from koa_middleware import HeaderError, ORMCalibration, fits_column
from sqlalchemy import Boolean, Float, Index, Integer, String
from sqlalchemy.orm import Mapped

from .eras import era_at, service_interval_at
from .names import CAL_TYPES, MasterName, looks_like_a_master, parse_name, parse_object, wrong_date

#: A good etalon mask has 172 kB; one whose fit failed has 9 kB. In bytes.
SMALLEST_ETALON_MASK = 50_000

#: A header that says a time farther from its session's usual one is not this stack's. In hours.
LONGEST_SESSION = 3.0

_IMAGE_TYPES = {"flatlamp": "flat"}

#: Image types, besides its own, of the frames that are stacked in a master of a type.
_STACKED_IN = {
    "flat": ("flatlamp",),
    "smoothlamp": ("flat", "flatlamp"),
    "ordermask": ("flat", "flatlamp"),
    "ordertrace": ("flat", "flatlamp"),
    "wls": ("arclamp",),
    "etalonmask": ("arclamp",),
}


def _ccd(keyword: str) -> tuple[str, str]:
    return f"GREEN_CCD:{keyword}", f"RED_CCD:{keyword}"


def _first_word(speed: Any) -> str:
    return re.split(r"[^a-z]", str(speed).strip().lower())[0]


def _era(written: Any) -> str:
    """``4.0``, whether it is written as text or as a number."""
    text = str(written).strip()
    return f"{float(text):.1f}" if re.fullmatch(r"\d+(\.\d?0*)?", text) else text


def _middle(values: Mapping[str, Any]) -> float | None:
    """Middle of the exposures, in days UTC: between the first and the last start, else half an exposure later."""
    start: float | None = values.get("mjd_start")
    if start is None:
        return None
    exposure = max(values.get("exposure_time") or 0.0, 0.0) / 86400
    return start + (values["mjd_end"] - start if values.get("mjd_end") is not None else exposure) / 2


def _dated(values: dict[str, Any], named: MasterName) -> dict[str, Any]:
    """Give a master's values with the times of its name, where the header has none or contradicts the session."""
    has_middle = "mjd_mid" in values or {"mjd_start", "mjd_end"} <= values.keys() or "session" in values
    found = values.get("mjd_mid") or _middle(values) if has_middle else None
    contradicts = named.session and found is not None and abs(found - named.mid) > LONGEST_SESSION / 24
    if found is None or contradicts:
        values = {name: value for name, value in values.items() if not (contradicts and name == "mjd_end")}
        values |= {"mjd_start": named.begin, "mjd_mid": named.mid, "time_inferred": named.inferred}
    return values


class KPFCalibration(ORMCalibration):
    """A calibration of KPF.

    Attributes
    ----------
    level : str or None
        ``2D`` (image), ``L1`` (extracted spectra), ``L2``. Of a frame: the level of the masters that it asks for,
        ``2D`` unless given otherwise, since bias, dark and flat are applied to images whatever level its file is.
    object : str or None
        What was stacked, such as ``autocal-bias``, in lower case.
    lamp, fiber, session : str or None
        Of lamp stacks and etalon masks: ``lfc``, ``thar``, ``etalon`` or ``une``; the fibres lit, or the mask's fibre;
        ``eve``, ``morn``, ``midnight``, ``midday`` or ``night``.
    chip : str or None
        ``GREEN`` or ``RED``, of an order trace.
    read_speed : str or None
        ``regular`` or ``fast``.
    amplifiers : int or None
        Amplifiers that read the green CCD, 2 or 4.
    kpf_era : str or None
        By `mjd_mid` where the header has none; None in the published table's gaps.
    service_interval : int or None
        Number of boundaries of service missions before `mjd_mid`: the same for two times when no mission lies between.
    mjd_mid, mjd_end : float or None
        Days UTC: the middle of the exposures, the start of the last one.
    time_inferred : bool
        Whether the times are those of the name's session or date, because the header has none or contradicts it.
    exposure_time : float or None
        In s; of a master the shortest of its frames, or that of one of them.
    n_frames, infobits : int or None
        Frames stacked; flags of the stacking, which small stacks set.
    drp_tag : str or None
        Version of the reduction pipeline.
    """

    instrument_name = "kpf"
    cal_types = CAL_TYPES
    version_family = ("object", "level")
    __table_args__ = (
        Index(None, "cal_type", "level", "read_speed", "amplifiers", "object", "mjd_mid"),
        Index(None, "cal_type", "read_speed", "service_interval", "lamp", "fiber", "mjd_mid"),
        Index(None, "cal_type", "chip", "mjd_mid"),
        Index(None, "cal_type", "fiber", "service_interval", "mjd_mid"),
    )

    cal_type: Mapped[str] = fits_column("IMTYPE", String, fold=True, sort_order=-98)
    datetime_obs: Mapped[str] = fits_column(("DATE-BEG", "DATE-OBS"), String, sort_order=-97)
    mjd_start: Mapped[float] = fits_column((*_ccd("MINMJD"), "MJD-OBS"), Float, info={"unit": "d"}, sort_order=-96)
    level: Mapped[str | None] = fits_column((), String)
    object: Mapped[str | None] = fits_column((*_ccd("TARGOBJ"), "OBJECT"), String, fold=True)
    lamp: Mapped[str | None] = fits_column((), String)
    fiber: Mapped[str | None] = fits_column((), String, fold=True)
    session: Mapped[str | None] = fits_column((), String)
    chip: Mapped[str | None] = fits_column((), String, fold="upper")
    read_speed: Mapped[str | None] = fits_column(("READSPED", "GRACFFLN"), String, fold=True, convert=_first_word)
    amplifiers: Mapped[int | None] = fits_column("GRNAMPS", Integer)
    kpf_era: Mapped[str | None] = fits_column("KPFERA", String, convert=_era)
    service_interval: Mapped[int | None] = fits_column((), Integer)
    mjd_mid: Mapped[float | None] = fits_column(_ccd("MIDMJD"), Float, info={"unit": "d"})
    mjd_end: Mapped[float | None] = fits_column(_ccd("MAXMJD"), Float, info={"unit": "d"})
    time_inferred: Mapped[bool] = fits_column((), Boolean, default=False)
    exposure_time: Mapped[float | None] = fits_column((*_ccd("MINEXPTM"), "EXPTIME"), Float, info={"unit": "s"})
    n_frames: Mapped[int | None] = fits_column(_ccd("NFRAMES"), Integer)
    infobits: Mapped[int | None] = fits_column(_ccd("INFOBITS"), Integer)
    drp_tag: Mapped[str | None] = fits_column("DRPTAG", String)

    @classmethod
    def derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Give `mjd_mid`, `kpf_era` and `service_interval` by it, `level`, and what the object of a lamp stack says."""
        derived: dict[str, Any] = {"level": "2D"}
        if "cal_type" in values:
            derived |= parse_object(values.get("object"))
        mid = values.get("mjd_mid", _middle(values))
        if mid is not None:
            derived |= {"mjd_mid": mid, "kpf_era": era_at(mid), "service_interval": service_interval_at(mid)}
        return {**derived, **values}

    @classmethod
    def values_from_header(cls, header: Any, filename: str | None = None) -> dict[str, Any]:
        """Column values of a master or a frame.

        A master is known by its name, or by ``MIDMJD`` in its extensions. Its name decides on type, object and level.
        Without times in its extensions, a stack of one session is taken at the time of the input frame in its primary
        header; one of a whole day runs from 0 to 24 h UTC of its date (a real flat's ``MIDMJD`` ends in .49997). A
        session's stack whose header says nothing, or a time more than three hours from it, has the session's usual
        hour. `time_inferred` is true of what the name alone says.

        Raises
        ------
        HeaderError
            Also for a file named like a master of a kind that is not kept, or of another type than its header's.
        """
        source = filename or "the header"
        values = super().values_from_header(header, filename)
        named = parse_name(filename or "")
        if date := wrong_date(filename or ""):
            raise HeaderError(
                f"{filename} is named like a KPF master of {date}, which is no date.",
                "Name it by its UT date, yyyymmdd.",
                column="datetime_obs",
                keywords=(),
                source=source,
            )
        if named is None and looks_like_a_master(filename or ""):
            raise HeaderError(
                f"{filename} is named like a KPF master of a kind that the store does not keep.",
                f"Register {', '.join(CAL_TYPES)}; leave out norect flats and JSON wavelength solutions.",
                column="cal_type",
                keywords=("IMTYPE",),
                source=source,
            )
        if values.get("amplifiers") is None:
            # A raw frame has an extension for each amplifier; in a reduced one those that are left are empty.
            values["amplifiers"] = sum(header.get(f"GREEN_AMP{n}:NAXIS") == 2 for n in range(1, 5)) or None
        if named is None and not {"mjd_mid", "mjd_end"} & values.keys():
            values.pop("cal_type", None)  # a frame is no calibration, whatever its image type
            values |= cls._middle_of_frame(header.get("DATE-MID"), values.get("mjd_start"), source)
        else:
            values = cls._master(values, named, source)
        return cls.normalise(values, source)

    @classmethod
    def _middle_of_frame(cls, said: Any, start: float | None, source: str) -> dict[str, Any]:
        try:
            mid = cls.normalise({"datetime_obs": said}).get("mjd_start")
        except HeaderError:  # no time: the start and the exposure time give it
            return {}
        if mid is not None and start is not None and abs(mid - start) > 1:
            raise HeaderError(
                f"The middle of {source} is {said} (keyword DATE-MID), more than a day from its start, MJD {start} "
                "(keyword MJD-OBS, DATE-BEG or DATE-OBS).",
                "Correct the header, or give mjd_start yourself.",
                column="mjd_mid",
                keywords=("DATE-MID",),
                source=source,
            )
        return {} if mid is None else {"mjd_mid": mid}

    @classmethod
    def _master(cls, values: dict[str, Any], named: MasterName | None, source: str) -> dict[str, Any]:
        values.pop("datetime_obs", None)  # of an input frame
        said = values.get("cal_type")
        if named is None:
            return {**values, "master_cal": True, "cal_type": _IMAGE_TYPES.get(said or "", said)}
        cal_type = named.values["cal_type"].lower()
        if said is not None and said not in {cal_type, *_STACKED_IN.get(cal_type, ())}:
            raise HeaderError(
                f"{source} is named like a {cal_type} master, but its header says {said!r} (keyword IMTYPE).",
                "Correct the name or the header.",
                column="cal_type",
                keywords=("IMTYPE",),
                source=source,
            )
        stacked = values.pop("object", None)
        values |= {key: value for key, value in named.values.items() if value is not None}
        if "object" in named.values:
            values.setdefault("object", stacked)
        return _dated({**values, **parse_object(values.get("object"))}, named)

    @classmethod
    def values_from_file(cls, path: Path) -> dict[str, Any]:
        """Column values of a file; an etalon mask that is too small to be a good one has the quality BAD."""
        values = super().values_from_file(path)
        if values.get("cal_type") == "etalonmask" and path.stat().st_size < SMALLEST_ETALON_MASK:
            values["quality"] = "BAD"
        return values
