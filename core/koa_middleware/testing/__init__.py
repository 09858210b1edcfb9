"""What authors of plugins test with, and a PostgreSQL server for tests and demonstrations."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .contract import PluginContract
    from .fixtures import (
        DemoNight,
        add_record,
        clean_environment,
        demo_store,
        make_frame,
        store,
        write_columns,
        write_fits,
    )

__all__ = [
    "DemoNight",
    "PluginContract",
    "add_record",
    "clean_environment",
    "demo_store",
    "make_frame",
    "store",
    "write_columns",
    "write_fits",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # These need pytest, which the server does not.
    return getattr(import_module(f"{__name__}.{'contract' if name == 'PluginContract' else 'fixtures'}"), name)
