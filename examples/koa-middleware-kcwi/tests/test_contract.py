from koa_middleware.testing import PluginContract
from koa_middleware_kcwi import plugin


class TestKcwi(PluginContract):
    plugin = plugin
