"""What authors of plugins test with."""

from .contract import PluginContract

__all__ = ["PluginContract"]
