import pytest
from koa_middleware.testing import add_record, clean_environment, demo_store, store, write_fits  # noqa: F401

from koa_middleware_esi import plugin as installed


@pytest.fixture
def plugin():
    return installed
