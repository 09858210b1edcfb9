"""A small made night of KCWI: masters of both cameras and one science frame of each, with the pipeline's keywords."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
from astropy.io import fits

NIGHT = 60319  # MJD of 2024-01-10
COMMON = {"INSTRUME": "KCWI", "BINNING": "2,2", "IFUNAM": "Medium", "STATENAM": "demo", "NVIDINP": 2}
BLUE = {**COMMON, "CAMERA": "BLUE", "CCDCFG": "22010101", "STATEID": "20240110-01", "AMPMODE": "TBO"}
BLUE |= {"BGRATNAM": "BL", "BGRANGLE": 12.3, "BCWAVE": 4500.0, "BFILTNAM": "KBlue", "GAINMUL": 10, "CCDMODE": 1}
RED = {**COMMON, "CAMERA": "RED", "CCDCFG": "22000100", "STATEID": "20240110-02", "AMPMODE": "L2U2L1U1"}
RED |= {"RGRATNAM": "RL", "RGRANGLE": 20.1, "RCWAVE": 7150.0}
TYPES = ("mbias", "mdark", "marc", "mflat", "mtwif", "mdome")


def write_night(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write masters of each type and one science frame of each camera; gives their paths.

    Each rule refuses one: a bias read in another way, an arc of another state.
    """
    masters = [
        _write(folder, camera, 100 + 10 * n, cal_type) for camera in (BLUE, RED) for n, cal_type in enumerate(TYPES)
    ]
    masters += [
        _write(folder, BLUE, 201, "mbias", CCDCFG="11010101"),
        _write(folder, BLUE, 202, "marc", STATEID="20240110-09"),
    ]
    return masters, [_write(folder, camera, 300, "object") for camera in (BLUE, RED)]


def _write(folder: Path, camera: dict[str, str | int | float], frame: int, kind: str, **cards: str) -> Path:
    written = date(1858, 11, 17) + timedelta(days=NIGHT)
    stem = f"k{camera['CAMERA'][0].lower()}{written:%y%m%d}_{frame:05d}"
    header = fits.Header({**camera, **cards, "IMTYPE": kind.upper(), "FRAMENO": frame, "OFNAME": f"{stem}.fits"})
    header["MJD"] = (NIGHT + frame / 1000, "[d] start, UTC")
    header["TTIME"] = (0.0 if kind == "mbias" else 600.0, "[s]")
    path = folder / (f"{stem}.fits" if kind == "object" else f"{stem}_{kind}.fits")
    fits.PrimaryHDU(np.full((8, 8), frame, "float32"), header).writeto(path, overwrite=True)
    return path
