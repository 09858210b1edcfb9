from koa_middleware.testing import PluginContract
from koa_middleware_demospec import plugin


class TestDemospec(PluginContract):
    plugin = plugin
