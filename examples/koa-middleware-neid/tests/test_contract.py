from koa_middleware.testing import PluginContract
from koa_middleware_neid import plugin


class TestNeid(PluginContract):
    plugin = plugin
