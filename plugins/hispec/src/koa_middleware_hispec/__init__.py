"""HISPEC (Keck Observatory): its calibrations, and which of them fits a frame."""

from __future__ import annotations

from pathlib import Path

from koa_middleware import InstrumentPlugin, hookimpl

from .orm import HISPECCalibration
from .selectors import (
    SELECTORS,
    BiasSelector,
    DarkSelector,
    DetflatSelector,
    DqSelector,
    FlatSelector,
    GainSelector,
    HISPECSelector,
    LfcWavesolSelector,
    NonlinSelector,
    RnSelector,
    SaturationSelector,
)

__all__ = [
    "BiasSelector",
    "DarkSelector",
    "DetflatSelector",
    "DqSelector",
    "FlatSelector",
    "GainSelector",
    "HISPECCalibration",
    "HISPECSelector",
    "LfcWavesolSelector",
    "NonlinSelector",
    "RnSelector",
    "SaturationSelector",
    "plugin",
]


def _demo(folder: Path) -> tuple[list[Path], list[Path]]:
    from .demo import write_night

    return write_night(folder)


plugin = InstrumentPlugin(ORM=HISPECCalibration, selectors=SELECTORS, demo=_demo)


@hookimpl
def koa_register_instrument() -> InstrumentPlugin:
    """Give the plugin."""
    return plugin
