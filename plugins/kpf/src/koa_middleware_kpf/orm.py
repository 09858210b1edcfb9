"""Columns of KPF's calibrations, and the FITS keywords that fill them; `masters` says how a master is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from koa_middleware import ORMCalibration, fits_column
from sqlalchemy import Boolean, Float, Index, Integer, String
from sqlalchemy.orm import Mapped

from .eras import era_at, validity_of
from .masters import SMALLEST_ETALON_MASK, ccd, era_of, middle, read_speed_of, settled
from .names import CAL_TYPES, parse_object


class KPFCalibration(ORMCalibration):
    """A calibration of KPF.

    Attributes
    ----------
    level : str or None
        ``2D`` (image), ``L1``, ``L2``. Of a frame: that of the masters that it asks for, ``2D`` unless given otherwise,
        since bias, dark and flat are applied to images whatever level its file is.
    object, lamp, fiber, session : str or None
        What was stacked, such as ``autocal-lfc-all-eve``, in lower case; of lamp stacks and etalon masks its parts:
        ``lfc``, ``thar``, ``etalon`` or ``une``; the fibres lit, or the mask's fibre; ``eve``, ``morn`` and others.
    chip, read_speed : str or None
        ``GREEN`` or ``RED``, of an order trace; ``regular`` or ``fast``.
    kpf_era : str or None
        By `mjd_mid` where the header has none; None in the published table's gaps.
    valid_from, valid_to : float or None
        Days UTC, of a static reference: where neither is given, those of the published table in which its date lies.
    mjd_mid, mjd_end : float or None
        Days UTC: the middle of the exposures, the start of the last one.
    time_inferred : bool
        Whether the times are those of the name's session or date, because the header has none or contradicts it.
    """

    instrument_name = "kpf"
    cal_types = CAL_TYPES
    version_family = ("object", "level")
    __table_args__ = (
        Index(None, "cal_type", "level", "read_speed", "amplifiers", "object", "mjd_mid"),
        Index(None, "cal_type", "read_speed", "lamp", "fiber", "mjd_mid"),
        Index(None, "cal_type", "chip", "mjd_mid"),
        Index(None, "cal_type", "fiber", "mjd_mid"),
        Index(None, "cal_type", "valid_from"),
    )

    cal_type: Mapped[str] = fits_column("IMTYPE", String, fold=True, sort_order=-98)
    datetime_obs: Mapped[str] = fits_column(("DATE-BEG", "DATE-OBS"), String, sort_order=-97)
    mjd_start: Mapped[float] = fits_column((*ccd("MINMJD"), "MJD-OBS"), Float, info={"unit": "d"}, sort_order=-96)
    level: Mapped[str | None] = fits_column((), String)
    object: Mapped[str | None] = fits_column((*ccd("TARGOBJ"), "OBJECT"), String, fold=True)
    lamp: Mapped[str | None] = fits_column((), String)
    fiber: Mapped[str | None] = fits_column((), String, fold=True)
    session: Mapped[str | None] = fits_column((), String)
    chip: Mapped[str | None] = fits_column((), String, fold="upper")
    read_speed: Mapped[str | None] = fits_column(("READSPED", "GRACFFLN"), String, fold=True, convert=read_speed_of)
    amplifiers: Mapped[int | None] = fits_column("GRNAMPS", Integer)
    kpf_era: Mapped[str | None] = fits_column("KPFERA", String, convert=era_of)
    valid_from: Mapped[float | None] = fits_column((), Float, info={"unit": "d"})
    valid_to: Mapped[float | None] = fits_column((), Float, info={"unit": "d"})
    mjd_mid: Mapped[float | None] = fits_column(ccd("MIDMJD"), Float, info={"unit": "d"})
    mjd_end: Mapped[float | None] = fits_column(ccd("MAXMJD"), Float, info={"unit": "d"})
    time_inferred: Mapped[bool] = fits_column((), Boolean, default=False)
    exposure_time: Mapped[float | None] = fits_column((*ccd("MINEXPTM"), "EXPTIME"), Float, info={"unit": "s"})
    n_frames: Mapped[int | None] = fits_column(ccd("NFRAMES"), Integer)
    infobits: Mapped[int | None] = fits_column(ccd("INFOBITS"), Integer)
    drp_tag: Mapped[str | None] = fits_column("DRPTAG", String)

    @classmethod
    def derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Give `level`, `mjd_mid`, what follows from it, and what the object of a lamp stack says."""
        derived: dict[str, Any] = {"level": "2D"}
        if "cal_type" in values:
            derived |= parse_object(values.get("object"))
        mid = values.get("mjd_mid", middle(values))
        if mid is not None:
            derived |= {"mjd_mid": mid, "kpf_era": era_at(mid)}
            if not {"valid_from", "valid_to"} & values.keys():
                derived |= validity_of(values.get("cal_type"), mid)
        return {**derived, **values}

    @classmethod
    def values_from_header(cls, header: Any, filename: str | None = None) -> dict[str, Any]:
        """Column values of a master or a frame; see `masters`."""
        values = settled(cls, super().values_from_header(header, filename), header, filename or "")
        return cls.normalise(values, filename or "the header")

    @classmethod
    def values_from_file(cls, path: Path) -> dict[str, Any]:
        """Column values of a file; an etalon mask that is too small to be a good one has the quality BAD."""
        values = super().values_from_file(path)
        if values.get("cal_type") == "etalonmask" and path.stat().st_size < SMALLEST_ETALON_MASK:
            values["quality"] = "BAD"
        return values
