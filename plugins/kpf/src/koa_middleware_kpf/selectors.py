"""Which KPF calibration fits a frame. Limits of age are the pipeline's; the middles of exposures are compared."""

from __future__ import annotations

from datetime import timedelta

from koa_middleware import CalibrationSelector, Step

from .eras import SERVICE_MISSIONS


class KPFSelector(CalibrationSelector):
    """At most five days away, of the same era where both are known."""

    time = "mjd_mid"
    match_if_known: tuple[str, ...] = ("kpf_era",)
    max_age = timedelta(days=5)


class StackSelector(KPFSelector):
    """The standard stack, read as the frame was read; of level 2D, unless the input's `level` says otherwise."""

    match = ("level", "read_speed", "amplifiers")


class BiasSelector(StackSelector):
    """Master bias."""

    cal_type = "bias"
    require = {"object": "autocal-bias"}


class DarkSelector(StackSelector):
    """Master dark; it is normalised by the exposure time, so that any one serves."""

    cal_type = "dark"
    require = {"object": "autocal-dark"}


class FlatSelector(StackSelector):
    """Master flat."""

    cal_type = "flat"
    require = {"object": "autocal-flat-all"}


class SmoothlampSelector(StackSelector):
    """Smooth lamp pattern."""

    cal_type = "smoothlamp"
    require = {"object": "smoothlamp"}


class OrdermaskSelector(StackSelector):
    """Order mask."""

    cal_type = "ordermask"
    require = {"object": "ordermask"}


class OrdertraceSelector(KPFSelector):
    """Order trace of one chip: give the input a `chip`, ``GREEN`` or ``RED``, which no frame holds."""

    cal_type = "ordertrace"
    given = ("chip",)
    match_if_known = ("kpf_era", "read_speed", "amplifiers")


class WlsSelector(KPFSelector):
    """Wavelength solutions of evenings or mornings, before and after the frame, of one lamp and one era.

    The lamp is the laser frequency comb, else thorium-argon. Where neither has both sides, one side is the answer.
    """

    cal_type = "wls"
    match = ("read_speed",)
    require = {"fiber": "all", "session": ("eve", "morn")}
    never_across = SERVICE_MISSIONS
    prefer = (Step({"lamp": "lfc"}), Step({"lamp": "thar"}))
    max_age = timedelta(days=2)
    direction = "bracket"
    same = ("lamp", "kpf_era")


class EtalonmaskSelector(KPFSelector):
    """Etalon mask nearest to the frame's wls, not to the frame; the input gives the `fiber`: ``cal``, ``sci1`` ..."""

    cal_type = "etalonmask"
    given = ("fiber",)
    never_across = SERVICE_MISSIONS
    max_age = timedelta(days=2)
    anchor = "wls"


class ReferenceSelector(CalibrationSelector):
    """A static reference, from its first day until another one takes over."""

    time = "mjd_mid"
    validity = ("valid_from", "valid_to")
