"""PARVI (Palomar Observatory, 5.1 m): its calibrations, and which of them fits a frame.

PARVI's files are not at the Keck Observatory Archive: its stores are local, both URLs stay unset.
"""

from __future__ import annotations

from pathlib import Path

from koa_middleware import InstrumentPlugin, hookimpl

from .orm import PARVICalibration
from .selectors import DarkSelector, FiberflatSelector, FullflatSelector, LfcSelector

__all__ = [
    "DarkSelector",
    "FiberflatSelector",
    "FullflatSelector",
    "LfcSelector",
    "PARVICalibration",
    "plugin",
]


def _demo(folder: Path) -> tuple[list[Path], list[Path]]:
    from .demo import write_night

    return write_night(folder)


plugin = InstrumentPlugin(
    ORM=PARVICalibration,
    selectors=[DarkSelector(), FullflatSelector(), FiberflatSelector(), LfcSelector()],
    demo=_demo,
)


@hookimpl
def koa_register_instrument() -> InstrumentPlugin:
    """Give the plugin."""
    return plugin
