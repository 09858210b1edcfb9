"""``koa-cal bundle`` and ``koa-cal prune``."""

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
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """Give a function that goes to a machine with an empty cache."""
    return lambda: monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(tmp_path / "elsewhere"))


def test_what_was_chosen_goes_to_another_machine(
    koa_cal: Run, night: None, tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    chosen = ["arc-red.fits", "--type", "dark", "--since", "2026-02-12", "--until", "2026-02-14"]
    found = koa_cal("bundle", "export", tmp_path / "some.tar", *chosen, *HERE, "--json").ended(0).json
    assert found["exported"] == ["arc-red.fits", "dark-red.fits", "dark-near.fits"]
    elsewhere()
    assert koa_cal("bundle", "import", tmp_path / "some.tar", *HERE).ended(0).out == (
        "3 added, 0 completed, 0 updated, 0 unchanged\n"
    )
    again = koa_cal("bundle", "import", tmp_path / "some.tar", *HERE, "--json").ended(0).json
    assert sorted(again["unchanged"]) == sorted(found["exported"])
    assert koa_cal("verify", *HERE, "--json").ended(0).json["checked"] == 3


def test_a_file_that_is_chosen_twice_goes_once(koa_cal: Run, night: None, tmp_path: Path) -> None:
    found = koa_cal("bundle", "export", tmp_path / "some.tar", "arc-red.fits", "--type", "arc", *HERE, "--json")
    assert found.ended(0).json["exported"] == ["arc-red.fits"]


def test_an_export_of_nothing_writes_nothing(koa_cal: Run, night: None, tmp_path: Path) -> None:
    assert "nothing matches" in koa_cal("bundle", "export", tmp_path / "no.tar", "--type", "bias", *HERE).ended(1).said
    assert "what is wanted" in koa_cal("bundle", "export", tmp_path / "no.tar", *HERE).ended(2).said
    assert "nosuch" in koa_cal("bundle", "export", tmp_path / "no.tar", "nosuch", *HERE).ended(1).said
    assert not (tmp_path / "no.tar").exists()


def test_conflicts_and_damage_are_told_line_by_line(
    koa_cal: Run, write: Run, night: None, tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    bundle = tmp_path / "some.tar"
    koa_cal("bundle", "export", bundle, "--type", "flat", *HERE).ended(0)
    data = bytearray(bundle.read_bytes())
    data[data.rindex(b"SIMPLE") + 2880] ^= 1
    bundle.write_bytes(data)
    elsewhere()
    koa_cal("register", write("flat-before.fits", 61090.0, "flat")).ended(0)
    found = koa_cal("bundle", "import", bundle, *HERE).ended(1)
    spoilt, conflict = found.err.splitlines()
    assert "flat-after.fits" in spoilt
    assert "checksum" in spoilt
    assert "flat-before.fits" in conflict
    assert found.out.startswith("0 added")


def test_what_is_no_bundle_is_one_line(koa_cal: Run, tmp_path: Path) -> None:
    (tmp_path / "some.tar").write_text("no tar")
    assert "some.tar" in koa_cal("bundle", "import", tmp_path / "some.tar", *HERE).ended(1).said
    assert "some.tar" in koa_cal("bundle", "import", tmp_path / "some.tar", *HERE, "--json").ended(1).said


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
    assert would[1].startswith("would go: 1 files")
    assert (cache / "calibrations" / "dark2.fits").exists()
    assert koa_cal("prune", *HERE, "--type", "dark", "--json").ended(0).json["removed"] == ["dark2.fits", "dark1.fits"]
    assert [path.name for path in (cache / "calibrations").iterdir()] == ["mine.fits"]
    path = Path(koa_cal("get", *HERE, "dark1.fits").ended(0).out.strip())
    assert path.read_bytes() == (served / "dark1.fits").read_bytes()


def test_a_size_that_cannot_be_reached_is_said(koa_cal: Run, served: Path, cache: Path) -> None:
    assert "LOCAL" in koa_cal("prune", *HERE, "--max-size", "1kB").ended(1).said
    assert [path.name for path in (cache / "calibrations").iterdir()] == ["mine.fits"]


def test_what_was_just_used_is_said_to_stay(koa_cal: Run, served: Path, cache: Path) -> None:
    shutil.copy(served / "dark1.fits", cache / "calibrations")
    assert "dark1.fits" in koa_cal("prune", *HERE, "--older-than", "0").ended(0).said


@pytest.mark.parametrize("text", ["", "many", "-5GB", "5PB", "1.2.3GB", "nan"])
def test_a_size_is_a_size(koa_cal: Run, text: str) -> None:
    assert "SIZE" in koa_cal("prune", *HERE, f"--max-size={text}").ended(2).err


@pytest.mark.parametrize("text", ["", "many", "-1", "nan", "1e99"])
def test_days_are_days(koa_cal: Run, text: str) -> None:
    assert "DAYS" in koa_cal("prune", *HERE, f"--older-than={text}").ended(2).err
