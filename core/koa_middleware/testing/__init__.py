"""What authors of plugins test with, and a PostgreSQL server for tests and demonstrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .contract import PluginContract

__all__ = ["PluginContract"]


def __getattr__(name: str) -> Any:
    if name == "PluginContract":  # needs pytest, which the server does not
        from .contract import PluginContract

        return PluginContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
