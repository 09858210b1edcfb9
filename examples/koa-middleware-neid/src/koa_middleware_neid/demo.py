"""A small made night of NEID: FITS files with the keywords of its pipeline's products."""

from datetime import datetime, timedelta
from pathlib import Path

NIGHT = 60700.0  # MJD of 2025-01-25, of era 6


def write_night(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write calibrations and one science frame; gives their paths.

    The comb stands on both sides of the frame; the etalon and the lamp are nearer. One flat is of the session before;
    one bad-pixel mask ended, another one begins in its place.
    """
    calibrations = [
        _write(folder, "bias", NIGHT - 0.1),
        _write(folder, "dark", NIGHT - 0.12),
        _write(folder, "flat", NIGHT + 0.01),
        _write(folder, "flat", NIGHT - 1.0),
        _write(folder, "wave", NIGHT + 0.02, **{"CAL-OBJ": "LFC "}),
        _write(folder, "wave", NIGHT + 0.6, **{"CAL-OBJ": "LFC"}),
        _write(folder, "wave", NIGHT + 0.3, **{"CAL-OBJ": "Etalon"}),
        _write(folder, "wave", NIGHT + 0.33, **{"CAL-OBJ": "ThAr"}),
        _write(folder, "badpixel", 60600.0, VALFROM=60546.0, VALTO=60650.0),
        _write(folder, "badpixel", 60610.0, VALFROM=60650.0),
        _write(folder, "ordermask", 60800.0, VALFROM="59148.0", VALTO=61018.583),
    ]
    return calibrations, [_write(folder, "", NIGHT + 0.31, level=0, EXPTIME=900.0)]


def _write(folder: Path, kind: str, start: float, level: int = 1, **cards: str | float) -> Path:
    import numpy as np  # here, so that loading the plugin stays quick
    from astropy.io import fits

    time = (datetime(1858, 11, 17) + timedelta(days=start)).replace(microsecond=0)
    header = fits.Header({"INSTRUME": "NEID", "OBS-MODE": "HR", "DATE-OBS": time.isoformat(), "EXPTIME": 60.0, **cards})
    if kind:
        header["CALTYPE"] = kind
    path = folder / f"neidL{level}_{time:%Y%m%dT%H%M%S}.fits"
    fits.PrimaryHDU(np.full((4, 4), int(start * 1e4) % 30000, "int32"), header).writeto(path, overwrite=True)
    return path
