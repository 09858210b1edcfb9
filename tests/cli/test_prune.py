"""``koa-cal prune``."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


HERE = ("-i", "testspec")


@pytest.fixture
def served(koa_cal: Run, write: Run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the archive's folder; its two files are in the cache, not used for 9 and 10 days, and a LOCAL one is."""
    koa_cal("register", write("mine.fits", 61083.0, "flat")).ended(0)
    files = [write(f"dark{n}.fits", 61083.0 + n, "dark") for n in (1, 2)]
    koa_cal("register", "--origin", "REMOTE", *files).ended(0)
    for days, path in enumerate(sorted((cache / "calibrations").glob("dark*")), 9):
        os.utime(path, (time.time() - days * 86400,) * 2)
    monkeypatch.setenv("KOA_CALIBRATION_URL", (tmp_path / "night").as_uri())
    return tmp_path / "night"


def test_pruning_tells_what_went_and_it_comes_back(koa_cal: Run, served: Path, cache: Path) -> None:
    would = koa_cal("prune", *HERE, "--older-than", "9.5", "--dry-run").ended(0).out.splitlines()
    assert would[0] == "dark2.fits"
    assert would[1].startswith("would remove 1 file (")
    assert (cache / "calibrations" / "dark2.fits").exists()
    assert koa_cal("prune", *HERE, "--type", "dark", "--json").ended(0).json["removed"] == ["dark2.fits", "dark1.fits"]
    assert [path.name for path in (cache / "calibrations").iterdir()] == ["mine.fits"]
    path = Path(koa_cal("get", *HERE, "dark1.fits").ended(0).out.strip())
    assert path.read_bytes() == (served / "dark1.fits").read_bytes()


def test_a_size_that_cannot_be_reached_is_said(koa_cal: Run, served: Path, cache: Path) -> None:
    assert "LOCAL" in koa_cal("prune", *HERE, "--max-size", "1kB").ended(1).said
    assert [path.name for path in (cache / "calibrations").iterdir()] == ["mine.fits"]


def test_what_could_not_come_again_is_said_to_stay(
    koa_cal: Run, served: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KOA_CALIBRATION_URL")
    kept, missed = koa_cal("prune", *HERE, "--max-size", "0").ended(1).err.splitlines()
    assert "kept 2 files, such as dark2.fits: no calibration URL is set" in kept
    assert "cannot be removed" in missed
    assert len(list((cache / "calibrations").iterdir())) == 3


def test_what_was_just_used_is_said_to_stay(koa_cal: Run, served: Path, cache: Path) -> None:
    shutil.copy(served / "dark1.fits", cache / "calibrations")
    assert "dark1.fits" in koa_cal("prune", *HERE, "--older-than", "0").ended(0).said


@pytest.mark.parametrize("text", ["", "many", "-5GB", "5PB", "1.2.3GB", "nan", "9" * 400])
def test_a_size_is_a_size(koa_cal: Run, text: str) -> None:
    assert "SIZE" in koa_cal("prune", *HERE, f"--max-size={text}").ended(2).err


@pytest.mark.parametrize("text", ["", "many", "-1", "nan", "1e99"])
def test_days_are_days(koa_cal: Run, text: str) -> None:
    assert "DAYS" in koa_cal("prune", *HERE, f"--older-than={text}").ended(2).err


def test_an_archive_whose_folder_is_not_there_is_said_to_be_so(koa_cal: Run, served: Path) -> None:
    served.rename(served.with_name("unmounted"))
    said = koa_cal("prune", *HERE, "--type", "dark").ended(0).said
    assert f"the archive's folder {served} is not there" in said
    assert "publish" not in said
