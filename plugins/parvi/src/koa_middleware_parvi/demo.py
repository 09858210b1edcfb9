"""A small made night of PARVI: real FITS files with the keywords of its raw frames."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.io import fits

NEW_ERA, OLD_ERA = "0.1.0", "0.0.1"


def write_night(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write master calibrations and two frames of 2026-02-12, one of the science and one of the calibration fibre.

    The nearest dark has another exposure time, the next one is flagged bad. The comb solutions of the night before
    are of another era.

    Returns
    -------
    tuple of lists of Path
        Calibrations, frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    calibrations = [
        _write(folder, "master_dark_300.0s", "20260211T200000", exptime=300.0),
        _write(folder, "master_dark_60.0s", "20260212T030000", exptime=60.0),
        _write(folder, "master_dark_20260212_300.0s", "20260212T010000", exptime=300.0, quality="BAD"),
        _write(folder, "master_fullflat_20260211", "20260211T210000", exptime=10.0),
        _write(folder, "master_fullflat_20260209", "20260209T210000", exptime=10.0, era=OLD_ERA),
    ]
    for fiber in (1, 3):
        calibrations += [
            _write(folder, f"master_fiberflat_20260211_fiber{fiber}", "20260211T220000", exptime=10.0, fiber=fiber),
            _write(folder, f"master_lfc_20260213_fiber{fiber}", "20260213T010000", exptime=30.0, fiber=fiber),
            _write(
                folder,
                f"master_lfc_20260211_fiber{fiber}",
                "20260211T110000",
                exptime=30.0,
                fiber=fiber,
                era=OLD_ERA,
            ),
        ]
    frames = [
        _write(folder, "science_20260212031500", "20260212T031500", exptime=300.0, fiber=1),
        _write(folder, "science_20260212032100", "20260212T032100", exptime=300.0, fiber=3),
    ]
    return calibrations, frames


def _write(
    folder: Path,
    name: str,
    start: str,
    *,
    exptime: float,
    fiber: int = 1,
    era: str = NEW_ERA,
    quality: str = "GOOD",
) -> Path:
    unix = datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp()
    header = fits.Header()
    header["INSTRUME"] = "PARVI"
    header["OBJECT"] = "HD 10700"
    header["EXPTIME"] = (exptime, "[s]")
    header["FIBER"] = (fiber, "1 science, 3 calibration")
    header["TIMEI00"] = (str(int(unix) * 10**9), "[ns] start, unix time")
    header["INSTERA"] = (era, "period of stability")
    header["DATAQUAL"] = quality
    image = np.random.default_rng(int(unix)).normal(100.0, 3.0, (32, 32)).astype("float32")
    path = folder / f"{name}.fits"
    fits.PrimaryHDU(image, header).writeto(path, overwrite=True)
    return path
