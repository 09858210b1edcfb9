from koa_middleware.testing import PluginContract

from koa_middleware_esi import plugin


class TestContract(PluginContract):
    plugin = plugin
