"""``koa-cal lock``, and ``--lock`` of other commands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
BOTH = ("--type", "dark", "--type", "flat")


@pytest.fixture
def lock(night: None, koa_cal: Run, frame: Path, tmp_path: Path) -> Path:
    """Give a lock file of the frame's dark and flat."""
    koa_cal("lock", frame, "-o", tmp_path / "night.lock", *BOTH).ended(0)
    return tmp_path / "night.lock"


@pytest.mark.usefixtures("night")
def test_lock_writes_what_is_chosen_and_says_what_is_missing(koa_cal: Run, frame: Path, tmp_path: Path) -> None:
    path = tmp_path / "night.lock"
    found = koa_cal("lock", frame, "-o", path).ended(1)
    assert found.out == f"1 frame with 2 calibrations written to {path}\n"
    assert [line.split(":")[1].strip() for line in found.err.splitlines()] == ["arc", "bias"]
    written = tomllib.loads(path.read_text())
    assert [each["filename"] for each in written["calibration"]] == ["dark-near.fits", "flat-before.fits"]
    assert koa_cal("lock", frame.parent, "-o", path).ended(2).said.count("already") == 1
    everything = koa_cal("lock", frame.parent, "-o", path, "--overwrite", "--type", "dark", "--json")
    assert len(everything.json["frames"]) == 8
    assert everything.json["path"] == str(path)


@pytest.mark.usefixtures("night")
def test_lock_writes_to_standard_output(koa_cal: Run, frame: Path) -> None:
    found = koa_cal("lock", "-o", "-", frame, "--type", "dark", "--use", "dark=dark-old.fits").ended(0)
    (choice,) = tomllib.loads(found.out)["frame"][0]["choices"]
    assert (choice["calibration"], choice["given_by_user"]) == ("dark-old.fits", True)
    assert found.err == ""


@pytest.mark.usefixtures("night", "arc_for_a_given_arm")
def test_lock_says_which_types_it_left_out_and_how_to_ask_for_them(koa_cal: Run, write: Run, tmp_path: Path) -> None:
    frame = write("unknown.fits", 61083.5, ARM="")
    told = "koa-cal: arc is left out; ask for it with --type arc --set arm=...\n"
    assert told in koa_cal("lock", frame, "-o", "-").err
    made = koa_cal("lock", frame, "-o", tmp_path / "night.lock", "--json")
    assert made.json["left_out"] == {"arc": ["arm"]}
    assert "left out" not in koa_cal("lock", frame, "-o", "-", "--type", "dark").err
    assert "left out" not in koa_cal("lock", frame, "-o", "-", "--set", "arm=red").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "No lock file is named"),
        (("-o", "new.lock"), "No frame is given"),
        (("--update", "new.lock", "frame.fits"), "--update is of all frames"),
        (("--check", "new.lock", "--type", "dark"), "--type is for a lock that is made"),
        (("--check", "new.lock", "--overwrite"), "--overwrite is for a lock that is made"),
        (("-o", "-", "frame.fits", "--json"), "no room for JSON"),
        (("-o", "new.lock", "--check", "new.lock"), "not allowed with"),
    ],
)
def test_what_does_not_go_together_is_said(koa_cal: Run, arguments: tuple[str, ...], said: str) -> None:
    found = koa_cal("lock", *arguments, "-i", "testspec").ended(2)
    assert said in found.out + found.err


def test_check_needs_no_frame_and_no_instrument(koa_cal: Run, lock: Path, frame: Path) -> None:
    frame.unlink()
    assert koa_cal("lock", "--check", lock).ended(0).out == f"{lock}, 1 frame: the same would be chosen now\n"
    koa_cal("flag", "dark-near.fits", "bad", "--reason", "hot", "-i", "testspec").ended(0)
    found = koa_cal("lock", "--check", lock).ended(1)
    assert "dark-near.fits is BAD (flagged by" in found.out
    assert "1 of 2 choices would differ now" in found.out
    assert "instead of dark-near.fits: dark-next.fits" in found.out
    told = koa_cal("lock", "--check", lock, "--json").ended(1).json
    assert [(each["kind"], each["cal_type"], each["frames"]) for each in told["causes"]] == [
        ("quality", "dark", ["frame.fits"])
    ]
    assert told["differences"] == [
        {"frame": "frame.fits", "cal_type": "dark", "side": None, "then": "dark-near.fits", "now": "dark-next.fits"}
    ]


def test_check_of_a_frame_compares_its_values(koa_cal: Run, lock: Path, frame: Path, write: Run) -> None:
    koa_cal("lock", "--check", lock, frame).ended(0)
    write("frame.fits", 61083.75)
    assert "its mjd_start is 61083.75, the lock's is 61083.5" in koa_cal("lock", "--check", lock, frame).ended(1).said


def test_update_writes_what_would_be_chosen_now(koa_cal: Run, lock: Path) -> None:
    before = lock.read_bytes()
    assert koa_cal("lock", "--update", lock).ended(0).said == f"koa-cal: {lock} is as it was\n"
    assert lock.read_bytes() == before
    koa_cal("flag", "dark-near.fits", "bad", "--reason", "hot", "-i", "testspec").ended(0)
    found = koa_cal("lock", "--update", lock).ended(0)
    assert "dark-near.fits is BAD" in found.out
    assert found.said == f"koa-cal: {lock} is written anew\n"
    assert b"dark-next.fits" in lock.read_bytes()
    koa_cal("lock", "--check", lock).ended(0)
    assert koa_cal("lock", "--update", lock, "--json").ended(0).json["updated"] is False


