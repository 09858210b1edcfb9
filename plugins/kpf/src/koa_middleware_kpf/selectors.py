"""Which KPF calibration fits a frame.

Limits of age are those of the KPF pipeline. Frames and calibrations are compared by the middle of their exposures.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from koa_middleware import CalibrationNotFoundError, CalibrationSelector


class _KPFSelector(CalibrationSelector):
    match_if_known: tuple[str, ...] = ("kpf_era",)
    max_age = timedelta(days=5)
    time = "mjd_mid"


class _ImageSelector(_KPFSelector):
    """The standard stack, read as the frame was read; of level 2D, unless the input's `level` says otherwise."""

    match = ("level", "read_speed", "amplifiers")


class BiasSelector(_ImageSelector):
    """Master bias."""

    cal_type = "bias"
    require: Mapping[str, Any] = {"object": "autocal-bias"}


class DarkSelector(_ImageSelector):
    """Master dark; it is normalised by the exposure time, so that any one serves."""

    cal_type = "dark"
    require: Mapping[str, Any] = {"object": "autocal-dark"}


class FlatSelector(_ImageSelector):
    """Master flat."""

    cal_type = "flat"
    require: Mapping[str, Any] = {"object": "autocal-flat-all"}


class SmoothlampSelector(_ImageSelector):
    """Smooth lamp pattern."""

    cal_type = "smoothlamp"
    require: Mapping[str, Any] = {"object": "smoothlamp"}


class OrdermaskSelector(_ImageSelector):
    """Order mask."""

    cal_type = "ordermask"
    require: Mapping[str, Any] = {"object": "ordermask"}


class OrdertraceSelector(_KPFSelector):
    """Order trace of one chip: give the input a `chip`, ``GREEN`` or ``RED``, which no frame holds."""

    cal_type = "ordertrace"
    given = ("chip",)
    match_if_known = ("kpf_era", "read_speed", "amplifiers")


class WlsSelector(_KPFSelector):
    """Wavelength solution of an evening or a morning, never from across a service mission.

    It comes from the laser frequency comb; where none fits, and only then, from the thorium-argon lamp within the
    same limits.
    """

    cal_type = "wls"
    match = ("read_speed", "service_interval")
    require: Mapping[str, Any] = {"lamp": "lfc", "fiber": "all", "session": ("eve", "morn")}
    max_age = timedelta(days=2)

    def select_fallback(self, input: Mapping[str, Any], db: Any) -> Any:
        """Give the nearest thorium-argon solution."""
        if self.require["lamp"] == "thar":
            return None
        rule = WlsSelector(require={**self.require, "lamp": "thar"}, max_age=self.max_age, direction=self.direction)
        with suppress(CalibrationNotFoundError):
            return rule.select(input, db)
        return None


class EtalonmaskSelector(_KPFSelector):
    """Etalon mask of one fibre, nearest to the wavelength solution that the frame gets, not to the frame.

    Give the input a `fiber` (``cal``, ``sci1``, ``sci2``, ``sci3``), which no frame holds.
    """

    cal_type = "etalonmask"
    match = ("service_interval",)
    given = ("fiber",)
    max_age = timedelta(days=2)
    anchor = "wls"
