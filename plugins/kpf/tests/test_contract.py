"""The plugin does what every plugin promises."""

from koa_middleware.testing import PluginContract
from koa_middleware_kpf import plugin


class TestKPF(PluginContract):
    plugin = plugin