def test_update_says_what_is_missing_now(koa_cal: Run, lock: Path) -> None:
    for name in ("dark-near.fits", "dark-next.fits", "dark-old.fits", "dark-before.fits"):
        koa_cal("remove", name, "-i", "testspec")
    found = koa_cal("lock", "--update", lock).ended(1)
    assert "koa-cal: dark: none for frame.fits: " in found.err
    assert "instead of dark-near.fits: nothing" in found.out
    assert koa_cal("lock", "--update", lock, "--json").ended(1).json["missing"].keys() == {"dark"}
    assert "dark is still missing for frame.fits" in koa_cal("lock", "--check", lock).ended(0).out


@pytest.mark.filterwarnings("always")
def test_best_gives_what_the_lock_says(koa_cal: Run, lock: Path, frame: Path, write: Run, cache: Path) -> None:
    koa_cal("register", write("dark-now.fits", 61083.5, "dark"), "-i", "testspec").ended(0)
    assert "dark-now.fits" in koa_cal("best", frame, "--type", "dark").ended(0).out
    found = koa_cal("best", frame, "--lock", lock, "--json").ended(0)
    assert {name: each["filename"] for name, each in found.json["calibrations"].items()} == {
        "dark": "dark-near.fits",
        "flat": "flat-before.fits",
    }
    assert found.err == ""
    assert (
        f"{lock} has no frame other.fits" in koa_cal("best", write("other.fits", 61083.5), "--lock", lock).ended(1).err
    )
    koa_cal("flag", "dark-near.fits", "bad", "--reason", "hot", "-i", "testspec").ended(0)
    found = koa_cal("best", frame, "--lock", lock, "--no-download", "--type", "dark").ended(0)
    assert f"dark-near.fits is given as {lock} says, and its quality is BAD (flagged by" in found.err
    assert str(cache / "calibrations" / "dark-near.fits") in found.out


def test_get_gives_all_files_of_a_lock_or_lists_what_is_lost(koa_cal: Run, lock: Path, cache: Path) -> None:
    files = [str(cache / "calibrations" / name) for name in ("dark-near.fits", "flat-before.fits")]
    assert koa_cal("get", "--lock", lock).ended(0).out.splitlines() == files
    koa_cal("remove", "dark-near.fits", "-i", "testspec").ended(0)
    koa_cal("remove", "flat-before.fits", "-i", "testspec").ended(0)
    said = koa_cal("get", "--lock", lock).ended(1).said
    assert re.search(
        r"2 calibrations that are not to be had: withdrawn on [-0-9]+ by \w+ \(removed here\): dark-n", said
    )
    assert said.count("withdrawn") == 1
    assert "flat-before.fits (flat, its file is " in said
    assert "beside a lock file" in koa_cal("get", "dark-old.fits", "--lock", lock).ended(2).said
    assert "No calibrations are named" in koa_cal("get", "-i", "testspec").ended(2).said


@pytest.mark.filterwarnings("default::koa_middleware.QualityWarning")
def test_a_removed_file_is_found_in_the_quarantine_and_comes_back_from_there(
    koa_cal: Run, lock: Path, frame: Path, tmp_path: Path
) -> None:
    koa_cal("remove", "dark-near.fits", "-i", "testspec").ended(0)
    koa_cal("remove", "flat-before.fits", "-i", "testspec").ended(0)
    said = koa_cal("best", frame, "--lock", lock).ended(1).err
    assert len(said.splitlines()) == said.count("withdrawn on ") == 1
    assert said.startswith(f"koa-cal: dark, flat: {lock} names 2 calibrations")
    for name in ("dark-near.fits", "flat-before.fits"):
        aside = re.search(rf"{name} \(\w+, its file is (\S+)\)", said)
        assert aside
        (tmp_path / name).write_bytes(Path(aside[1]).read_bytes())
        assert f"{name} was here until" in koa_cal("register", tmp_path / name, "-i", "testspec").ended(0).err
    assert len(koa_cal("get", "--lock", lock).ended(0).out.splitlines()) == 2


def test_a_bundle_of_a_lock_serves_another_machine(
    koa_cal: Run, lock: Path, frame: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = koa_cal("bundle", "export", tmp_path / "night.tar", "--lock", lock, "--json").ended(0)
    assert sorted(made.json["exported"]) == ["dark-near.fits", "flat-before.fits"]
    monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(tmp_path / "other"))
    koa_cal("get", "--lock", lock).ended(1)
    koa_cal("bundle", "import", tmp_path / "night.tar").ended(0)
    paths = koa_cal("get", "--lock", lock).ended(0).out.split()
    assert [Path(path).read_bytes() for path in paths] == [
        (tmp_path / "cache" / "calibrations" / Path(path).name).read_bytes() for path in paths
    ]
    assert koa_cal("best", frame, "--lock", lock, "--json").ended(0).json["calibrations"].keys() == {"dark", "flat"}


def test_a_lock_of_nothing_is_said(koa_cal: Run, tmp_path: Path) -> None:
    path = tmp_path / "none.lock"
    for arguments in (("lock", "--check", path), ("get", "--lock", path), ("best", tmp_path, "--lock", path)):
        assert "none.lock cannot be read" in koa_cal(*arguments).ended(1).err
    path.write_text("format = 7\n")
    assert "the format 7" in koa_cal("get", "--lock", path).ended(2).said


def test_no_lock_stands_among_the_calibrations(koa_cal: Run, frame: Path, cache: Path) -> None:
    path = cache / "calibrations" / "night.lock"
    assert "in a folder of the cache's own files" in koa_cal("lock", frame, "--type", "dark", "-o", path).ended(2).said
    assert not path.exists()
