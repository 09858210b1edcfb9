"""The indexes of the repository's plugins serve their selectors to the last compared column."""

from __future__ import annotations

import pytest
from koa_middleware import get_plugin
from koa_middleware.testing.contract import query_plan
from sqlalchemy import create_engine


@pytest.mark.parametrize("instrument", ["hispec", "kpf", "parvi"])
def test_no_compared_column_is_left_to_a_walk_along_the_index(instrument: str) -> None:
    pytest.importorskip(f"koa_middleware_{instrument}")
    plugin = get_plugin(instrument)
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        plugin.ORM.metadata.create_all(connection)
        for selector in plugin.selectors.values():
            lines = query_plan(connection, plugin, selector)
            probes = [line for line in lines if f"{selector.time}>?" in line]
            compared = {"cal_type", *selector.match, *selector.given}
            assert len(probes) == 2
            assert all(f"{name}=?" in probe for name in compared for probe in probes), (selector, probes)
    engine.dispose()
