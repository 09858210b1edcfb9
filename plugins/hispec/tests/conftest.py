import pytest
from koa_middleware.testing import add_record, clean_environment, store, write_fits  # noqa: F401  (pytest finds them here)
from koa_middleware_hispec import plugin


@pytest.fixture(name="plugin")
def hispec():
    return plugin
