"""ESI: its calibrations, and which of them fits a frame."""

from koa_middleware import InstrumentPlugin, hookimpl

from .demo import write_night
from .orm import EsiCalibration
from .selectors import ArcSelector, BiasSelector, FlatSelector

plugin = InstrumentPlugin(
    ORM=EsiCalibration,
    selectors=[BiasSelector(), FlatSelector(), ArcSelector()],
    demo=write_night,
    # What a frame of a type asks for; None is a frame that is no calibration.
    needs={
        "bias": (),
        "flat": ("bias",),
        "arc": ("bias", "flat"),
        None: ("bias", "flat", "arc"),
    },
)


@hookimpl
def koa_register_instrument() -> InstrumentPlugin:
    """Give the plugin; koa-middleware calls this when somebody asks for the instrument."""
    return plugin
