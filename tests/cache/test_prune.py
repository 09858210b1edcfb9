"""Pruning: what goes, what stays, and that what went comes back."""

from __future__ import annotations

import mmap
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore, ORMCalibration
from koa_middleware.exceptions import CacheError
from sqlalchemy import delete, event

from tests.conftest import DemoCalibration, dark, files_under, output_of, run_python

Store = CalibrationStore[DemoCalibration]
EVERYTHING = timedelta(0)


class NeighbourCalibration(ORMCalibration):
    """A calibration of another instrument that shares the cache."""

    instrument_name = "neighbour"


@pytest.fixture
def store(open_demo: Callable[..., Any], tmp_path: Path) -> Store:
    """Give a store with a LOCAL and three REMOTE files of 8640 bytes, used 4, 3, 2 and 1 days ago; all are served."""
    served = tmp_path / "served"
    served.mkdir()
    store: Store = open_demo(calibration_url=served.as_uri())
    for days, (name, origin) in enumerate(
        [("newest", "REMOTE"), ("middle", "REMOTE"), ("oldest", "REMOTE"), ("mine", "LOCAL")], 1
    ):
        more = {"CALTYPE": "flat"} if name == "newest" else {}
        path, _ = store.register_calibration(
            dark(tmp_path / "night", f"{name}.fits", 60000.0 + days, **more), origin=origin
        )
        if origin == "REMOTE":
            shutil.copy(path, served)
        used(path, days)
    return store


def used(path: Path, days: float) -> None:
    """Make a file look as if it was last used so long ago."""
    os.utime(path, (time.time() - 86400 * days,) * 2)


def here(store: Store) -> set[str]:
    return {path.stem for path in (store.cache_dir / "calibrations").iterdir()}


def file_size(store: Store) -> int:
    return store.query(filename="oldest.fits")[0].file_size


def test_what_went_comes_back_when_it_is_needed(store: Store) -> None:
    report = store.prune(older_than=EVERYTHING)
    assert report.removed == ["oldest.fits", "middle.fits", "newest.fits"]
    assert here(store) == {"mine"}
    assert len(store.local_db) == 4
    record = store.query(filename="oldest.fits")[0]
    path = store.get_calibration_by_id(record.id).path
    assert path.stat().st_size == record.file_size
    assert store.verify().ok


@pytest.mark.parametrize("limit", [{"max_size": 0}, {"older_than": EVERYTHING}, {"cal_type": "dark"}])
def test_local_files_never_go(store: Store, limit: dict[str, Any]) -> None:
    assert store.prune(**limit).removed
    assert "mine" in here(store)


def test_what_was_not_used_for_longest_goes_first_and_no_more_than_is_needed(store: Store) -> None:
    size = file_size(store)
    report = store.prune(max_size=3 * size)
    assert (report.removed, report.size, report.size_left) == (["oldest.fits"], size, 3 * size)
    assert store.prune(max_size=3 * size).removed == []
    store.get_calibration_by_id(store.query(filename="middle.fits")[0].id).path.read_bytes()
    used(store.get_local_filepath(store.query(filename="middle.fits")[0]), 0.5)
    assert store.prune(max_size=3 * size - 1).removed == ["newest.fits"]


def test_reading_a_file_counts_as_use(store: Store) -> None:
    path = store.cache_dir / "calibrations" / "oldest.fits"
    os.utime(path, (time.time() - 3600, path.stat().st_mtime))
    assert store.prune(older_than=timedelta(days=1.5)).removed == ["middle.fits"]


def test_a_limit_that_local_files_exceed_is_told_by_what_is_left(store: Store) -> None:
    report = store.prune(max_size=10)
    assert len(report.removed) == 3
    assert report.size_left == file_size(store)


def test_age_counts_whole_and_broken_days(store: Store) -> None:
    assert store.prune(older_than=timedelta(days=2.5)).removed == ["oldest.fits"]
    assert store.prune(older_than=timedelta(days=2.5)).removed == []


def test_a_type_alone_means_all_of_it_and_else_narrows_the_limits(store: Store) -> None:
    assert store.prune(cal_type="FLAT", max_size=10**9).removed == []
    assert store.prune(cal_type="dark", older_than=timedelta(days=2.5)).removed == ["oldest.fits"]
    assert store.prune(cal_type="flat").removed == ["newest.fits"]
    assert here(store) == {"mine", "middle"}


def test_a_dry_run_tells_the_same_and_removes_nothing(store: Store) -> None:
    (store.cache_dir / "partial" / (32 * "a")).write_bytes(b"left")
    used(store.cache_dir / "partial" / (32 * "a"), 3)
    before = files_under(store.cache_dir)
    would = store.prune(older_than=EVERYTHING, dry_run=True)
    assert files_under(store.cache_dir) == before
    did = store.prune(older_than=EVERYTHING)
    assert {**would.to_dict(), "dry_run": False} == did.to_dict()
    assert files_under(store.cache_dir) != before


def test_without_limits_only_leftovers_go(store: Store) -> None:
    assert store.prune().removed == []
    assert len(here(store)) == 4


def test_nothing_goes_that_could_not_come_again(store: Store, open_demo: Callable[..., Any]) -> None:
    local = open_demo(store.cache_dir)
    report = local.prune(older_than=EVERYTHING)
    assert report.removed == local.prune().removed == []
    assert report.unseen
    assert set(report.unseen) == set(store.prune(older_than=EVERYTHING, dry_run=True).removed)
    assert len(here(store)) == 4


