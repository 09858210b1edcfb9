"""What an error of the local database says to do is true."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from koa_middleware import CacheError, CalibrationStore, DuplicateCalibrationError
from koa_middleware.database.hints import hint
from sqlalchemy import text

from tests.conftest import DemoCalibration, output_of, record, run_python

Store = CalibrationStore[DemoCalibration]


def said_of(store: Store, statement: str, values: dict[str, Any] | None = None) -> str:
    with pytest.raises(CacheError) as caught, store.local_db.session_manager() as session:
        session.execute(text(statement), values or {})
    return caught.value.hint


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("SELECT nothing FROM demo_calibrations", None),
        ("SELEKT 1", None),
        ("SELECT :a", {"a": object()}),
    ],
)
def test_a_statement_that_is_wrong_is_not_said_to_be_the_disks_fault(
    store: Store, statement: str, values: dict[str, Any] | None
) -> None:
    assert said_of(store, statement, values) == "Correct the statement; nothing was changed."


def test_a_row_that_another_version_of_the_plugin_would_fill_is_no_duplicate(store: Store) -> None:
    with store.local_db.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE demo_calibrations ADD COLUMN n_frames INTEGER")
        connection.exec_driver_sql(
            "CREATE TRIGGER strict BEFORE INSERT ON demo_calibrations WHEN NEW.n_frames IS NULL "
            "BEGIN SELECT RAISE(ABORT, 'NOT NULL constraint failed: demo_calibrations.n_frames'); END"
        )
    with pytest.raises(CacheError, match=r"NOT NULL .* n_frames|n_frames.*newer version"):
        store.local_db.add(record())
    with store.local_db.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER strict")
    store.local_db.add(record())
    with pytest.raises(DuplicateCalibrationError):
        store.local_db.add(record())


def test_a_folder_that_is_gone_is_said_to_be(open_demo: Callable[..., Store]) -> None:
    store = open_demo()
    store.close()
    shutil.rmtree(store.cache_dir)
    with pytest.raises(CacheError, match=r"The folder .*/database is gone"):
        store.query()


def test_nothing_is_advised_where_nothing_is_known(store: Store) -> None:
    assert hint("something new", store.local_db.path, 60) == ""


FEW = """
import resource, sys
from tests.conftest import DemoCalibration
from koa_middleware import CacheError, CalibrationStore
CalibrationStore(DemoCalibration, sys.argv[1]).close()
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
stores = []
try:
    while True:
        stores.append(CalibrationStore(DemoCalibration, sys.argv[1]))
        len(stores[-1].local_db)
except CacheError as error:
    print(error.hint)
"""


def test_too_many_open_files_are_named(tmp_path: Any) -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 40
    assert output_of(run_python(FEW, tmp_path)).startswith("Too many files are open in this process (ulimit -n)")


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions bind every user but root")
def test_a_folder_that_forbids_it_is_named(store: Store) -> None:
    store.local_db.path.parent.chmod(0o500)
    try:
        with pytest.raises(CacheError, match="Check the permissions"):
            store.local_db.add(record())
    finally:
        store.local_db.path.parent.chmod(0o700)
