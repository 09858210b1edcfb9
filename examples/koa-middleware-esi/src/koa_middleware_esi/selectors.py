"""Which calibration of ESI fits a frame."""

from datetime import timedelta

from koa_middleware import CalibrationSelector, Step


class BiasSelector(CalibrationSelector):
    """The nearest bias of a detector that was read in the same way."""

    cal_type = "bias"
    match = ("binning", "amplifiers")
    max_age = timedelta(days=30)


class FlatSelector(CalibrationSelector):
    """The nearest flat of the dome in the same mode; where there is none, of the internal lamp on the same day."""

    cal_type = "flat"
    match = ("binning", "amplifiers", "mode")
    prefer = (
        Step({"light": "dome"}, max_age=timedelta(days=10)),
        Step({"light": "internal"}, max_age=timedelta(days=1)),
    )


class ArcSelector(CalibrationSelector):
    """The nearest arc through the same slit."""

    cal_type = "arc"
    match = ("binning", "amplifiers", "mode", "slit")
    max_age = timedelta(days=2)
