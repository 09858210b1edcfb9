"""Caches of the older koa_middleware, brought in."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, KoaMiddlewareError, SchemaWarning, SourceFileError
from koa_middleware.disk.checksums import digest_of

from tests.conftest import DemoCalibration, dark, dark_keywords, write_fits
from tests.older_caches import FIRST, ROWS, SECOND, add_row, first_era, make_database, second_era, unchanged

Store = CalibrationStore[DemoCalibration]
DATABASE = "demo_calibrations.db"
NAMES = ["mine.fits", "theirs.fits"]


class DemoSelector(CalibrationSelector):
    cal_type = "dark"


def values(store: Store) -> dict[str, tuple[Any, ...]]:
    return {each.id: (each.filename, each.origin, each.cal_version) for each in store.query()}


@pytest.mark.parametrize("make", [first_era, second_era])
def test_a_cache_of_either_era_comes_in_with_ids_names_versions_and_origins(
    make: Callable[[Path], Path], tmp_path: Path, store: Store
) -> None:
    older = make(tmp_path / "older")
    with unchanged(older):
        report = store.import_legacy(older)
        assert (report.added, report.ok) == (NAMES, True)
        assert store.import_legacy(older).unchanged == NAMES
    assert values(store) == {"a": ("mine.fits", "LOCAL", "002"), "b": ("theirs.fits", "REMOTE", "001")}
    mine = store.local_db.query_by_id("a")
    assert (mine.datetime_obs, mine.mjd_start, mine.master_cal) == ("2023-02-25T00:00:00.000", 60000.0, True)
    path = store.get_calibration_by_id("a").path
    assert mine.checksum == digest_of(path)
    assert store.verify().ok
    assert store.select({"cal_type": "dark", "mjd_start": 60000.2}, DemoSelector()).id == "a"


def test_what_a_dry_run_says_is_what_the_import_does(tmp_path: Path, store: Store) -> None:
    older = second_era(tmp_path / "older")
    (older / "calibrations/demo/mine.fits").unlink()
    with unchanged(store.cache_dir / "calibrations"):
        foreseen = store.import_legacy(older, dry_run=True)
    assert store.query() == []
    assert foreseen.to_dict() == store.import_legacy(older).to_dict()
    assert list(foreseen.failed) == ["mine.fits"]
    again = store.import_legacy(older, dry_run=True)
    assert (again.unchanged, list(again.failed)) == (["theirs.fits"], ["mine.fits"])


def test_columns_that_the_class_does_not_know_are_kept(tmp_path: Path, store: Store) -> None:
    older = second_era(tmp_path / "older")
    with closing(sqlite3.connect(older / "database" / DATABASE)) as connection, connection:
        connection.execute("ALTER TABLE demo ADD COLUMN raw BLOB")
        connection.execute("UPDATE demo SET raw = x'00ff' WHERE id = 'b'")
    store.import_legacy(older)
    with store.local_db.driver_connection() as connection:
        found = connection.execute("SELECT tray, raw FROM demo_calibrations ORDER BY id").fetchall()
    assert found == [("left", None), ("left", b"\x00\xff")]


def test_the_local_time_of_an_insertion_is_not_taken_for_the_archives(tmp_path: Path, store: Store) -> None:
    store.import_legacy(first_era(tmp_path / "older"))
    assert all(each.last_updated > "2026" for each in store.query())


def test_what_is_missing_unsafe_or_differs_is_told_and_left_and_comes_when_it_is_mended(
    tmp_path: Path, store: Store
) -> None:
    older = second_era(tmp_path / "older")
    files = older / "calibrations/demo"
    whole = {name: (files / name).read_bytes() for name in NAMES}
    (files / "mine.fits").unlink()
    (files / "theirs.fits").write_bytes(whole["theirs.fits"] + b"\0")
    add_row(older, "demo", DATABASE, id="c", filename="../x.fits", cal_type="dark", mjd_start=60000.0)
    write_fits(older / "calibrations/x.fits", dark_keywords())
    with unchanged(older):
        report = store.import_legacy(older)
    assert (report.added, report.ok) == ([], False)
    assert {name: said.split(".")[0] if name[0] == "." else said for name, said in report.failed.items()}.keys() == {
        *NAMES,
        "../x.fits",
    }
    assert "is missing" in report.failed["mine.fits"]
    assert "MD5" in report.failed["theirs.fits"]
    assert "path separator" in report.failed["../x.fits"]
    for name, content in whole.items():
        (files / name).write_bytes(content)
    again = store.import_legacy(older)
    assert (again.added, list(again.failed)) == (NAMES, ["../x.fits"])


def test_an_import_that_was_killed_is_completed_by_the_next(tmp_path: Path, store: Store) -> None:
    older = first_era(tmp_path / "older")
    (tmp_path / "one").mkdir()
    shutil.copytree(older / "database", tmp_path / "one/database")
    (tmp_path / "one/calibrations").mkdir()
    shutil.copy(older / "calibrations/mine.fits", tmp_path / "one/calibrations")
    assert store.import_legacy(tmp_path / "one").added == ["mine.fits"]
    (store.cache_dir / "calibrations/mine.fits").unlink()
    report = store.import_legacy(older)
    assert (report.completed, report.added) == (["mine.fits"], ["theirs.fits"])
    assert store.verify().ok


def test_what_stands_in_the_way_is_told_and_nothing_of_it_is_changed(tmp_path: Path, store: Store) -> None:
    mine = store.register_calibration(dark(tmp_path / "night", "mine.fits", 60000.5)).calibration
    report = store.import_legacy(older := first_era(tmp_path / "older"))
    assert (report.added, list(report.conflicts)) == (["theirs.fits"], ["mine.fits"])
    assert "another id" in report.conflicts["mine.fits"]
    assert store.local_db.query_by_filename("mine.fits").id == mine.id
    write_fits(older / "calibrations/theirs.fits", dark_keywords(60001.0, LAMP="changed"))
    for dry_run in (True, False):
        found = store.import_legacy(older, dry_run=dry_run)
        assert list(found.conflicts) == NAMES
        assert "another checksum" in found.conflicts["theirs.fits"]


JOURNAL = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
if sys.argv[2] == "wal":
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("UPDATE DemoDarks SET cal_version = '007' WHERE id = 'a'")
else:
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE DemoDarks SET cal_version = '009'")
    connection.execute("CREATE TABLE much (x)")
    connection.execute("INSERT INTO much SELECT randomblob(9000) FROM DemoDarks, DemoDarks, sqlite_master")
os._exit(0)
"""


