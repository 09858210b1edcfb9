from koa_middleware.testing import PluginContract
from koa_middleware_lris import plugin


class TestLris(PluginContract):
    plugin = plugin
