"""A small made night of ESI, for `koa-cal demo` and for the tests."""

from pathlib import Path
from typing import Any

NIGHT = 61083.0  # MJD of 2026-02-12
CARDS: dict[str, Any] = {
    "INSTRUME": "ESI",
    "BINNING": "1, 1",
    "NUMAMPS": 2,
    "SLMSKNAM": "1.00_arcsec",
    "PRISMNAM": ("in", "Echellette mode when it is in"),
    "ELAPTIME": (30.0, "[s] Exposure time"),
}


def write_night(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write raw calibrations of one night, and two frames; gives their paths."""
    calibrations = [
        _write(folder / "e260212_0001.fits", 0.10, "Bias", ELAPTIME=0.0),
        _write(folder / "e260212_0002.fits", 0.11, "Bias", ELAPTIME=0.0, BINNING="2, 1"),
        _write(folder / "e260212_0003.fits", 0.15, "DmFlat"),
        _write(folder / "e260212_0004.fits", 0.16, "Line", LAMPCU1="on"),
        _write(folder / "e260212_0005.fits", 0.17, "Line", LAMPCU1="on", SLMSKNAM="0.50_arcsec"),
        _write(folder / "e260212_0009.fits", 0.60, "IntFlat"),
    ]
    frames = [
        _write(folder / "e260212_0007.fits", 0.40, "Object", ELAPTIME=900.0),
        _write(folder / "e260212_0008.fits", 0.50, "Object", ELAPTIME=900.0, PRISMNAM="out"),
    ]
    return calibrations, frames


def _write(path: Path, day: float, kind: str, **cards: Any) -> Path:
    import numpy as np  # here, so that loading the plugin stays quick
    from astropy.io import fits

    hdu = fits.PrimaryHDU(np.full((8, 8), int(day * 100), "int16"))
    hdu.header.update({**CARDS, "OBSTYPE": kind, "MJD-OBS": NIGHT + day, "TARGNAME": kind, "DOMEPOSN": 17.0, **cards})
    hdu.writeto(path, overwrite=True)
    return path


if __name__ == "__main__":
    write_night(Path())
