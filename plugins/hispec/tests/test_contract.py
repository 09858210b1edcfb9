"""The plugin does what every plugin promises."""

from koa_middleware.testing import PluginContract
from koa_middleware_hispec import plugin


class TestHISPEC(PluginContract):
    plugin = plugin
