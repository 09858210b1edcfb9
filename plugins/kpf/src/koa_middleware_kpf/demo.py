"""A small made night of KPF: FITS files with the structure and keywords of the pipeline's masters, and CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

NIGHT = 60677  # MJD of 2025-01-02, of era 2.6; era 2.5 ended on the first of January
_BIAS = "kpf_20250102_master_bias_autocal-bias.fits"  # which turned out to be bad
IMAGE_TYPES = {"bias": "Bias", "dark": "Dark", "flat": "Flat", "arclamp": "Arclamp"}


def write_night(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write masters of several days and one science frame, taken at 2025-01-02T10:00 UTC.

    Of the biases, the nearest one is flagged bad, one was read fast, one is of the era before, one is a week away; the
    one of two days later is right. The nearest wavelength solution is of midnight, which is not used; a pair of the
    comb's is left. One etalon mask is a failed one. The older of two static references ended with an era.

    Returns
    -------
    tuple of lists of Path
        Calibrations, frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    calibrations = [
        _master(folder, "kpf_20250102_master_bias_autocal-bias", "Bias", NIGHT + 0.04, NIGHT + 0.71, quality="BAD"),
        _master(folder, "kpf_20250103_master_bias_autocal-bias", "Bias", NIGHT + 1.04, NIGHT + 1.08, speed="fast"),
        _master(folder, "kpf_20250104_master_bias_autocal-bias", "Bias", NIGHT + 2.04, NIGHT + 2.71),
        _master(folder, "kpf_20241231_master_bias_autocal-bias", "Bias", NIGHT - 1.96, NIGHT - 1.29, era="2.5"),
        _master(folder, "kpf_20250109_master_bias_autocal-bias", "Bias", NIGHT + 7.04, NIGHT + 7.71),
        _master(
            folder,
            "kpf_20250102_master_dark_autocal-dark",
            "Dark",
            NIGHT + 0.05,
            NIGHT + 0.80,
            MINEXPTM=300.0,
            INPBIAS=_BIAS,
        ),
        _master(
            folder,
            "kpf_20250102_master_flat",
            "Flat",
            NIGHT + 0.0003,
            NIGHT + 0.9996,
            INPBIAS=_BIAS,
            INPDARK="kpf_20250102_master_dark_autocal-dark.fits",
        ),
        _master(folder, "kpf_20250102_smooth_lamp", "Flat", NIGHT + 0.0003, NIGHT + 0.9996),
        _master(folder, "kpf_20250102_order_mask", "Flat", NIGHT + 0.0003, NIGHT + 0.9996),
        _master(
            folder,
            "kpf_20250102_master_arclamp_autocal-lfc-all-eve",
            "Arclamp",
            NIGHT + 0.08,
            NIGHT + 0.083,
            TARGOBJ="autocal-lfc-all-eve",
        ),
        _wavelengths(folder, "kpf_20250102_master_WLS_autocal-lfc-all-eve_L1", NIGHT + 0.08),
        _wavelengths(folder, "kpf_20250102_master_WLS_autocal-lfc-all-midnight_L1", NIGHT + 0.42),
        _wavelengths(folder, "kpf_20250102_master_WLS_autocal-thar-all-morn_L1", NIGHT + 0.71),
        _wavelengths(folder, "kpf_20250102_master_WLS_autocal-lfc-all-morn_L1", NIGHT + 0.72, speed="fast"),
        _wavelengths(folder, "kpf_20250103_master_WLS_autocal-lfc-all-morn_L1", NIGHT + 1.72),
        _wavelengths(folder, "kpf_20230730_trace_flat", NIGHT - 522.0),
        _wavelengths(folder, "kpf_20240211_trace_flat", NIGHT - 326.0),
        *(_trace(folder, f"kpf_20250102_master_flat_{chip}_CCD") for chip in ("GREEN", "RED")),
        *(_mask(folder, f"20250102_eve_{fiber}_etalon_wavelengths", 3200) for fiber in ("cal", "sci1", "sci2")),
        _mask(folder, "20250102_eve_sci3_etalon_wavelengths", 160),
        _mask(folder, "20250102_morn_sci3_etalon_wavelengths", 3200),
    ]
    return calibrations, [_frame(folder, "KP.20250102.36000.00")]


def _primary(image_type: str, start: float, exposure: float, speed: str, era: str) -> fits.PrimaryHDU:
    """Primary header of a frame; a master's is a copy of one."""
    header = fits.Header()
    header["INSTRUME"] = "KPF"
    header["IMTYPE"] = image_type
    header["MJD-OBS"] = (start, "[d] start of the exposure, UTC")
    header["EXPTIME"] = (exposure, "[s]")
    header["READSPED"] = speed
    header["GRNAMPS"] = 2
    header["REDAMPS"] = 2
    header["KPFERA"] = era
    return fits.PrimaryHDU(header=header)


