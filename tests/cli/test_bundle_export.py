"""``koa-cal bundle export``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


HERE = ("-i", "testspec")


def test_a_file_that_is_chosen_twice_goes_once(koa_cal: Run, night: None, tmp_path: Path) -> None:
    found = koa_cal("bundle", "export", tmp_path / "some.tar", "arc-red.fits", "--type", "arc", *HERE, "--json")
    assert found.ended(0).json["exported"] == ["arc-red.fits"]


def test_an_export_of_nothing_writes_nothing(koa_cal: Run, night: None, tmp_path: Path) -> None:
    assert (
        "no calibration matches"
        in koa_cal("bundle", "export", tmp_path / "no.tar", "--type", "bias", *HERE).ended(1).said
    )
    assert "No calibrations are named" in koa_cal("bundle", "export", tmp_path / "no.tar", *HERE).ended(2).said
    assert "nosuch" in koa_cal("bundle", "export", tmp_path / "no.tar", "nosuch", *HERE).ended(1).said
    assert not (tmp_path / "no.tar").exists()


def test_an_existing_file_takes_a_word_to_be_replaced(koa_cal: Run, night: None, tmp_path: Path) -> None:
    bundle = tmp_path / "some.tar"
    bundle.touch()
    chosen = ("bundle", "export", bundle, "--type", "dark", *HERE)
    assert "--overwrite" in koa_cal(*chosen).ended(2).said
    assert bundle.read_bytes() == b""
    koa_cal(*chosen, "--overwrite").ended(0)
    assert bundle.stat().st_size > 5000


def test_a_bundle_goes_from_standard_output_to_standard_input(command: Run, night: None, tmp_path: Path) -> None:
    export = command("bundle", "export", "-", "--type", "dark", *HERE)
    take_in = command("bundle", "import", "-", *HERE, KOA_CALIBRATION_CACHE=str(tmp_path / "elsewhere"))
    with subprocess.Popen(**export, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sending:
        assert sending.stdout is not None
        assert sending.stderr is not None
        taken = subprocess.run(**take_in, stdin=sending.stdout, capture_output=True, text=True, timeout=60, check=False)
        said = sending.stderr.read()
    assert (sending.returncode, taken.returncode) == (0, 0), said + taken.stderr
    assert said.endswith("written to standard output\n")
    assert taken.stdout.endswith(" added, 0 completed, 0 updated, 0 unchanged\n")


def test_nobody_reading_standard_output_is_no_traceback(command: Run, night: None) -> None:
    export = command("bundle", "export", "-", "--type", "dark", *HERE)
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(**export, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_json_and_a_bundle_do_not_share_standard_output(koa_cal: Run, night: None) -> None:
    assert (
        "JSON" in koa_cal("bundle", "export", "-", "--type", "dark", *HERE, "--json").ended(2).json["error"]["message"]
    )


def test_what_frames_need_goes_into_one_bundle(koa_cal: Run, night: None, frame: Path, tmp_path: Path) -> None:
    found = koa_cal("bundle", "export", tmp_path / "some.tar", "--json", "--for", frame, frame).ended(1)
    assert sorted(found.json["exported"]) == ["dark-near.fits", "flat-before.fits"]
    assert "arc" in found.err
    assert (tmp_path / "some.tar").is_file()


def test_a_type_narrows_what_frames_need(koa_cal: Run, night: None, frame: Path, tmp_path: Path) -> None:
    found = koa_cal("bundle", "export", tmp_path / "some.tar", "--type", "Dark", "--json", "--for", frame).ended(0)
    assert found.json["exported"] == ["dark-near.fits"]


@pytest.mark.usefixtures("night", "arc_for_a_given_arm")
def test_a_value_that_a_type_needs_may_be_given(koa_cal: Run, write: Run, tmp_path: Path) -> None:
    frame, line = write("unknown.fits", 61083.5, ARM=""), ("bundle", "export", tmp_path / "some.tar", "--json")
    assert "arc is left out; ask for it with --type arc --set arm=..." in koa_cal(*line, "--for", frame).err
    found = koa_cal(*line, "--overwrite", "--type", "arc", "--set", "arm=RED", "--for", frame).ended(0)
    assert found.json["exported"] == ["arc-red.fits"]
