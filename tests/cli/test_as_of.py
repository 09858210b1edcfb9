"""``--as-of`` of each command that has it, and ``koa-cal show --history``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware.instrument.times import now_iso

Run = Callable[..., Any]

SPEC = ("-i", "testspec")


@pytest.fixture
def moment(koa_cal: Run, night: None) -> str:
    """Give a time, after which the nearest dark was flagged as bad."""
    before = now_iso()
    koa_cal("flag", "dark-near.fits", "bad", "--reason", "light leak", *SPEC).ended(0)
    return before


def test_each_command_answers_as_the_records_stood(koa_cal: Run, frame: Path, cache: Path, moment: str) -> None:
    then = ("--as-of", moment)
    dark = ("--type", "dark", "--json")
    chosen = [koa_cal("best", frame, *dark, *at).json["calibrations"]["dark"] for at in (then, ())]
    assert [Path(each["path"]).name == "dark-near.fits" for each in chosen] == [True, False]
    only_chosen = koa_cal("best", frame, *dark, *then, "--no-download").ended(0).json["calibrations"]["dark"]
    assert only_chosen["id"] == chosen[0]["id"]
    assert koa_cal("explain", frame, *dark, *then).ended(0).json["winner"]["id"] == chosen[0]["id"]
    assert "dark-near.fits" in koa_cal("check", frame, "--type", "dark", *then).ended(0).out
    assert "dark-near.fits" not in koa_cal("check", frame, "--type", "dark").out
    assert koa_cal("show", "dark-near.fits", *then, *SPEC, "--json").ended(0).json["quality"] == "GOOD"
    assert koa_cal("get", "dark-near.fits", *then, *SPEC).ended(0).out.strip() == str(
        cache / "calibrations" / "dark-near.fits"
    )
    listed = koa_cal("list", *then, *SPEC, "--json").ended(0).json["records"]
    assert {each["quality"] for each in listed if each["filename"] == "dark-near.fits"} == {"GOOD"}


def test_a_history_is_printed_a_line_for_each_event_and_as_json(koa_cal: Run, moment: str) -> None:
    added, flagged = koa_cal("show", "dark-near.fits", "--history", *SPEC).ended(0).out.splitlines()
    assert added[: len(moment)] < moment < flagged[: len(moment)]
    assert " UTC  added by " in added
    assert flagged.endswith("quality 'GOOD' to 'BAD': light leak")
    told = koa_cal("show", "dark-near.fits", "--history", *SPEC, "--json").ended(0).json
    assert [event["what"] for event in told] == ["added", "flagged"]


@pytest.mark.usefixtures("moment")
def test_a_time_of_which_nothing_is_known_is_wrong_usage(koa_cal: Run) -> None:
    assert "begins at 2" in koa_cal("list", "--as-of", "2001-01-01", *SPEC).ended(2).err
    assert "is not a UTC time" in koa_cal("list", "--as-of", "yesterday", *SPEC).ended(2).err