@pytest.mark.parametrize(("kind", "version"), [("wal", "007"), ("journal", "002")])
def test_what_a_killed_writer_left_beside_the_database_counts_and_stays(
    kind: str, version: str, tmp_path: Path, store: Store
) -> None:
    older = first_era(tmp_path / "older")
    database = older / "database" / DATABASE
    subprocess.run([sys.executable, "-c", JOURNAL, database, kind], check=True)
    assert database.with_name(f"{DATABASE}-{kind}").stat().st_size > 0
    with unchanged(older):
        assert store.import_legacy(older).added == NAMES
    assert values(store)["a"] == ("mine.fits", "LOCAL", version)


def test_the_configured_cache_itself_may_hold_the_older_table(tmp_path: Path, open_demo: Any) -> None:
    older = second_era(tmp_path / "cache")
    with pytest.warns(SchemaWarning, match="koa-cal import-legacy"):
        store = open_demo(older)
    report = store.import_legacy(older)
    assert report.added == NAMES
    assert store.verify().ok
    assert store.import_legacy(older).unchanged == NAMES
    open_demo(older)
    with store.local_db.begin():  # whose lock another process must see after an import
        store.import_legacy(older, dry_run=True)
        assert _is_locked(store.local_db.path)


def _is_locked(path: Path) -> bool:
    script = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    return "locked" in done.stderr


def test_links_are_followed_to_files_and_dead_ones_are_missing(tmp_path: Path, store: Store) -> None:
    older = first_era(tmp_path / "older")
    files = older / "calibrations"
    (files / "mine.fits").rename(tmp_path / "elsewhere.fits")
    (files / "mine.fits").symlink_to(tmp_path / "elsewhere.fits")
    (files / "theirs.fits").unlink()
    (files / "theirs.fits").symlink_to(tmp_path / "nowhere.fits")
    report = store.import_legacy(older)
    assert (report.added, list(report.failed)) == (["mine.fits"], ["theirs.fits"])
    assert not (store.cache_dir / "calibrations/mine.fits").is_symlink()


def test_rows_without_an_id_or_with_anothers_id_or_name_are_told(tmp_path: Path, store: Store) -> None:
    older = tmp_path / "older"
    make_database(older, "demo", SECOND.replace(" PRIMARY KEY", ""), DATABASE)
    dark(older / "calibrations", "dark.fits")
    dark(older / "calibrations", "other.fits")
    whole = {"cal_type": "dark", "mjd_start": 60000.0, "origin": "LOCAL", "cal_version": "001"}
    for id_, name in (("a", "dark.fits"), ("b", "dark.fits"), ("a", "other.fits"), (None, "x.fits"), ("c", None)):
        add_row(older, "demo", DATABASE, id=id_, filename=name, **whole)
    report = store.import_legacy(older)
    assert report.added == ["dark.fits"]
    assert list(report.failed) == ["dark.fits (row 2)", "other.fits", "x.fits", "row 5"]
    assert "has no id" in report.failed["x.fits"]
    assert "has no filename" in report.failed["row 5"]


