"""Columns of HISPEC's calibrations, and the FITS keywords and file names that fill them.

Keywords and names are those of the instrument team's data products. Inferred, not stated by a public source: the
keyword ``SPECTROG``, and that the file prefix HB is the blue spectrograph (BSPEC) and HR the red one (RSPEC).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from koa_middleware import ORMCalibration, fits_column
from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped

CAL_TYPES = ("dark", "bias", "rn", "gain", "saturation", "nonlin", "detflat", "dq", "flat", "lfc_wavesol")

SPECTROGRAPHS = {"HB": "BSPEC", "HR": "RSPEC"}

#: ``HB.20260212.03605.43[.mastercal-dark[.001]].fits``: UTC date and second of the day of the exposure's start.
_NAME = re.compile(
    r"(?P<prefix>HB|HR)\.(?P<date>\d{8})\.(?P<second>\d{5}(?:\.\d+)?)"
    r"(?:\.(?P<kind>mastercal|cal)-(?P<cal_type>\w+?)(?:\.(?P<version>\d{3}))?)?\.(?:fits|fit|fts)(?:\.(?:gz|fz|bz2|xz))?",
    re.IGNORECASE,
)


class HISPECCalibration(ORMCalibration):
    """A calibration of HISPEC.

    Attributes
    ----------
    spectrograph : str or None
        ``BSPEC`` (blue) or ``RSPEC`` (red).
    instrument_era : str
        ``n.n.n``, a period of stability; the first digit changes when radial-velocity offsets do. A calibration whose
        header has no ``INSTERA`` is of ``0.0.1``; a frame must have one.
    koa_id, koa_filepath : str or None
        Name and path at the Keck Observatory Archive.
    drp_version, last_processed : str or None
        Version of the reduction pipeline, and when it made the file.
    """

    instrument_name = "hispec"
    cal_types = CAL_TYPES
    version_family = ("master_cal", "spectrograph")
    __table_args__ = (
        Index(None, "cal_type", "instrument_era", "spectrograph", "master_cal", "mjd_start"),
        Index(None, "cal_type", "instrument_era", "spectrograph", "mjd_start"),
    )

    spectrograph: Mapped[str | None] = fits_column("SPECTROG", String, fold="upper")
    instrument_era: Mapped[str] = fits_column("INSTERA", String, default="0.0.1")
    koa_id: Mapped[str | None] = fits_column("KOAID", String)
    koa_filepath: Mapped[str | None] = fits_column("KOAPATH", String)
    drp_version: Mapped[str | None] = fits_column("DRPSOFTV", String)
    last_processed: Mapped[str | None] = fits_column("LASTPROC", String)

    @classmethod
    def derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Give what stands in the file's name and nowhere else."""
        return {**_values_from_name(values.get("filename", "")), **values}


def _values_from_name(filename: str) -> dict[str, Any]:
    match = _NAME.fullmatch(filename)
    if match is None:
        return {}
    values: dict[str, Any] = {"spectrograph": SPECTROGRAPHS[match["prefix"].upper()]}
    try:
        start = datetime.strptime(match["date"], "%Y%m%d") + timedelta(seconds=float(match["second"]))
    except ValueError:  # eight digits that are no date
        return values
    values["datetime_obs"] = start.isoformat(timespec="milliseconds")
    if match["kind"]:
        values["cal_type"] = match["cal_type"]
        values["master_cal"] = match["kind"].lower() == "mastercal"
        values["cal_version"] = match["version"] or "001"
    return values
