"""KPF, the Keck Planet Finder: its calibrations, and which of them fits a frame."""

from __future__ import annotations

from pathlib import Path

from koa_middleware import InstrumentPlugin, hookimpl

from .orm import KPFCalibration
from .selectors import (
    BiasSelector,
    DarkSelector,
    EtalonmaskSelector,
    FlatSelector,
    OrdermaskSelector,
    OrdertraceSelector,
    SmoothlampSelector,
    WlsSelector,
)

__all__ = [
    "BiasSelector",
    "DarkSelector",
    "EtalonmaskSelector",
    "FlatSelector",
    "KPFCalibration",
    "OrdermaskSelector",
    "OrdertraceSelector",
    "SmoothlampSelector",
    "WlsSelector",
    "plugin",
]


def _demo(folder: Path) -> tuple[list[Path], list[Path]]:
    from .demo import write_night

    return write_night(folder)


plugin = InstrumentPlugin(
    ORM=KPFCalibration,
    selectors=[
        BiasSelector(),
        DarkSelector(),
        FlatSelector(),
        SmoothlampSelector(),
        OrdermaskSelector(),
        WlsSelector(),
        OrdertraceSelector(),
        EtalonmaskSelector(),
    ],
    demo=_demo,
)


@hookimpl
def koa_register_instrument() -> InstrumentPlugin:
    """Give the plugin."""
    return plugin