def test_values_that_no_column_of_the_class_can_have_are_told(tmp_path: Path, store: Store) -> None:
    older = first_era(tmp_path / "older")
    with closing(sqlite3.connect(older / "database" / DATABASE)) as connection, connection:
        connection.execute("UPDATE DemoDarks SET cal_type = 'spoon' WHERE id = 'a'")
        connection.execute("UPDATE DemoDarks SET quality = 'SOSO' WHERE id = 'b'")
    report = store.import_legacy(older)
    assert (report.added, sorted(report.failed)) == ([], NAMES)


def no_cache(folder: Path) -> None:
    folder.mkdir()


def text_as_database(folder: Path) -> None:
    no_table(folder)
    (folder / "database" / DATABASE).write_text("no database, but text " * 200)


def cut_off(folder: Path) -> None:
    database = first_era(folder) / "database" / DATABASE
    os.truncate(database, 5000)


def no_table(folder: Path) -> None:
    make_database(folder, "other", "x", DATABASE)


def two_tables(folder: Path) -> None:
    make_database(folder, "darks", FIRST, DATABASE)
    make_database(folder, "flats", FIRST, DATABASE)


@pytest.mark.parametrize("make", [no_cache, text_as_database, cut_off, no_table, two_tables])
def test_what_is_no_older_cache_is_refused_with_what_to_do(
    make: Callable[[Path], None], tmp_path: Path, store: Store
) -> None:
    make(tmp_path / "older")
    with unchanged(tmp_path / "older"), pytest.raises(SourceFileError) as caught:
        store.import_legacy(tmp_path / "older")
    assert caught.value.hint
    assert store.query() == []


def test_the_table_of_the_instruments_name_goes_before_others(tmp_path: Path, store: Store) -> None:
    older = second_era(tmp_path / "older")
    make_database(older, "flats", FIRST, "flats.db")
    assert store.import_legacy(older).added == NAMES


def test_a_cache_of_this_package_is_no_older_one(tmp_path: Path, store: Store, open_demo: Any) -> None:
    other = open_demo(tmp_path / "other")
    other.register_calibration(dark(tmp_path / "night"))
    with pytest.raises(KoaMiddlewareError, match="No database"):
        store.import_legacy(other.cache_dir)


def test_a_miss_names_the_command_until_the_older_rows_are_here(tmp_path: Path, open_demo: Any) -> None:
    older = second_era(tmp_path / "cache")
    with pytest.warns(SchemaWarning, match=rf"left {len(ROWS)} rows .* koa-cal import-legacy {older}"):
        store = open_demo(older)
    open_demo(older)  # tells it no second time
    with pytest.raises(KoaMiddlewareError, match="koa-cal import-legacy"):
        store.select({"mjd_start": 60000.2}, DemoSelector())
    store.import_legacy(older)
    assert store.select({"mjd_start": 60000.2}, DemoSelector()).id == "a"


def test_rows_of_another_table_beside_are_told_and_not_read(tmp_path: Path, store: Store) -> None:
    older = second_era(tmp_path / "older")
    make_database(older, "others", FIRST, DATABASE)
    add_row(older, "others", DATABASE, **ROWS[0])
    report = store.import_legacy(older)
    assert report.added == NAMES
    assert "1 in all, are not read" in report.failed["table others"]
    assert report.noticed == ["demo has no column tray; its values are kept, for no rule."]


def test_of_two_files_of_a_name_the_one_that_the_row_means_comes(tmp_path: Path, store: Store) -> None:
    older = second_era(tmp_path / "older")
    own = older / "calibrations" / "demo" / "mine.fits"
    shutil.copy(own, older / "calibrations" / "mine.fits")
    own.write_bytes(b"something else")
    assert store.import_legacy(older).added == NAMES


def test_a_database_of_any_name_is_found_and_a_table_that_no_store_may_open_is_named(tmp_path: Path) -> None:
    older = first_era(tmp_path / "older")
    (older / "database" / DATABASE).rename(older / "database" / "cals.sqlite")
    with CalibrationStore(DemoCalibration, tmp_path / "new") as store:
        assert store.import_legacy(older).added == NAMES
    with pytest.raises(KoaMiddlewareError, match="koa-cal import-legacy"):
        CalibrationStore(DemoCalibration, older, "cals.sqlite")
