"""NEID: pairs of wavelength solutions, eras with gaps, masters with windows (``VALFROM``, ``VALTO``: inferred)."""

from datetime import timedelta

from koa_middleware import CalibrationSelector, InstrumentPlugin, ORMCalibration, Step, fits_column, hookimpl
from sqlalchemy import Float, Index, String
from sqlalchemy.orm import Mapped

from .demo import write_night

#: Era, begin, end, as MJD, of the EPRV standard's ``neid_inst_eras.csv``. In the gaps a frame is of no era.
ERAS = (
    ("1", 58793.0, 58817.0), ("2", 58817.0, 58906.0), ("3", 58906.0, 58939.0), ("4", 59148.0, 59746.0),
    ("5", 59870.0, 60541.0), ("6", 60546.0, 61018.583), ("7", 61018.583, float("inf")),
)  # fmt: skip
STATIC = ("badpixel", "ordermask")


class NeidCalibration(ORMCalibration):
    """A calibration of NEID; `session` is the night packet, from noon to noon at Kitt Peak (UTC-7)."""

    instrument_name = "neid"
    cal_types = ("bias", "dark", "flat", "wave", *STATIC)
    version_family = ("obs_mode", "source")
    filename_pattern = r"neidL\d_(?P<datetime_obs>\d{8}T\d{6})\..*"
    obs_mode: Mapped[str | None] = fits_column("OBS-MODE", String, fold=True)
    source: Mapped[str | None] = fits_column("CAL-OBJ", String, fold=True)
    era: Mapped[str | None] = fits_column("INSTERA", String)
    session: Mapped[str | None] = fits_column("SESSION", String)
    exposure_time: Mapped[float | None] = fits_column("EXPTIME", Float, info={"unit": "s"})
    mjd_mid: Mapped[float | None] = fits_column("MJDMID", Float, info={"unit": "d"})
    valid_from: Mapped[float | None] = fits_column("VALFROM", Float, info={"unit": "d"})
    valid_to: Mapped[float | None] = fits_column("VALTO", Float, info={"unit": "d"})
    __table_args__ = (
        Index(None, "cal_type", "era", "mjd_mid"),
        Index(None, "cal_type", "era", "session", "obs_mode", "mjd_mid"),
        Index(None, "cal_type", "era", "obs_mode", "source", "mjd_mid"),
        Index(None, "cal_type", "valid_from"),
    )

    @classmethod
    def derive(cls, values):
        """Give what follows from the start; a static master that names no first day begins with it."""
        if (start := values.get("mjd_start")) is None:
            return values
        return {
            "mjd_mid": start + values.get("exposure_time", 0.0) / 172800,
            "era": next((era for era, begin, end in ERAS if begin <= start < end), None),
            "session": str(int(start - 7 / 24 - 0.5)),
            "valid_from": start if values.get("cal_type") in STATIC else None,
            **values,
        }


class NeidSelector(CalibrationSelector):
    """Of the same era, by the middle of the exposures."""

    match = ("era",)
    time = "mjd_mid"


class WaveSelector(NeidSelector):
    """Before and after the frame, of the first source that has both within its limit, else of the first with one."""

    cal_type = "wave"
    match = ("era", "obs_mode")
    direction = "bracket"
    same = ("source",)
    prefer = (
        Step({"source": "lfc"}, max_age=timedelta(days=1)),
        Step({"source": "etalon"}, max_age=timedelta(days=0.75)),
        Step({"source": "thar"}, max_age=timedelta(days=2)),
    )


selectors = [
    NeidSelector(cal_type="bias", max_age=timedelta(days=30)),
    NeidSelector(cal_type="dark", max_age=timedelta(days=90)),
    NeidSelector(cal_type="flat", match=("era", "session", "obs_mode")),
    WaveSelector(),
    *(CalibrationSelector(cal_type=name, validity=("valid_from", "valid_to")) for name in STATIC),
]
plugin = InstrumentPlugin(NeidCalibration, selectors, demo=write_night)


@hookimpl
def koa_register_instrument() -> InstrumentPlugin:
    """Give the plugin."""
    return plugin
