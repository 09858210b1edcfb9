"""``koa-cal import-legacy``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import open_store

from tests.older_caches import first_era, make_database, unchanged

Run = Callable[..., Any]

KEYWORDS = {"INSTRUME": "testspec", "ARM": "BLUE"}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    return first_era(tmp_path / "older cache", "testspec", "testspec", KEYWORDS)


def test_a_cache_comes_in_by_one_command_and_again_changes_nothing(koa_cal: Run, older: Path) -> None:
    with unchanged(older):
        told = koa_cal("import-legacy", older, "--dry-run").ended(0).out
        assert told == "2 would be added, 0 would be completed, 0 would be updated, 0 unchanged, 0 files left\n"
        done = koa_cal("import-legacy", older).ended(0).out
        assert done == "2 added, 0 completed, 0 updated, 0 unchanged, 0 files left\n"
        again = koa_cal("import-legacy", older, "--json").ended(0).json
    assert (again["unchanged"], again["added"], again["dry_run"]) == (["mine.fits", "theirs.fits"], [], False)
    with open_store("testspec") as store:
        assert [each.id for each in store.query()] == ["a", "b"]


def test_a_file_that_is_left_is_told_and_the_exit_code_says_so_each_time(koa_cal: Run, older: Path) -> None:
    (older / "calibrations/mine.fits").unlink()
    for counts in ("1 added, 0 completed, 0 updated, 0 unchanged", "0 added, 0 completed, 0 updated, 1 unchanged"):
        found = koa_cal("import-legacy", older, "-i", "testspec").ended(1)
        assert found.out == f"{counts}, 1 file left\n"
        assert "mine.fits is missing" in found.said
    report = koa_cal("import-legacy", older, "-i", "testspec", "--json").ended(1).json
    assert list(report["failed"]) == ["mine.fits"]


def test_a_folder_that_is_no_cache_of_it_is_refused(koa_cal: Run, tmp_path: Path) -> None:
    assert "is no cache" in koa_cal("import-legacy", tmp_path / "nowhere", "-i", "testspec").ended(1).said
    make_database(tmp_path / "made", "other", "x", "testspec_calibrations.db")
    assert "has a table of the older" in koa_cal("import-legacy", tmp_path / "made").ended(1).said
