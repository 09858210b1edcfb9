"""The databases in which a plugin's query plans are read."""

from __future__ import annotations

from koa_middleware.testing.contract import _fresh_databases

from tests.conftest import DemoCalibration

CREATED = (
    "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'demo_calibrations' AND sql IS NOT NULL "
    "ORDER BY rowid"
)


def test_plans_are_read_in_several_orders_of_the_indexes_the_same_at_each_run() -> None:
    orders = [tuple(database.exec_driver_sql(CREATED).scalars()) for database in _fresh_databases(DemoCalibration)]
    assert len(set(orders)) > 4
    assert {frozenset(order) for order in orders} == {frozenset(orders[0])}
    assert orders[1] == orders[0][::-1]
    again = [tuple(database.exec_driver_sql(CREATED).scalars()) for database in _fresh_databases(DemoCalibration)]
    assert again == orders
