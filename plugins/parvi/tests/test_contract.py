"""The plugin does what every plugin promises."""

from koa_middleware.testing import PluginContract
from koa_middleware_parvi import plugin


class TestPARVI(PluginContract):
    plugin = plugin
