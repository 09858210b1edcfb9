"""LRIS of Keck I: two arms, many modes. Rules after PypeIt's ``keck_lris.py``, keywords after Keck's archive."""

from datetime import timedelta

import koa_middleware as koa
from sqlalchemy import Float, Index, String
from sqlalchemy.orm import Mapped

from .demo import write_night

ARMS = {"LRIS": "red", "LRISP": "red", "LRISPRED": "red", "LRISBLUE": "blue", "LRISPBLUE": "blue"}  # by INSTRUME
#: MJD at which an arm got another detector: red in June 2009 and on 2021-04-15 (Mark4), blue on 2009-07-01.
UPGRADES = koa.by("arm", {"red": (54999.0, 59319.0), "blue": (55013.0,)})


class LrisCalibration(koa.ORMCalibration):
    """A calibration of LRIS; `disperser` and `filter_name` are those of its arm."""

    instrument_name = "lris"
    instrume_values = tuple(ARMS)
    cal_types = ("bias", "dark", "flatlamp", "arclamp", "bpm")
    version_family = ("arm", "binning", "amps", "read_speed", "disperser", "slit")

    cal_type: Mapped[str] = koa.fits_column(("CALTYPE", "KOAIMTYP"), String, fold=True, sort_order=-98)
    mjd_start: Mapped[float] = koa.fits_column(("MJD-OBS", "MJD"), Float, info={"unit": "d"}, sort_order=-96)
    arm: Mapped[str | None] = koa.fits_column("INSTRUME", String, convert=lambda name: ARMS.get(name.strip().upper()))
    binning: Mapped[str | None] = koa.fits_column("BINNING", String, convert=lambda text: text.replace(" ", ""))
    amps: Mapped[str | None] = koa.fits_column(("AMPMODE", "NUMAMPS"), String, fold=True)
    read_speed: Mapped[str | None] = koa.fits_column("CCDSPEED", String, fold=True)
    grating: Mapped[str | None] = koa.fits_column("GRANAME", String, fold=True)
    grism: Mapped[str | None] = koa.fits_column("GRISNAME", String, fold=True)
    disperser: Mapped[str | None] = koa.fits_column((), String)
    grating_angle: Mapped[float | None] = koa.fits_column("GRANGLE", Float, info={"unit": "deg"})
    wavelength: Mapped[float | None] = koa.fits_column(("WAVELEN", "MSWAVE"), Float, info={"unit": "Angstrom"})
    dichroic: Mapped[str | None] = koa.fits_column("DICHNAME", String, fold=True)
    red_filter: Mapped[str | None] = koa.fits_column("REDFILT", String, fold=True)
    blue_filter: Mapped[str | None] = koa.fits_column("BLUFILT", String, fold=True)
    filter_name: Mapped[str | None] = koa.fits_column((), String)
    slit: Mapped[str | None] = koa.fits_column("SLITNAME", String)
    exposure_time: Mapped[float | None] = koa.fits_column(("ELAPTIME", "TELAPSE", "EXPTIME"), Float, info={"unit": "s"})
    valid_from: Mapped[float | None] = koa.fits_column("VALFROM", Float, info={"unit": "d"})
    __table_args__ = (
        Index(None, "cal_type", "arm", "binning", "amps", "mjd_start"),
        Index(None, "cal_type", "arm", "binning", "amps", "disperser", "dichroic", "slit", "mjd_start"),
        Index(None, "cal_type", "arm", "valid_from"),
    )

    @classmethod
    def derive(cls, values):
        """Give the disperser and the filter of the arm, and the start as the first day where no other one is known."""
        names = {"red": ("grating", "red_filter"), "blue": ("grism", "blue_filter")}.get(values.get("arm"), ())
        of_arm = dict(zip(("disperser", "filter_name"), map(values.get, names), strict=False))
        return {**of_arm, "valid_from": values.get("mjd_start"), **values}


class DetectorSelector(koa.CalibrationSelector):
    """Of the same detector, read in the same way, whatever the optics are."""

    match = ("arm", "binning", "amps")
    match_if_known = ("read_speed",)
    never_across = UPGRADES
    max_age = timedelta(days=30)


class OpticsSelector(DetectorSelector):
    """Through the same optics; on the red side the grating is also tilted alike."""

    match = (*DetectorSelector.match, "disperser", "dichroic", "slit")
    match_if_known = ("read_speed", "filter_name")
    within = koa.by("arm", {"red": {"grating_angle": koa.relative(0.01), "wavelength": 2.0}, "blue": {}})
    max_age = timedelta(days=2)


selectors = [
    DetectorSelector(cal_type="bias", max_age=timedelta(days=7)),
    DetectorSelector(cal_type="dark", within={"exposure_time": koa.relative(0.1)}),
    OpticsSelector(cal_type="flatlamp", require={"exposure_time": koa.at_most(60.0)}),
    OpticsSelector(cal_type="arclamp"),
    koa.CalibrationSelector(cal_type="bpm", match=("arm",), never_across=UPGRADES, validity=("valid_from", None)),
]
needs = {"bias": (), "bpm": (), "dark": ("bias",), "flatlamp": ("bias", "bpm"), "arclamp": ("bias", "bpm")}
plugin = koa.InstrumentPlugin(LrisCalibration, selectors, demo=write_night, needs=needs)


@koa.hookimpl
def koa_register_instrument() -> koa.InstrumentPlugin:
    """Give the plugin."""
    return plugin
