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
from sqlalchemy import Float, Index, Integer, String
from sqlalchemy.orm import Mapped

from .eras import era_at, service_interval_at
from .names import CAL_TYPES, MasterName, looks_like_a_master, parse_name, parse_object

#: A good etalon mask has 172 kB; one whose fit failed has 9 kB. In bytes.
SMALLEST_ETALON_MASK = 50_000

_IMAGE_TYPES = {"flatlamp": "flat"}


def _ccd(keyword: str) -> tuple[str, str]:
    return f"GREEN_CCD:{keyword}", f"RED_CCD:{keyword}"


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
    mjd_start: Mapped[float] = fits_column((*_ccd("MINMJD"), "MJD-OBS"), Float, sort_order=-96)
    level: Mapped[str | None] = fits_column((), String)
    object: Mapped[str | None] = fits_column((*_ccd("TARGOBJ"), "OBJECT"), String, fold=True)
    lamp: Mapped[str | None] = fits_column((), String)
    fiber: Mapped[str | None] = fits_column((), String, fold=True)
    session: Mapped[str | None] = fits_column((), String)
    chip: Mapped[str | None] = fits_column((), String)
    read_speed: Mapped[str | None] = fits_column(("READSPED", "GRACFFLN"), String, fold=True)
    amplifiers: Mapped[int | None] = fits_column("GRNAMPS", Integer)
    kpf_era: Mapped[str | None] = fits_column("KPFERA", String)
    service_interval: Mapped[int | None] = fits_column((), Integer)
    mjd_mid: Mapped[float | None] = fits_column(_ccd("MIDMJD"), Float)
    mjd_end: Mapped[float | None] = fits_column(_ccd("MAXMJD"), Float)
    exposure_time: Mapped[float | None] = fits_column((*_ccd("MINEXPTM"), "EXPTIME"), Float)
    n_frames: Mapped[int | None] = fits_column(_ccd("NFRAMES"), Integer)
    infobits: Mapped[int | None] = fits_column(_ccd("INFOBITS"), Integer)
    drp_tag: Mapped[str | None] = fits_column("DRPTAG", String)

    @classmethod
    def complete(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Column values with those that follow from others: `mjd_mid`, `kpf_era`, `service_interval`, `level`."""
        known = cls.normalise(values)
        if known.get("mjd_mid") is None and known.get("mjd_start") is not None:
            known["mjd_mid"] = known["mjd_start"] + (known.get("exposure_time") or 0.0) / 2 / 86400
        if known.get("mjd_mid") is not None:
            known["kpf_era"] = known.get("kpf_era") or era_at(known["mjd_mid"])
            known["service_interval"] = service_interval_at(known["mjd_mid"])
        known["level"] = known.get("level") or "2D"
        return known

    @classmethod
    def values_from_header(cls, header: Any, filename: str | None = None) -> dict[str, Any]:
        """Column values of a master or a frame.

        A master is known by its name, or by ``MIDMJD`` in its extensions. Its name decides on type, object and level.
        Without times in its extensions, a stack of one session is taken at the time of the input frame in its primary
        header, else at the session's usual hour; one of a whole day runs from 0 to 24 h UTC of its date (a real flat's
        ``MIDMJD`` ends in .49997). All of these are inferred.

        Raises
        ------
        HeaderError
            Also for a file named like a master of a kind that is not kept.
        """
        values = super().values_from_header(header, filename)
        named = parse_name(filename or "")
        if named is None and looks_like_a_master(filename or ""):
            raise HeaderError(
                f"{filename} is named like a KPF master of a kind that the store does not keep.",
                f"Register {', '.join(CAL_TYPES)}; leave out norect flats and JSON wavelength solutions.",
                column="cal_type",
                keywords=("IMTYPE",),
                source=filename or "",
            )
        if values.get("read_speed"):
            values["read_speed"] = re.split(r"[^a-z]", values["read_speed"])[0]
        if values.get("amplifiers") is None:
            # A raw frame has an extension for each amplifier; in a reduced one those that are left are empty.
            values["amplifiers"] = sum(header.get(f"GREEN_AMP{n}:NAXIS") == 2 for n in range(1, 5)) or None
        if named is None and not {"mjd_mid", "mjd_end"} & values.keys():
            values.pop("cal_type", None)  # a frame is no calibration, whatever its image type
            if header.get("DATE-MID"):
                values["mjd_mid"] = cls.normalise({"datetime_obs": header.get("DATE-MID")})["mjd_start"]
        else:
            values = cls._master(values, named)
        return cls.complete({key: value for key, value in values.items() if value is not None})

    @classmethod
    def _master(cls, values: dict[str, Any], named: MasterName | None) -> dict[str, Any]:
        values.pop("datetime_obs", None)  # of an input frame
        if "mjd_end" in values and "mjd_mid" not in values:
            values["mjd_mid"] = (values["mjd_start"] + values["mjd_end"]) / 2
        if named is None:
            values["cal_type"] = _IMAGE_TYPES.get(values.get("cal_type", ""), values.get("cal_type"))
            return {**values, "master_cal": True, **parse_object(values.get("object"))}
        stacked = values.pop("object", None)
        values |= {key: value for key, value in named.values.items() if value is not None}
        if "object" in named.values:
            values.setdefault("object", stacked)
        values |= parse_object(values.get("object"))
        if "mjd_mid" not in values and not ("session" in values and "mjd_start" in values):
            values |= {"mjd_start": named.begin, "mjd_mid": named.mid}
        return values

    @classmethod
    def values_from_file(cls, path: Path) -> dict[str, Any]:
        """Column values of a file; an etalon mask that is too small to be a good one has the quality BAD."""
        values = super().values_from_file(path)
        if values.get("cal_type") == "etalonmask" and path.stat().st_size < SMALLEST_ETALON_MASK:
            values["quality"] = "BAD"
        return values
