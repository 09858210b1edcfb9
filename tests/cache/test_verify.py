"""What a verification tells of files, rows and the database, and whom it lets work meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore
from koa_middleware.database.kept_apart import conflicts_table
from koa_middleware.database.sqlite import make_read_only
from sqlalchemy import delete, event, insert

from tests.conftest import DemoCalibration, dark, record, repetitions

Store = CalibrationStore[DemoCalibration]
Open = Callable[..., Any]


def darks(store: Store, folder: Path, number: int, **how: Any) -> list[Path]:
    """Register some darks; gives their paths in the cache."""
    made = [dark(folder / "night", f"{each}.fits", 60000.0 + each) for each in range(number)]
    return [store.register_calibration(path, **how).path for path in made]


def forgotten(store: Store) -> None:
    """Let nothing be known of any file."""
    with store.local_db.begin() as connection:
        connection.exec_driver_sql("DELETE FROM demo_verified_files")


def test_what_is_learnt_is_written_at_once(store: Store, tmp_path: Path) -> None:
    darks(store, tmp_path, 4)
    forgotten(store)
    commits: list[Any] = []
    event.listen(store.local_db.engine, "commit", commits.append)
    assert store.verify().checked == 4
    assert len(commits) == 1
    commits.clear()
    assert store.verify().checked == 4
    assert commits == []


def test_a_verification_waits_for_no_writer_where_all_is_known(store: Store, tmp_path: Path) -> None:
    darks(store, tmp_path, 2)
    with closing(sqlite3.connect(store.local_db.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert store.verify().ok
        writer.execute("ROLLBACK")


def test_what_others_change_meanwhile_is_no_fault(store: Store, open_demo: Open, tmp_path: Path) -> None:
    darks(store, tmp_path, 5)
    busy, table = open_demo(), DemoCalibration.table()
    ended = threading.Event()

    def come_and_go() -> None:
        for number in range(repetitions(5, 1000)):
            path, one = busy.register_calibration(dark(tmp_path / "more", f"more{number % 5}.fits", 61000.0 + number))
            with busy.local_db.begin() as connection:
                connection.execute(delete(table).where(table.c.id == one.id))
            path.unlink()
        ended.set()

    other = threading.Thread(target=come_and_go)
    other.start()
    while not ended.is_set() and other.is_alive():
        report = store.verify()
        assert (report.bad, report.missing) == ({}, [])
    other.join()
    assert ended.is_set()


def test_a_lost_file_of_the_archive_is_told_from_one_that_never_came(open_demo: Open, tmp_path: Path) -> None:
    night = tmp_path / "night"
    store = open_demo(calibration_url=night.as_uri())
    (path, _) = darks(store, tmp_path, 2, origin="REMOTE")
    store.local_db.add(record("far.fits", mjd=60100.0, origin="REMOTE"))
    path.unlink()
    report = store.verify()
    assert (report.gone, report.not_here, report.missing, report.ok) == (["0.fits"], 2, [], True)
    store.get_calibration_by_id(store.local_db.query_by_filename("0.fits").id)
    assert store.verify().gone == []


def test_a_file_that_was_pruned_is_not_called_lost(open_demo: Open, tmp_path: Path) -> None:
    night = tmp_path / "night"
    store = open_demo(calibration_url=night.as_uri())
    (path,) = darks(store, tmp_path, 1, origin="REMOTE")

    os.utime(path, (1, 1))
    assert store.prune(max_size=0).removed == ["0.fits"]
    report = store.verify()
    assert (report.gone, report.not_here, report.ok) == ([], 1, True)


def test_a_local_file_that_the_shared_cache_has_is_not_missing(open_demo: Open, tmp_path: Path) -> None:
    keeper = open_demo(tmp_path / "shared")
    (path,) = darks(keeper, tmp_path, 1)
    store = open_demo(shared_cache_dir=tmp_path / "shared")
    (own,) = darks(store, tmp_path, 1)
    own.unlink()
    assert store.verify().missing == []
    path.unlink()
    assert store.verify().missing == ["0.fits"]


def test_quarantine_and_conflicts_are_listed_and_no_faults(store: Store) -> None:
    aside = store.cache_dir / "quarantine" / "dark.fits.0a0a0a0a"
    aside.parent.mkdir()
    aside.write_bytes(b"spoilt")
    values = {"id": "theirs", "filename": "dark.fits", "reason": "a LOCAL one has its name"}
    values["record"] = json.dumps({"id": "theirs", "filename": "dark.fits"})
    with store.local_db.begin() as connection:
        connection.execute(insert(conflicts_table(DemoCalibration)).values(values))
    report = store.verify()
    assert (report.quarantine, [one.id for one in report.conflicts], report.ok) == ([str(aside)], ["theirs"], True)
    assert report.to_dict()["conflicts"][0]["reason"] == "a LOCAL one has its name"


def test_a_damaged_page_of_the_database_is_a_fault_and_the_files_are_checked(open_demo: Open, tmp_path: Path) -> None:
    store = open_demo()
    darks(store, tmp_path, 2)
    path = store.local_db.path
    store.close()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE notes (said TEXT)")
        raw.execute("CREATE INDEX ix_notes ON notes (said)")
        raw.execute("INSERT INTO notes VALUES ('a note')")
        (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_notes'").fetchone()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = bytes(size)
    path.write_bytes(content)
    report = open_demo().verify()
    assert (report.checked, report.bad, report.ok) == (2, {}, False)
    assert report.database
    assert str(path) in report.database[0]


@pytest.mark.parametrize("spoilt", ["cut", "emptied", "a folder"])
def test_several_faults_are_all_told(store: Store, tmp_path: Path, spoilt: str) -> None:
    paths = darks(store, tmp_path, 4)
    for path in paths[1:3]:
        content = path.read_bytes()
        path.unlink()
        if spoilt == "a folder":
            path.mkdir()
        else:
            path.write_bytes(b"" if spoilt == "emptied" else content[:-1])
    paths[3].unlink()
    report = store.verify()
    assert (report.checked, sorted(report.bad), report.missing) == (3, ["1.fits", "2.fits"], ["3.fits"])
    assert report.faults == 3


def test_where_only_reading_is_possible_files_are_verified_all_the_same(store: Store, tmp_path: Path) -> None:
    darks(store, tmp_path, 2)
    forgotten(store)
    make_read_only(store.local_db.engine)
    report = store.verify()
    assert (report.checked, report.ok) == (2, True)


def test_a_folder_that_cannot_be_read_is_a_fault_and_the_files_are_checked(store: Store, tmp_path: Path) -> None:
    darks(store, tmp_path, 2)
    partial = store.cache_dir / "partial"
    shutil.rmtree(partial)
    partial.write_bytes(b"no folder")
    (store.cache_dir / "calibrations" / "nobodys.fits").write_bytes(b"content")
    report = store.verify()
    assert (report.checked, list(report.bad), report.without_record) == (2, [str(partial)], ["nobodys.fits"])
