"""Threads that write through one store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from koa_middleware import CalibrationStore

from tests.conftest import DemoCalibration, record, repetitions


def test_threads_that_write_through_one_store_wait_for_each_other(store: CalibrationStore[DemoCalibration]) -> None:
    store.local_db.add([record(f"{number}.fits") for number in range(4)])
    times = repetitions(300, 2000)

    def flag(number: int) -> None:
        for _ in range(times):
            store.flag(f"{number}.fits", "GOOD", "seen")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(flag, range(4)))
    with store.local_db.connect() as connection:
        said = "SELECT count(*) FROM demo_calibrations_feed WHERE op = 'flagged'"
        assert connection.exec_driver_sql(said).scalar_one() == 4 * times