def test_a_file_that_was_just_used_stays(store: Store) -> None:
    used(store.cache_dir / "calibrations" / "oldest.fits", 5 / 1440)
    report = store.prune(older_than=EVERYTHING)
    assert report.in_use == ["oldest.fits"]
    assert here(store) == {"mine", "oldest"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which files are open")
@pytest.mark.parametrize("kind", ["open", "mapped"])
def test_a_file_that_is_being_read_stays(store: Store, kind: str) -> None:
    path = store.cache_dir / "calibrations" / "oldest.fits"
    stream: Any = path.open("rb")
    if kind == "mapped":
        with stream:
            stream = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    with stream:
        used(path, 30)
        assert store.prune(older_than=EVERYTHING).in_use == ["oldest.fits"]
        assert path.exists()
    assert store.prune(older_than=EVERYTHING).removed == ["oldest.fits"]


def test_the_file_of_a_withdrawn_record_goes_and_one_of_nobody_stays(store: Store) -> None:
    assert store.verify().ok  # which knows the files by their present times
    assert store.prune(older_than=EVERYTHING, dry_run=True).unseen == []  # as it looks into the archive
    for path in (store.cache_dir / "calibrations").iterdir():
        os.utime(path, ns=(path.stat().st_mtime_ns,) * 2)
    table = DemoCalibration.table()
    with store.local_db.begin() as connection:  # as a sync does it
        connection.execute(delete(table).where(table.c.filename.in_(["oldest.fits", "mine.fits", "middle.fits"])))
    calibrations = store.cache_dir / "calibrations"
    (calibrations / "nobodys.fits").write_bytes(b"put here by hand")
    (calibrations / "middle.fits").write_bytes(b"put here by hand, too")
    for name in ("nobodys", "middle"):
        used(calibrations / f"{name}.fits", 9)
    assert store.prune(older_than=EVERYTHING).removed == ["oldest.fits", "newest.fits"]
    assert here(store) == {"mine", "middle", "nobodys"}


@pytest.mark.parametrize("origin", ["LOCAL", "REMOTE"])
def test_a_file_that_another_instrument_names_stays(store: Store, origin: str) -> None:
    with CalibrationStore(NeighbourCalibration, store.cache_dir) as neighbour:
        record = NeighbourCalibration(filename="oldest.fits", cal_type="dark", mjd_start=60000.0, origin=origin)
        neighbour.local_db.add(record)
    assert store.prune(older_than=EVERYTHING).removed == ["middle.fits", "newest.fits"]
    assert here(store) == {"mine", "oldest"}


def test_a_database_that_cannot_be_read_stops_it(store: Store) -> None:
    other = store.cache_dir / "database" / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE other_calibrations (filename TEXT)")
    connection.close()
    other.write_bytes(other.read_bytes()[:100] + bytes(other.stat().st_size - 100))
    with pytest.raises(CacheError, match=r"other\.db"):
        store.prune(older_than=EVERYTHING)
    assert len(here(store)) == 4


def test_what_dead_processes_left_goes_after_a_day(store: Store) -> None:
    partial = store.cache_dir / "partial"
    ended = 2**22 + 1  # above the largest process number
    from koa_middleware.disk.owners import HOST

    dead, living = f"{HOST}-{ended}", f"{HOST}-{os.getpid()}"
    ages = {
        f"key.{dead}.0a0a0a0a..part": 2,
        f"key.{dead}.0b0b0b0b..part": 0.5,
        "key.released.0c0c0c0c.YQ.part": 2,
        f"key.{living}.0d0d0d0d..part": 0.5,
        32 * "a": 2,
        32 * "b": 0.5,
        "README": 9,
    }
    for name, days in ages.items():
        (partial / name).write_bytes(b"12345")
        used(partial / name, days)
    folder = partial / (32 * "c")
    folder.mkdir()
    (folder / "saved.fits").write_bytes(b"1234567890")
    used(folder / "saved.fits", 3)
    used(folder, 3)
    report = store.prune()
    gone = [32 * "a", 32 * "c", "key.released.0c0c0c0c.YQ.part", f"key.{dead}.0a0a0a0a..part"]
    assert sorted(report.leftovers) == sorted(gone)
    assert report.leftover_size == 5 + 10 + 5 + 5
    assert {path.name for path in partial.iterdir()} == ages.keys() - set(gone)


#: Tries to write to a database, without waiting; says whether it could.
INTRUDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    connection.execute("BEGIN IMMEDIATE")
    print("wrote")
except sqlite3.OperationalError as error:
    print(error)
"""


def test_nobody_else_writes_between_the_decision_and_the_removal(store: Store, open_demo: Callable[..., Any]) -> None:
    open_demo(orm_class=NeighbourCalibration)
    said = []

    @event.listens_for(store.local_db.engine, "before_cursor_execute")
    def intrude(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("DELETE"):
            said.append(output_of(run_python(INTRUDER, store.local_db.path)).strip())

    assert len(store.prune(older_than=EVERYTHING).removed) == 3
    assert said == ["database is locked"]  # when the last of them is gone


@pytest.mark.parametrize("folder", ["calibrations", "partial"])
@pytest.mark.parametrize("fault", ["missing", "a file", "a loop"])
def test_a_folder_that_is_none_is_said(store: Store, folder: str, fault: str) -> None:
    path = store.cache_dir / folder
    shutil.rmtree(path)
    if fault == "a file":
        path.write_text("no folder")
    elif fault == "a loop":
        path.symlink_to(path)
    with pytest.raises(CacheError, match=folder):
        store.prune(older_than=EVERYTHING)
