"""KPF, the Keck Planet Finder: its calibrations, and which of them fits a frame."""

from __future__ import annotations

from pathlib import Path

from koa_middleware import InstrumentPlugin, hookimpl

from .eras import REFERENCES
from .orm import KPFCalibration
from .selectors import (
    BiasSelector,
    DarkSelector,
    EtalonmaskSelector,
    FlatSelector,
    OrdermaskSelector,
    OrdertraceSelector,
    ReferenceSelector,
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
    "ReferenceSelector",
    "SmoothlampSelector",
    "WlsSelector",
    "plugin",
]


def _demo(folder: Path) -> tuple[list[Path], list[Path]]:
    from .demo import write_night

    return write_night(folder)


#: What is applied to a frame, by its own type. Static references serve to make masters; they are asked for by name.
_IMAGES = ("bias", "dark", "flat", "smoothlamp", "ordermask")
NEEDS: dict[str | None, tuple[str, ...]] = {
    "bias": (),
    "dark": ("bias",),
    "flat": ("bias", "dark", "smoothlamp", "ordermask"),
    "arclamp": (*_IMAGES, "ordertrace"),
    "wls": ("rough_wls",),
    None: (*_IMAGES, "wls", "ordertrace", "etalonmask"),
}

#: The pipeline's cards in the primary header of a product, 2D and L1; ages are in days, negative for an older master.
PRODUCT_CARDS: dict[str, dict[str, str | tuple[str, str]]] = {
    "bias": {"file": "BIASFILE", "delta_days": "AGEBIAS"},
    "dark": {"file": "DARKFILE", "delta_days": "AGEDARK"},
    "flat": {"file": "FLATFILE", "delta_days": "AGEFLAT"},
    "wls": {"file": ("WLSFILE", "WLSFILE2"), "delta_days": ("AGEWLS", "AGEWLS2")},
}

#: What a master was made from; the keywords stand in the headers of both chips.
INPUTS = ("INPBIAS", "INPDARK", "INPFLAT", "ORDRMASK", "LAMPPATT", "ORDTRACE")

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
        *(ReferenceSelector(cal_type=cal_type) for cal_type in REFERENCES),
    ],
    demo=_demo,
    needs=NEEDS,
    product_cards=PRODUCT_CARDS,
    inputs=INPUTS,
)


@hookimpl
def koa_register_instrument() -> InstrumentPlugin:
    """Give the plugin."""
    return plugin
