"""``koa-cal check``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("night")


def test_a_night_is_one_table_of_what_its_frames_get_and_lack(koa_cal: Run, write: Run, tmp_path: Path) -> None:
    for number in range(3):
        write(f"frame{number}.fits", 61083.5 + number / 100).rename(_night(tmp_path) / f"frame{number}.fits")
    (_night(tmp_path) / "notes.txt").write_text("no frame")
    found = koa_cal("check", _night(tmp_path)).ended(1)
    assert "3 frames: 6 of 12 calibrations found" in found.out
    (dark,) = [line for line in found.out.splitlines() if "dark" in line.split()[:1]]
    assert dark.split()[:3] == ["dark", "BLUE", "dark-near.fits"]
    assert "3 frames" in dark
    assert "missing: 1 known, the nearest refused for arm" in found.out
    assert "missing: none is known" in found.out


def test_a_night_that_lacks_nothing_ends_well(koa_cal: Run, frame: Path) -> None:
    found = koa_cal("check", frame, "--type", "dark", "--type", "flat", "--json").ended(0).json
    assert (found["ok"], found["instrument"], found["not_here"]) == (True, "testspec", [])
    (one,) = found["frames"]
    assert one["frame"] == str(frame)
    assert one["calibrations"]["dark"]["configuration"] == {"arm": "BLUE"}
    assert one["calibrations"]["dark"]["filename"] == "dark-near.fits"


def test_what_is_not_on_this_disk_is_said(koa_cal: Run, frame: Path, cache: Path) -> None:
    (cache / "calibrations" / "dark-near.fits").unlink()
    found = koa_cal("check", frame, "--type", "dark").ended(0)
    assert "1 file is not here" in found.out
    assert "dark-near.fits (not here)" in found.out
    assert koa_cal("check", frame, "--type", "dark", "--json").ended(0).json["not_here"] == ["dark-near.fits"]


def test_a_frame_that_cannot_be_read_lacks_all_and_stops_no_other(koa_cal: Run, frame: Path, tmp_path: Path) -> None:
    found = koa_cal("check", tmp_path / "missing.fits", frame, "--type", "dark", "--json").ended(1).json
    assert [one["calibrations"]["dark"].get("error") for one in found["frames"]] == ["SourceFileError", None]


def test_a_folder_without_frames_is_an_error(koa_cal: Run, tmp_path: Path) -> None:
    said = koa_cal("check", _night(tmp_path), "-i", "testspec").ended(2).said
    assert "holds no FITS files" in said


def _night(folder: Path) -> Path:
    night = folder / "tonight"
    night.mkdir(exist_ok=True)
    return night


@pytest.mark.usefixtures("arc_for_a_given_arm")
def test_what_was_not_asked_for_is_said_with_how_to_ask(koa_cal: Run, write: Run) -> None:
    frame = write("unknown.fits", 61083.5, ARM="")
    found = koa_cal("check", frame).ended(1)
    assert "calibrations found; not asked for: arc" in found.out
    assert found.err == "koa-cal: arc is left out; ask for it with --type arc --set arm=...\n"
    assert koa_cal("check", frame, "--json").ended(1).json["left_out"] == {"arc": ["arm"]}
    given = koa_cal("check", frame, "--set", "ARM=RED", "--type", "arc", "--json").ended(0)
    assert (given.json["left_out"], given.err) == ({}, "")
    (one,) = given.json["frames"]
    assert (one["frame"], one["calibrations"]["arc"]["filename"]) == (str(frame), "arc-red.fits")


def test_a_value_that_is_given_holds_for_every_frame(koa_cal: Run, write: Run, tmp_path: Path) -> None:
    frames = [write(f"{number}.fits", 61083.5, ARM="") for number in range(2)]
    found = koa_cal("check", *frames, tmp_path / "missing.fits", "--type", "dark", "--set", "arm=RED", "--json")
    answers = [one["calibrations"]["dark"] for one in found.ended(1).json["frames"]]
    assert [each.get("filename") for each in answers] == ["dark-red.fits", "dark-red.fits", None]
    assert answers[2]["error"] == "SourceFileError"
    assert "colour" in koa_cal("check", *frames, "--set", "colour=RED").ended(2).said


def test_a_column_that_is_given_twice_is_wrong_usage(koa_cal: Run, frame: Path) -> None:
    found = koa_cal("check", frame, "--set", "arm=RED", "--set", "ARM=BLUE").ended(2)
    assert "ARM is given twice" in found.err


def test_what_a_fallback_chose_is_marked_and_noted_once(koa_cal: Run, process: Run, write: Run) -> None:
    koa_cal("register", write("bias.fits", 61083.0, "bias")).ended(0)
    frames = [write(f"{number}.fits", 61083.5) for number in range(3)]
    found = process("check", *frames, "--type", "bias").ended(0)
    assert "bias.fits (by fallback)" in found.out
    assert found.said == "koa-cal: bias: the fallback chose for 3 frames, since nothing fits by the rule\n"


def test_a_frame_that_is_named_twice_counts_once(koa_cal: Run, frame: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(frame.parent)
    night = _night(frame.parent)
    frame.rename(night / frame.name)
    line = ("check", f"tonight/{frame.name}", night, f"./tonight/{frame.name}", "--type", "dark")
    assert "1 frame: 1 of 1 calibrations found" in koa_cal(*line).ended(0).out


def test_what_is_no_file_in_a_folder_is_said(koa_cal: Run, frame: Path, tmp_path: Path) -> None:
    night = _night(tmp_path)
    frame.rename(night / "frame.fits")
    (night / "gone.fits").symlink_to(tmp_path / "nowhere.fits")
    os.mkfifo(night / "pipe.fits")
    (night / "folder.fits").mkdir()
    found = koa_cal("check", night, "--type", "dark").ended(0)
    assert "1 frame: 1 of 1" in found.out
    assert found.err.splitlines() == [
        f"koa-cal: {night}/folder.fits is left out: it is a folder",
        f"koa-cal: {night}/gone.fits is left out: it is a link to nothing",
        f"koa-cal: {night}/pipe.fits is left out: it is a named pipe, not a file",
    ]
