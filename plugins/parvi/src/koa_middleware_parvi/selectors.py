"""Which PARVI calibration fits a frame: same type, same era, nearest; and what the type demands besides."""

from __future__ import annotations

from koa_middleware import CalibrationSelector


class DarkSelector(CalibrationSelector):
    """Dark of the same exposure time."""

    cal_type = "dark"
    match = ("instrument_era", "exptime")


class FullflatSelector(CalibrationSelector):
    """Flat of the full frame."""

    cal_type = "fullflat"
    match = ("instrument_era",)


class FiberflatSelector(CalibrationSelector):
    """Flat through the same fibre."""

    cal_type = "fiberflat"
    match = ("instrument_era", "fiber")


class LfcSelector(CalibrationSelector):
    """Laser-frequency-comb solution of the same fibre."""

    cal_type = "lfc"
    match = ("instrument_era", "fiber")
