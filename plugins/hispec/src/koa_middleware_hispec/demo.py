"""A small made night of HISPEC: real FITS files with the structure and keywords of the instrument's products."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
from astropy.io import fits

from .orm import CAL_TYPES, SPECTROGRAPHS

NEW_ERA, OLD_ERA = "1.0.0", "0.9.0"


def write_night(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write master calibrations and one blue science frame, taken at 2026-02-12T12:00 UTC.

    The instrument was warmed up on the day before. So the master dark of that day is of another era; of the new
    era, one dark is flagged bad and one is no master; the one of two days later is right.

    Returns
    -------
    tuple of lists of Path
        Calibrations, frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    calibrations = [_write(folder, "HB", "20260214", 3600 + 60 * n, cal_type) for n, cal_type in enumerate(CAL_TYPES)]
    calibrations += [
        _write(folder, "HR", "20260212", 3600 + 60 * n, cal_type)
        for n, cal_type in enumerate(("dark", "flat", "lfc_wavesol"))
    ]
    calibrations += [
        _write(folder, "HB", "20260211", 80000, "dark", era=OLD_ERA),
        _write(folder, "HB", "20260211", 81000, "lfc_wavesol", era=OLD_ERA),
        _write(folder, "HB", "20260212", 42000, "dark", quality="BAD"),
        _write(folder, "HB", "20260212", 44000, "dark", master=False),
        _write(folder, "HB", "20260212", 45000, "lfc_wavesol"),
        _write(folder, "HB", "20260216", 3600, "dark"),
    ]
    return calibrations, [_write(folder, "HB", "20260212", 43200, None)]


def _write(
    folder: Path,
    prefix: str,
    day: str,
    second: int,
    cal_type: str | None,
    *,
    era: str = NEW_ERA,
    quality: str = "GOOD",
    master: bool = True,
) -> Path:
    """Write one file; without a `cal_type` it is a science frame."""
    start = (date.fromisoformat(day) - date(1858, 11, 17)).days + second / 86400  # MJD, days UTC
    name = f"{prefix}.{day}.{second:08.2f}"
    header = fits.Header()
    header["INSTRUME"] = "HISPEC"
    header["SPECTROG"] = (SPECTROGRAPHS[prefix], "spectrograph")
    header["INSTERA"] = (era, "period of stability")
    header["MJD-OBS"] = (start, "[d] start of the exposure, UTC")
    header["KOAID"] = f"{name}.fits"
    if cal_type is None:
        header["OBJECT"] = "HD 10700"
        header["EXPTIME"] = (300.0, "[s]")
    else:
        name += f".{'mastercal' if master else 'cal'}-{cal_type}.001"
        header["CALTYPE"] = cal_type
        header["CALVER"] = "001"
        header["MASTCAL"] = master
        header["EXPMJDST"] = (start, "[d] start of the first exposure, UTC")
        header["DATAQUAL"] = quality
    image = np.random.default_rng(second).normal(100.0, 3.0, (32, 32)).astype("float32")
    path = folder / f"{name}.fits"
    fits.PrimaryHDU(image, header).writeto(path, overwrite=True)
    return path
