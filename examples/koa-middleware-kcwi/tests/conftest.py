import pytest
from koa_middleware.testing import add_record, clean_environment, store, write_fits  # noqa: F401
from koa_middleware_kcwi import plugin


@pytest.fixture(name="plugin")
def kcwi():
    return plugin
