"""DEMOSPEC, a spectrograph that does not exist: a whole plugin in one module."""

from datetime import timedelta

from koa_middleware import CalibrationSelector, InstrumentPlugin, ORMCalibration, fits_column, hookimpl
from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped


class DemospecCalibration(ORMCalibration):
    """The columns that DEMOSPEC adds to the common ones, and the FITS keywords that fill them."""

    instrument_name = "demospec"
    cal_types = ("bias", "arc")  # a file of another type is refused

    # fold=True: "Red", "RED " and "red" are one grating.
    grating: Mapped[str | None] = fits_column("GRATNAME", String, fold=True)
    # Of several keywords, the first that is there counts.
    binning: Mapped[int | None] = fits_column(("CCDBIN", "BINNING"), Integer)

    # For each selector an index: the columns that it compares, then the time.
    __table_args__ = (
        Index(None, "cal_type", "binning", "mjd_start"),
        Index(None, "cal_type", "grating", "binning", "mjd_start"),
    )


class BiasSelector(CalibrationSelector):
    """The nearest bias of the same binning, at most ten days away."""

    cal_type = "bias"
    match = ("binning",)
    max_age = timedelta(days=10)


class ArcSelector(CalibrationSelector):
    """The last arc before the frame, through the same grating, flagged as good."""

    cal_type = "arc"
    match = ("grating", "binning")
    require = {"quality": "GOOD"}
    direction = "before"


plugin = InstrumentPlugin(ORM=DemospecCalibration, selectors=[BiasSelector(), ArcSelector()])


@hookimpl
def koa_register_instrument() -> InstrumentPlugin:
    """Give the plugin; koa-middleware calls this when somebody asks for the instrument."""
    return plugin
