"""``koa-cal show``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import InstrumentPlugin

Run = Callable[..., Any]


@pytest.mark.usefixtures("night")
def test_a_record_is_shown_by_file_name_and_by_id(koa_cal: Run, testspec: InstrumentPlugin, cache: Path) -> None:
    by_name = koa_cal("show", "dark-near.fits", "-i", "testspec", "--json").ended(0).json
    by_id = koa_cal("show", by_name["id"], "-i", "testspec", "--json").ended(0).json
    assert by_id == by_name
    assert set(by_name) == {*testspec.ORM.column_names(), "path", "judged_here", "flags"}
    assert by_name["path"] == str(cache / "calibrations" / "dark-near.fits")
    assert by_name["arm"] == "BLUE"
    shown = koa_cal("show", "dark-near.fits", "-i", "testspec").ended(0)
    for column in testspec.ORM.column_names():
        assert [column, *str(by_name[column]).split()] in [line.split() for line in shown.out.splitlines()]


@pytest.mark.usefixtures("night")
def test_what_is_not_seen_in_a_reason_is_written_out(koa_cal: Run) -> None:
    koa_cal("flag", "dark-near.fits", "bad", "--reason", "leak\x1b[2J\nGOOD by keck", "-i", "testspec").ended(0)
    shown = koa_cal("show", "dark-near.fits", "-i", "testspec").ended(0).out
    assert shown.splitlines()[-1].endswith(r": leak\x1b[2J\nGOOD by keck")


@pytest.mark.usefixtures("night")
def test_a_history_ends_at_the_time_that_is_asked_for(koa_cal: Run) -> None:
    koa_cal("flag", "dark-near.fits", "bad", "--reason", "leak", "-i", "testspec").ended(0)
    asked = ("show", "dark-near.fits", "-i", "testspec", "--history", "--json")
    added, flagged = koa_cal(*asked).ended(0).json
    assert koa_cal(*asked, "--as-of", flagged["time"]).ended(0).json == [added, flagged]
    assert koa_cal(*asked, "--as-of", added["time"]).ended(0).json == [added]


def test_a_record_whose_file_is_not_here_is_shown_as_such(koa_cal: Run, add_records: Run) -> None:
    add_records(1)
    assert "not in the cache" in koa_cal("show", "dark-0000.fits", "-i", "testspec").ended(0).out
    assert koa_cal("show", "dark-0000.fits", "-i", "testspec", "--json").json["path"] is None
