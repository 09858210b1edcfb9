"""Threads that write through one store, and readers beside a writer."""

from __future__ import annotations

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from koa_middleware import CalibrationStore
from sqlalchemy import event, insert

from tests.conftest import DemoCalibration, record, repetitions


def test_threads_that_write_through_one_store_wait_for_each_other(store: CalibrationStore[DemoCalibration]) -> None:
    store.local_db.add([record(f"{number}.fits") for number in range(4)])
    times = repetitions(20, 2000)

    def flag(number: int) -> None:
        for _ in range(times):
            store.flag(f"{number}.fits", "GOOD", "seen")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(flag, range(4)))
    with store.local_db.connect() as connection:
        said = "SELECT count(*) FROM demo_calibrations_feed WHERE op = 'flagged'"
        assert connection.exec_driver_sql(said).scalar_one() == 4 * times


def test_a_transaction_that_writes_much_shuts_readers_out_only_at_its_commit(
    store: CalibrationStore[DemoCalibration],
) -> None:
    store.local_db.add(record("before.fits"))
    known = store.local_db.query(filename="before.fits")[0].to_dict()
    rows = [{**known, "id": f"{n:06}" + "x" * 200, "filename": f"{n}.fits"} for n in range(10_000)]
    with store.local_db.begin() as connection:
        connection.execute(insert(DemoCalibration.table()), rows)
        with closing(sqlite3.connect(store.local_db.path, timeout=0)) as reader:
            assert reader.execute("SELECT filename FROM demo_calibrations").fetchall() == [("before.fits",)]


def test_a_database_that_was_put_back_is_read_and_written_from_then_on(
    store: CalibrationStore[DemoCalibration],
) -> None:
    database, path = store.local_db, store.local_db.path
    database.add(record("before.fits"))
    backup = path.with_suffix(".kept")
    shutil.copy(path, backup)
    database.add(record("lost.fits"))
    assert {each.filename for each in database.query()} == {"before.fits", "lost.fits"}
    backup.replace(path)
    assert [each.filename for each in database.query()] == ["before.fits"]
    with database.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM demo_calibrations").scalar() == 1
    store.flag("before.fits", "BAD", "stripes")
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT filename, quality FROM demo_calibrations").fetchall() == [("before.fits", "BAD")]


def test_a_traceback_that_is_kept_keeps_no_lock(store: CalibrationStore[DemoCalibration]) -> None:
    store.local_db.add([record("one.fits"), record("two.fits")])

    @event.listens_for(store.local_db.engine, "do_execute")
    def interrupt(cursor: sqlite3.Cursor, statement: str, parameters: Any, _context: Any) -> None:
        cursor.execute(statement, parameters)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept, store.local_db.begin() as connection:
        connection.exec_driver_sql("SELECT filename FROM demo_calibrations")
    with closing(sqlite3.connect(store.local_db.path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
    assert any("cursor" in each.frame.f_locals for each in kept.traceback)  # as a notebook keeps it
