"""Which HISPEC calibration fits a frame."""

from __future__ import annotations

from koa_middleware import CalibrationSelector, Step


class HISPECSelector(CalibrationSelector):
    """Same era, same spectrograph, the nearest master; where there is none, the nearest that is no master.

    A cryogenic instrument is another one after a warm-up, so an era is never crossed: the rule that GPI came to,
    and the HISPEC team's for its detector calibrations.
    """

    match = ("instrument_era", "spectrograph")
    prefer = (Step({"master_cal": True}), Step())


class DarkSelector(HISPECSelector):
    """Dark."""

    cal_type = "dark"


class BiasSelector(HISPECSelector):
    """Bias."""

    cal_type = "bias"


class RnSelector(HISPECSelector):
    """Read noise."""

    cal_type = "rn"


class GainSelector(HISPECSelector):
    """Gain."""

    cal_type = "gain"


class SaturationSelector(HISPECSelector):
    """Saturation level."""

    cal_type = "saturation"


class NonlinSelector(HISPECSelector):
    """Non-linearity."""

    cal_type = "nonlin"


class DetflatSelector(HISPECSelector):
    """Detector flat."""

    cal_type = "detflat"


class DqSelector(HISPECSelector):
    """Data quality: the bad pixels."""

    cal_type = "dq"


class FlatSelector(HISPECSelector):
    """Flat field."""

    cal_type = "flat"


class LfcWavesolSelector(HISPECSelector):
    """Wavelength solution from the laser frequency comb."""

    cal_type = "lfc_wavesol"


SELECTORS = [
    DarkSelector(),
    BiasSelector(),
    RnSelector(),
    GainSelector(),
    SaturationSelector(),
    NonlinSelector(),
    DetflatSelector(),
    DqSelector(),
    FlatSelector(),
    LfcWavesolSelector(),
]
