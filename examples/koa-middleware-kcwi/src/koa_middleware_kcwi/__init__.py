"""KCWI, the Keck Cosmic Web Imager, with a blue and a red camera: rules and keywords of its pipeline, KCWI_DRP.

Where a fact comes from: KCWI_DRP's ``core/kcwi_proctab.py`` says which masters fit a frame (of the same `CAMERA`;
biases and darks by `CCDCFG`, all others by `STATEID`; the nearest in `MJD`), and which keywords a camera has. Its
``scripts`` make `CCDCFG` where a header lacks it. The limits in time are ours: its table holds one night.
"""

from datetime import timedelta

import koa_middleware as koa
from sqlalchemy import Float, Index, Integer, String
from sqlalchemy.orm import Mapped

from .demo import write_night


class KcwiCalibration(koa.ORMCalibration):
    """A master of KCWI, as its pipeline writes it; `grating` and `wavelength` are those of its camera."""

    instrument_name = "kcwi"
    cal_types = ("mbias", "mdark", "marc", "mflat", "mtwif", "mdome")
    version_family = ("camera", "ccd_config", "state_id")

    cal_type: Mapped[str] = koa.fits_column(("CALTYPE", "IMTYPE"), String, fold=True, sort_order=-98)
    mjd_start: Mapped[float] = koa.fits_column(("MJD", "MJD-OBS"), Float, info={"unit": "d"}, sort_order=-96)
    camera: Mapped[str | None] = koa.fits_column("CAMERA", String, fold=True)
    ccd_config: Mapped[str | None] = koa.fits_column("CCDCFG", String)
    state_id: Mapped[str | None] = koa.fits_column("STATEID", String)
    state_name: Mapped[str | None] = koa.fits_column("STATENAM", String)
    binning: Mapped[str | None] = koa.fits_column("BINNING", String, convert=lambda text: text.replace(" ", ""))
    amplifiers: Mapped[str | None] = koa.fits_column("AMPMODE", String, fold=True)
    ccd_sum: Mapped[str | None] = koa.fits_column("CCDSUM", String)
    read_mode: Mapped[int | None] = koa.fits_column("CCDMODE", Integer)
    gain: Mapped[int | None] = koa.fits_column("GAINMUL", Integer)
    amplifier_number: Mapped[int | None] = koa.fits_column("AMPMNUM", Integer)
    slicer: Mapped[str | None] = koa.fits_column("IFUNAM", String, fold=True)
    blue_grating: Mapped[str | None] = koa.fits_column("BGRATNAM", String, fold=True)
    red_grating: Mapped[str | None] = koa.fits_column("RGRATNAM", String, fold=True)
    grating: Mapped[str | None] = koa.fits_column((), String)
    blue_wavelength: Mapped[float | None] = koa.fits_column("BCWAVE", Float, info={"unit": "Angstrom"})
    red_wavelength: Mapped[float | None] = koa.fits_column("RCWAVE", Float, info={"unit": "Angstrom"})
    wavelength: Mapped[float | None] = koa.fits_column((), Float, info={"unit": "Angstrom"})
    filter_name: Mapped[str | None] = koa.fits_column("BFILTNAM", String, fold=True)
    exposure_time: Mapped[float | None] = koa.fits_column(("TTIME", "ELAPTIME"), Float, info={"unit": "s"})
    __table_args__ = (
        Index(None, "cal_type", "camera", "ccd_config", "mjd_start"),
        Index(None, "cal_type", "camera", "state_id", "mjd_start"),
    )

    @classmethod
    def derive(cls, values):
        """Give the optics of the camera, and the detector's configuration where the header does not tell it."""
        side = values.get("camera")
        optics = {name: values.get(f"{side}_{name}") for name in ("grating", "wavelength")}
        parts = [values.get(name) for name in ("ccd_sum", "read_mode", "gain", "amplifier_number")]
        if None not in parts:
            binned, mode, gain, amplifier = parts
            optics["ccd_config"] = f"{binned.replace(' ', '')}{mode:d}{gain:02d}{amplifier:02d}"
        return {**optics, **{name: value for name, value in values.items() if value is not None}}


class DetectorSelector(koa.CalibrationSelector):
    """Of the same camera, read in the same way."""

    match = ("camera", "ccd_config")
    max_age = timedelta(days=30)


class StateSelector(koa.CalibrationSelector):
    """Of the same camera in the same state: slicer, grating, wavelength and detector, which one id stands for."""

    match = ("camera", "state_id")
    max_age = timedelta(days=7)


selectors = [
    *(DetectorSelector(cal_type=name) for name in ("mbias", "mdark")),
    *(StateSelector(cal_type=name) for name in ("marc", "mflat", "mtwif", "mdome")),
]
needs = {"mbias": (), "mdark": ("mbias",), "marc": ("mbias", "mdark"), "mflat": ("mbias", "mdark", "marc")}
plugin = koa.InstrumentPlugin(KcwiCalibration, selectors, demo=write_night, needs=needs)


@koa.hookimpl
def koa_register_instrument() -> koa.InstrumentPlugin:
    """Give the plugin."""
    return plugin
