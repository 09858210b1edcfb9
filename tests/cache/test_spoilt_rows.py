"""Rows that SQLite takes for sound and that are none: verify tells of them, and they are mended of what is known."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CacheError, CalibrationStore

from tests.conftest import DemoCalibration, dark, record

NAME = "bad.fits"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with two LOCAL darks, of which one was judged, and a record of the archive."""
    folder = tmp_path_factory.mktemp("template")
    with CalibrationStore(DemoCalibration, folder / "cache") as store:
        store.local_db.add(record("theirs.fits", 61000.0, origin="REMOTE"))
        store.register_calibration(dark(folder, "good.fits", 60001.0))
        _, bad = store.register_calibration(dark(folder, NAME, 60003.0, CALVER="007"))
        store.flag(bad.id, "BAD", "light leak")
    return folder / "cache"


@pytest.fixture
def cache(template: Path, tmp_path: Path) -> Path:
    """A cache of this test's own."""
    return Path(shutil.copytree(template, tmp_path / "cache"))


def database(cache: Path) -> Path:
    return cache / "database" / "demo_calibrations.db"


def by_sql(cache: Path, setting: str, name: str = NAME) -> None:
    """Change a row behind the store's back."""
    with closing(sqlite3.connect(database(cache))) as raw, raw:
        raw.execute(f"UPDATE demo_calibrations SET {setting} WHERE filename = ?", (name,))


def records(cache: Path) -> dict[str, dict[str, Any]]:
    with CalibrationStore(DemoCalibration, cache) as store:
        return {each.filename: each.to_dict() for each in store.query()}


#: Values that are none of their columns, as SQL sets them, and what a verification says of each.
SPOILT = {
    "quality = '@AD'": "its quality is '@AD', which is none of GOOD, BAD, UNKNOWN",
    "quality = 'bad'": "its quality is 'bad', which should be 'BAD'",
    "quality = 'BAD '": "its quality is 'BAD ', which should be 'BAD'",
    "quality = CAST(x'ff4f4f44' AS TEXT)": "its quality is b'\\xffOOD', bytes that are no text",
    "checksum = CAST(x'ff4f4f44' AS TEXT)": "its checksum is b'\\xffOOD', bytes that are no text",
    "spectrograph = CAST(x'ff4f4f44' AS TEXT)": "its spectrograph is b'\\xffOOD', bytes that are no text",
    "filename = x'6162ff'": "its filename is b'ab\\xff', bytes that are no text",
    "id = ''": "its id is '', which says nothing",
    "mjd_start = 'abc'": "its mjd_start is 'abc', which is text",
    "mjd_start = 50000.0": "its mjd_start is 50000.0, more than a day from the datetime_obs",
    "datetime_obs = 5": "its datetime_obs is '5', which is not a time",
    "cal_version = '1x'": "its cal_version is '1x', which is not a whole number",
    "last_updated = 'zzz'": "its last_updated is 'zzz', which is",
    "master_cal = 7": "its master_cal is 7, which is neither true nor false",
    "file_size = 'much'": "its file_size is 'much', which is text",
    "checksum = NULL, file_size = NULL": "its checksum is missing, and sha256:",
}
each_spoilt = pytest.mark.parametrize("setting", SPOILT)


@each_spoilt
def test_a_value_that_is_none_of_its_column_is_one_fault_of_its_row(cache: Path, setting: str) -> None:
    by_sql(cache, setting)
    (cache / "calibrations" / "good.fits").write_bytes(b"spoilt")
    with CalibrationStore(DemoCalibration, cache) as store:
        report = store.verify()
    (said,) = report.rows.values()
    assert SPOILT[setting] in said
    assert "good.fits" in report.bad
    assert [*report.bad] == ["good.fits"]


def test_rows_that_are_in_form_are_no_fault(cache: Path) -> None:
    with CalibrationStore(DemoCalibration, cache) as store:
        assert (store.verify().rows, store.verify().ok) == ({}, True)
    assert CalibrationStore.rebuild(DemoCalibration, cache).fault == ""


def test_text_that_can_not_be_read_is_an_error_that_names_the_rebuilding(cache: Path) -> None:
    by_sql(cache, "quality = CAST(x'ff4f4f44' AS TEXT)")
    with CalibrationStore(DemoCalibration, cache) as store, pytest.raises(CacheError) as caught:
        store.query()
    assert "koa-cal rebuild" in caught.value.hint


