"""``koa-cal status``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import InstrumentPlugin

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
