"""``koa-cal flag``."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.usefixtures("night")
def test_a_bad_flagged_calibration_is_not_chosen_any_more_and_who_and_why_are_kept(koa_cal: Run, frame: Path) -> None:
    best = ("best", frame, "--type", "dark", "--json")
    assert koa_cal(*best).json["calibrations"]["dark"]["filename"] == "dark-near.fits"

    said = koa_cal("flag", "dark-near.fits", "bad", "--reason", "light  leak", "-i", "testspec").ended(0)
    assert said.out == "dark-near.fits is BAD: light  leak\n"
    assert koa_cal(*best).json["calibrations"]["dark"]["filename"] == "dark-next.fits"
    assert "its quality is BAD" in koa_cal("explain", frame, "--type", "dark").out

    assert koa_cal("flag", "dark-near.fits", "GOOD", "--reason", "was not", "-i", "testspec", "--json").json[
        "quality"
    ] == ("GOOD")
    assert koa_cal(*best).json["calibrations"]["dark"]["filename"] == "dark-near.fits"
    shown = koa_cal("show", "dark-near.fits", "-i", "testspec").out
    assert "light  leak" in shown
    assert "was not" in shown
    flags = koa_cal("show", "dark-near.fits", "-i", "testspec", "--json").json["flags"]
    assert [(flag["quality"], flag["reason"], flag["flagged_by"]) for flag in flags] == [
        ("BAD", "light  leak", getpass.getuser()),
        ("GOOD", "was not", getpass.getuser()),
    ]


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("options", [["bad"], ["bad", "--reason", " "], ["ugly", "--reason", "x"]])
def test_a_flag_without_a_reason_or_a_known_quality_is_wrong_usage(koa_cal: Run, options: list[str]) -> None:
    koa_cal("flag", "dark-near.fits", *options, "-i", "testspec").ended(2)
    assert koa_cal("show", "dark-near.fits", "-i", "testspec", "--json").json["quality"] == "GOOD"


@pytest.mark.usefixtures("cache")
def test_an_archives_calibration_is_not_flagged_without_the_archive(koa_cal: Run, write: Run) -> None:
    koa_cal("register", write("dark.fits", 61083.5, "dark"), "--origin", "REMOTE").ended(0)
    found = koa_cal("flag", "dark.fits", "bad", "--reason", "light leak", "-i", "testspec").ended(2)
    assert "dark.fits" in found.said
    assert koa_cal("show", "dark.fits", "-i", "testspec", "--json").json["quality"] == "GOOD"


@pytest.mark.usefixtures("night")
def test_what_clears_a_terminal_is_written_out(koa_cal: Run) -> None:
    found = koa_cal("flag", "dark-near.fits", "bad", "--reason", "x\x1b[31m", "-i", "testspec").ended(0)
    assert found.out.endswith("x\\x1b[31m\n")