def with_a_spoilt_trigger(path: Path) -> None:
    name = b"demo_calibrations_feed_update"
    path.write_bytes(path.read_bytes().replace(name, name[:-2] + b"\x8ce"))


def test_a_name_in_the_schema_that_is_no_text_is_an_error_that_names_the_rebuilding(cache: Path) -> None:
    with_a_spoilt_trigger(database(cache))
    with pytest.raises(CacheError) as caught:
        CalibrationStore(DemoCalibration, cache)
    assert "koa-cal rebuild" in caught.value.hint


def test_a_database_whose_schema_is_no_text_is_made_anew(cache: Path) -> None:
    before = records(cache)
    with_a_spoilt_trigger(database(cache))
    assert CalibrationStore.rebuild(DemoCalibration, cache).ok
    assert records(cache) == before


@each_spoilt
@pytest.mark.parametrize("how", ["rebuild", "repair"])
def test_a_spoilt_row_is_mended_of_what_is_known(cache: Path, setting: str, how: str) -> None:
    before = records(cache)
    by_sql(cache, setting)
    if how == "rebuild":
        report = CalibrationStore.rebuild(DemoCalibration, cache)
        assert report.fault.startswith("rows are spoilt")
        assert report.ok, report.lost
    else:
        with CalibrationStore(DemoCalibration, cache) as store:
            assert len(store.verify(repair=True).mended) == 1
    after = records(cache)
    assert [NAME, *before] == [NAME, *after]
    changed = {name for name in after[NAME] if after[NAME][name] != before[NAME][name]}
    assert changed <= {"last_updated"}
    if how == "rebuild":
        with CalibrationStore(DemoCalibration, cache) as store:
            assert store.verify().ok
        assert CalibrationStore.rebuild(DemoCalibration, cache).fault == ""


def with_another_first_letter(cache: Path, what: str) -> None:
    """Change a letter of an id or a file name in the table's row, not in the index."""
    path, row = database(cache), records(cache)[NAME]
    start = path.read_bytes().index((row["id"] + row["filename"]).encode())
    place = start + (0 if what == "id" else len(row["id"]))
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("what", ["id", "filename"])
def test_what_an_index_holds_a_second_time_is_taken_from_it(cache: Path, what: str) -> None:
    before = records(cache)
    with_another_first_letter(cache, what)
    report = CalibrationStore.rebuild(DemoCalibration, cache)
    assert report.fault.startswith("it is damaged")
    assert records(cache) == before
    assert before[NAME][what] in " ".join(report.noticed)


def test_an_id_that_the_history_does_not_know_either_is_told(cache: Path) -> None:
    with closing(sqlite3.connect(database(cache))) as raw, raw:
        raw.execute("DELETE FROM demo_calibrations_feed")
    id_ = records(cache)[NAME]["id"]
    with_another_first_letter(cache, "id")
    report = CalibrationStore.rebuild(DemoCalibration, cache)
    assert not report.ok
    assert id_ in " ".join(report.lost.values())


def test_a_quality_that_the_history_does_not_know_is_told(cache: Path) -> None:
    with closing(sqlite3.connect(database(cache))) as raw, raw:
        raw.execute("DELETE FROM demo_calibrations_feed")
        raw.execute("UPDATE demo_calibrations SET quality = '@AD' WHERE filename = ?", (NAME,))
    with CalibrationStore(DemoCalibration, cache) as store:
        assert "koa-cal rebuild" in store.verify(repair=True).actions[NAME]
    report = CalibrationStore.rebuild(DemoCalibration, cache)
    assert "quality" in report.lost[NAME]


def test_a_row_of_which_too_much_is_lost_is_made_of_its_file_and_told(cache: Path) -> None:
    with closing(sqlite3.connect(database(cache))) as raw, raw:
        raw.execute("DELETE FROM demo_verified_files")
        raw.execute("UPDATE demo_calibrations SET filename = x'ff', checksum = 'x' WHERE filename = ?", (NAME,))
    report = CalibrationStore.rebuild(DemoCalibration, cache)
    assert not report.ok
    assert records(cache).keys() == {NAME, "good.fits", "theirs.fits"}


def test_a_repair_that_is_only_told_changes_no_row(cache: Path) -> None:
    by_sql(cache, "quality = '@AD'")
    before = records(cache)
    with CalibrationStore(DemoCalibration, cache) as store:
        report = store.verify(dry_run=True)
    assert report.actions[NAME] == "would be mended: its quality is now 'BAD'"
    assert report.mended == []
    assert records(cache) == before
