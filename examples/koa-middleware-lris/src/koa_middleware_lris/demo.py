"""A small made night of LRIS: FITS files of both arms with the archive's keywords."""

from datetime import date, timedelta
from pathlib import Path

NIGHT = 60319  # MJD of 2024-01-10
RED = {
    "INSTRUME": "LRIS",
    "BINNING": "2,1",
    "AMPMODE": "HSPLIT,VUP",
    "CCDSPEED": "normal ",
    "GRANAME": "600/7500 ",
    "GRISNAME": "400/3400",
    "WAVELEN": 7500.0,
    "GRANGLE": 27.5,
    "DICHNAME": "560",
    "REDFILT": "clear",
    "BLUFILT": "clear",
    "SLITNAME": "long_1.0",
}
BLUE = {name: value for name, value in RED.items() if name != "AMPMODE"}
BLUE |= {"INSTRUME": "LRISBLUE", "NUMAMPS": 4, "BINNING": "2, 1"}


def write_night(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write calibrations and one science frame of each arm; gives their paths.

    Each rule refuses one: other amplifiers, a grating tilted by 20 %, a flat of 90 s, another slit, a dark of half the
    exposure time, the bad pixels of the detector before.
    """
    calibrations = [
        _write(folder, RED, 3600, "bias", 0.0),
        _write(folder, RED, 3660, "bias", 0.0, AMPMODE="HSPLIT,VSPLIT"),
        _write(folder, BLUE, 3601, "bias", 0.0),
        _write(folder, RED, 4000, "flatlamp", 10.0),
        _write(folder, RED, 4100, "flatlamp", 10.0, GRANGLE=33.2),
        _write(folder, RED, 4150, "flatlamp", 90.0),
        _write(folder, BLUE, 4001, "flatlamp", 10.0),
        _write(folder, RED, 4200, "arclamp", 1.0),
        _write(folder, RED, 4300, "arclamp", 1.0, SLITNAME="long_0.7"),
        _write(folder, BLUE, 4201, "arclamp", 1.0),
        _write(folder, RED, 5000, "dark", 600.2),
        _write(folder, RED, 5900, "dark", 300.0),
        _write(folder, RED, 100, "bpm", 0.0, day=58000),
        _write(folder, RED, 100, "bpm", 0.0, day=59400),
    ]
    return calibrations, [_write(folder, arm, 40000 + n, "object", 600.0) for n, arm in enumerate((RED, BLUE))]


def _write(
    folder: Path,
    arm: dict[str, str | float],
    second: int,
    kind: str,
    exposure: float,
    day: int = NIGHT,
    **cards: str | float,
) -> Path:
    import numpy as np  # here, so that loading the plugin stays quick
    from astropy.io import fits

    written = date(1858, 11, 17) + timedelta(days=day)
    path = folder / f"{'LB' if arm is BLUE else 'LR'}.{written:%Y%m%d}.{second:05d}.00.fits"
    header = fits.Header({**arm, **cards})
    header["KOAIMTYP"] = kind
    header["MJD-OBS"] = (day + second / 86400, "[d] start, UTC")
    header["ELAPTIME"] = (exposure, "[s]")
    fits.PrimaryHDU(np.full((8, 8), second, "int32"), header).writeto(path, overwrite=True)
    return path
