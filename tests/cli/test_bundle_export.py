"""``koa-cal bundle export``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
