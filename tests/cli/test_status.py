"""``koa-cal status``."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationNotFoundError, InstrumentPlugin, open_store

Run = Callable[..., Any]


@pytest.mark.usefixtures("night")
def test_the_status_tells_folder_database_and_counts(koa_cal: Run, cache: Path) -> None:
    koa_cal("flag", "dark-near.fits", "bad", "--reason", "light leak", "-i", "testspec").ended(0)
    found = koa_cal("status", "-i", "testspec", "--json").ended(0).json
    assert found["instrument"] == "testspec"
    assert found["cache_dir"] == str(cache)
    assert Path(found["database"]) == cache / "database" / "testspec_calibrations.db"
    assert found["records"] == found["files_in_cache_dir"] == 7
    assert found["file_bytes"] == sum(path.stat().st_size for path in (cache / "calibrations").iterdir())
    assert found["last_updated"]
    assert [each["name"] for each in found["versions"]] == ["koa-middleware", "testspec"]
    counts = {(each["cal_type"], each["quality"]): each["records"] for each in found["counts"]}
    assert counts == {("arc", "GOOD"): 1, ("dark", "BAD"): 1, ("dark", "GOOD"): 3, ("flat", "GOOD"): 2}
    assert set(found["counts"][0]) == {"cal_type", "origin", "quality", "records", "newest"}

    shown = koa_cal("status", "-i", "testspec").ended(0)
    assert shown.err == ""
    assert str(cache) in shown.out
    assert re.search(r"^ *dark +LOCAL +GOOD +3 ", shown.out, re.MULTILINE)


def test_the_status_of_an_empty_cache_is_no_error(koa_cal: Run, testspec: InstrumentPlugin) -> None:
    assert koa_cal("status", "-i", testspec.name).ended(0).err == ""
    found = koa_cal("status", "-i", testspec.name, "--json").ended(0).json
    assert (found["records"], found["files_in_cache_dir"], found["counts"]) == (0, 0, [])


@pytest.mark.usefixtures("no_records")
def test_what_an_upgrade_could_not_apply_is_said(koa_cal: Run, cache: Path) -> None:
    koa_cal("status", "-i", "testspec").ended(0)
    with closing(sqlite3.connect(cache / "database" / "testspec_calibrations.db")) as database, database:
        database.execute("UPDATE koa_versions SET told = 'The column arm ...' WHERE name = 'testspec'")
    assert "The column arm ..." in koa_cal("status", "-i", "testspec").ended(0).out


@pytest.mark.usefixtures("no_records")
def test_a_table_of_the_older_koa_middleware_is_named_and_not_shown_as_nothing(koa_cal: Run, cache: Path) -> None:
    koa_cal("status", "-i", "testspec").ended(0)
    with sqlite3.connect(cache / "database" / "testspec_calibrations.db") as older:
        older.execute("CREATE TABLE testspec (id TEXT, filename TEXT)")
        assert koa_cal("status", "-i", "testspec").ended(0).err == ""
        older.execute("INSERT INTO testspec VALUES ('1', 'a.fits'), ('2', 'b.fits')")
        older.commit()
    older.close()
    said = "The older koa_middleware left 2 rows in its table testspec, which are not read; koa-cal import-legacy"
    told = koa_cal("status", "-i", "testspec").ended(0).said
    assert said in told.replace(" -i testspec", "")
    assert f"{cache} brings them in" in told
    with open_store("testspec") as store, pytest.raises(CalibrationNotFoundError, match=said):
        store.select({"mjd_start": 6e4, "arm": "BLUE"}, "dark")


@pytest.mark.usefixtures("night")
def test_the_records_of_a_shared_cache_are_not_counted_as_ones_own(
    koa_cal: Run, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KOA_SHARED_CALIBRATION_CACHE", str(cache))
    monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(tmp_path / "own"))
    found = koa_cal("status", "-i", "testspec", "--json").ended(0).json
    assert (found["records"], found["records_shared"]) == (0, 7)