def _image(name: str, light: float = 0.0, **keywords: Any) -> fits.ImageHDU:
    """Give an image of one order a row: noise around 100 counts, with so much light of a star that has one line."""
    pixel = np.arange(32) - 15.5
    star = light * np.exp(-((pixel / 12) ** 2)) * (1 - 0.7 * np.exp(-((pixel / 1.5) ** 2)))
    image = np.random.default_rng(len(name)).normal(100.0, 3.0, (32, 32)) + star
    return fits.ImageHDU(image.astype("float32"), fits.Header(keywords), name=name)


def _wavelength(chip: str, fiber: int, start: float) -> fits.ImageHDU:
    """Give wavelengths in Angstrom, one order a row, which drift by 0.02 a day."""
    order, pixel = np.mgrid[:32, :32]
    first = {"GREEN": 4450.0, "RED": 5990.0}[chip] + 0.02 * (start - NIGHT)
    return fits.ImageHDU(first + 45.0 * order + 1.5 * pixel, name=f"{chip}_SCI_WAVE{fiber}")


def _master(
    folder: Path,
    name: str,
    image_type: str,
    first: float,
    last: float,
    *,
    speed: str = "regular",
    era: str = "2.6",
    quality: str = "UNKNOWN",
    **keywords: Any,
) -> Path:
    """Write a stack; its times (days UTC) stand in the extensions of both chips."""
    primary = _primary(image_type, first, keywords.get("MINEXPTM", 0.0), speed, era)
    primary.header["DATAQUAL"] = quality
    times = {"NFRAMES": 6, "MINMJD": first, "MAXMJD": last, "MIDMJD": (first + last) / 2, "INFOBITS": 7}
    path = folder / f"{name}.fits"
    images = [_image(f"{chip}_CCD", **times, **keywords) for chip in ("GREEN", "RED")]
    fits.HDUList([primary, *images]).writeto(path, overwrite=True)
    return path


def _wavelengths(folder: Path, name: str, start: float, *, speed: str = "regular") -> Path:
    """Write a wavelength solution; it has no times but those of an input frame."""
    path = folder / f"{name}.fits"
    images = [_wavelength(chip, n, start) for chip in ("GREEN", "RED") for n in (1, 2, 3)]
    fits.HDUList([_primary("Arclamp", start, 10.0, speed, "2.6"), *images]).writeto(path, overwrite=True)
    return path


def _frame(folder: Path, name: str) -> Path:
    primary = _primary("Object", NIGHT + 36000 / 86400, 600.0, "regular", "2.6")
    primary.header["OBJECT"] = "10700"
    path = folder / f"{name}.fits"
    images = [_image(f"{chip}_AMP{n}", light=500.0) for chip in ("GREEN", "RED") for n in (1, 2)]
    fits.HDUList([primary, *images]).writeto(path, overwrite=True)
    return path


def _trace(folder: Path, name: str) -> Path:
    path = folder / f"{name}.csv"
    rows = (f"{n},{100.0 + 19.5 * n:.3f},{0.001 * n:.6f},{5.0:.1f}" for n in range(35))
    path.write_text("\n".join(["order,position,slope,width", *rows, ""]))
    return path


def _mask(folder: Path, name: str, lines: int) -> Path:
    path = folder / f"{name}.csv"
    rows = (f"{4450.0 + 1.31 * n:.9f},{1.0:.1f},{1e-5 * n:.25f}" for n in range(lines))
    path.write_text("\n".join(["wavelength,weight,sigma", *rows, ""]))
    return path
