"""``koa-cal prefetch``."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.usefixtures("published")
def test_a_prefetch_says_what_will_come_and_brings_it(typed: Run, frame: Path, archive: Any) -> None:
    size = (archive.files / "dark.fits").stat().st_size
    found = typed("prefetch", frame, "--type", "dark", "--type", "FLAT").ended(0)
    said = rf"koa-cal: 2 calibrations: 2 files \({2 * size / 1000:.1f} kB\) to download; \S+ has [\d.]+ [kMGT]B free\n"
    assert re.fullmatch(said, found.err)
    assert found.out.startswith("2 downloaded")
    found = typed("prefetch", "--night", "2026-02-12", "--json").ended(0)
    assert found.json == {
        "downloaded": [],
        "cached": ["flat.fits", "dark.fits"],
        "failed": {},
        "unmatched": {},
        "left_out": {},
        "size": 0,
    }
    (archive.files / "late.fits").unlink()
    failing = typed("prefetch", "--since", "2026-02-12", "--json").ended(1)
    assert list(failing.json["failed"]) == ["late.fits"]
    assert "late.fits" in failing.err
    unmatched = typed("prefetch", frame, "--json").ended(1)
    assert sorted(unmatched.json["unmatched"]) == [f"{frame}, arc", f"{frame}, bias"]
    assert f"{frame}, arc: No arc fits" in unmatched.err


@pytest.mark.usefixtures("published")
def test_a_prefetch_shows_its_progress_on_a_terminal_only(command: Run, process: Run, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "observer", tmp_path / "another")
    line = ("prefetch", "--since", "2026-02-12", "-i", "testspec")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(**command(*line), stdout=subprocess.DEVNULL, stderr=theirs) as started:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # so Linux tells the end
            while read := os.read(ours, 1 << 16):
                shown += read
        os.close(ours)
    assert started.returncode == 0
    assert b"3 calibrations" in shown
    assert re.search(rb"100%.*B/s", shown)
    silent = process(*line, KOA_CALIBRATION_CACHE=str(tmp_path / "another")).ended(0)
    assert re.fullmatch(
        r"koa-cal: 3 calibrations: 3 files \(17\.3 kB\) to download; \S+ has [\d.]+ [kMGT]B free\n", silent.err
    )
    assert silent.out.startswith("3 downloaded")


@pytest.mark.usefixtures("published")
def test_a_prefetch_of_nothing_is_said(typed: Run) -> None:
    assert "No frames or times are given" in typed("prefetch").ended(2).said
    assert "0 calibrations" in typed("prefetch", "--night", "2020-01-01").ended(1).err
    assert typed("prefetch", "--night", "tonight").code == 2


@pytest.mark.parametrize("more", [("--since", "2026-02-12"), ("--until", "2026-02-12")])
def test_a_night_and_times_exclude_each_other(koa_cal: Run, more: tuple[str, str]) -> None:
    found = koa_cal("prefetch", "-i", "testspec", "--night", "2026-02-12", *more).ended(2)
    assert found.out == ""
    assert "--night" in found.said


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("fault", ["short", "missing", "foreign", "card"])
def test_a_first_frame_that_is_no_good_stops_no_other(koa_cal: Run, write: Run, frame: Path, fault: str) -> None:
    bad = write("bad.fits", 61083.5, INSTRUME="NIRC2" if fault == "foreign" else "TESTSPEC")
    if fault == "short":
        bad.write_bytes(bad.read_bytes()[:1000])
    elif fault == "missing":
        bad.unlink()
    elif fault == "card":
        bad.write_bytes(bad.read_bytes().replace(b"INSTRUME= 'TESTSPEC'", b"INSTRUME=  TEST SPEC "))
    found = koa_cal("prefetch", bad, frame, "--type", "dark", "--json").ended(1)
    assert found.json["cached"] == ["dark-near.fits"]
    assert list(found.json["unmatched"]) == [str(bad)]


@pytest.mark.usefixtures("night")
def test_a_frame_that_names_another_instrument_is_taken_when_it_is_forced(koa_cal: Run, write: Run) -> None:
    foreign = write("foreign.fits", 61083.5, INSTRUME="NIRC2")
    line = ("prefetch", foreign, "--type", "dark", "-i", "testspec")
    assert "koa-cal -i nirc2" not in koa_cal(*line).ended(1).err
    koa_cal(*line, "--force-instrument").ended(0)


@pytest.mark.parametrize("text", ["2026-02-12T03:00:00", "tonight"])
def test_a_night_is_a_day_alone(koa_cal: Run, text: str) -> None:
    said = koa_cal("prefetch", "--night", text, "-i", "testspec").ended(2).err
    assert said.endswith(f"{text!r} is not a UTC day such as 2026-02-12\n")


@pytest.mark.usefixtures("night")
def test_what_a_frame_like_another_will_need_is_fetched_before_it_is_taken(koa_cal: Run, frame: Path) -> None:
    line = ("prefetch", "--like", frame, "--type", "dark", "--type", "flat", "--json")
    assert koa_cal(*line, "--at", "2026-02-12T12:00:00").ended(0).json["cached"] == [
        "dark-near.fits",
        "flat-before.fits",
    ]
    later = koa_cal(*line, "--at", "2026-06-01T00:00:00").ended(1)
    assert "flat-" in later.json["cached"][0]
    assert "limit 5 d" in str(later.json["unmatched"])
    assert "has no time of day" in koa_cal(*line, "--at", "2026-06-01").ended(2).json["error"]["message"]
    assert "--like and --at" in koa_cal(*line).ended(2).json["error"]["message"]


@pytest.mark.usefixtures("night", "arc_for_a_given_arm")
def test_a_value_that_a_type_needs_may_be_given(koa_cal: Run, write: Run) -> None:
    frame = write("unknown.fits", 61083.5, ARM="")
    found = koa_cal("prefetch", frame, "--json").ended(1)
    assert found.json["left_out"] == {"arc": ["arm"]}
    assert "arc is left out; ask for it with --type arc --set arm=..." in found.err
    more = ("--type", "arc", "--set", "arm=RED", "--json")
    assert koa_cal("prefetch", frame, *more).ended(0).json["cached"] == ["arc-red.fits"]
    like = ("--like", frame, "--at", "2026-02-12T12:00:00")
    assert koa_cal("prefetch", *like, *more).ended(0).json["cached"] == ["arc-red.fits"]
    assert (
        "no frame"
        in koa_cal("prefetch", "--night", "2026-02-12", "-i", "testspec", *more).ended(2).json["error"]["message"]
    )
