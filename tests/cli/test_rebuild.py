"""``koa-cal rebuild``, and that every command tells of a database that was lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def database() -> Path:
    return Path(os.environ["KOA_CALIBRATION_CACHE"]) / "database" / "testspec_calibrations.db"


@pytest.mark.usefixtures("night")
def test_a_sound_database_is_said_to_be(koa_cal: Run) -> None:
    assert "is sound; nothing was changed" in koa_cal("rebuild", "-i", "testspec").ended(0).out
    assert koa_cal("rebuild", "-i", "testspec", "--json").ended(0).json["fault"] == ""


@pytest.mark.usefixtures("night")
def test_a_spoilt_database_is_made_anew_and_what_is_lost_is_listed(koa_cal: Run) -> None:
    database().write_bytes(b"spoilt" * 1000)
    assert "koa-cal rebuild" in koa_cal("list", "-i", "testspec").ended(1).said
    found = koa_cal("rebuild", "-i", "testspec").ended(1)
    assert "the spoilt one is " in found.out
    assert "dark-near.fits" in found.out
    assert "checked" in koa_cal("verify", "-i", "testspec").ended(0).out


@pytest.mark.filterwarnings("always")
@pytest.mark.usefixtures("night")
def test_a_lost_database_is_an_error_for_writers_and_status_keeps_what_is_not_known(koa_cal: Run, cache: Path) -> None:
    database().unlink()
    for path in (cache / "calibrations").iterdir():
        os.utime(path, (1e9, 1e9))
    name = "dark-near.fits"
    refused = koa_cal("register", "-i", "testspec", cache / "calibrations" / name).ended(1)
    assert refused.err.count("koa-cal rebuild") == 2  # of the opening, and of the file
    report = koa_cal("verify", "-i", "testspec", "--json").ended(1).json
    assert report["ok"] is False
    found = koa_cal("rebuild", "-i", "testspec").ended(1)
    assert found.out.count("what was judged of it here is not known") == 1
    assert "7 records were made anew of files alone on 20" in koa_cal("status", "-i", "testspec").ended(0).out
    koa_cal("flag", "-i", "testspec", name, "good", "--reason", "looked at").ended(0)
    assert "6 records were made anew" in str(koa_cal("status", "-i", "testspec", "--json").ended(0).json["noticed"])


@pytest.mark.filterwarnings("always")
@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("command", ["list", "status", "verify", "prune", "show x", "best x"])
def test_every_command_tells_of_a_database_that_was_lost(koa_cal: Run, command: str) -> None:
    database().unlink()
    assert "koa-cal rebuild" in koa_cal(*command.split(), "-i", "testspec").err
    os.truncate(database(), 0)
    assert "koa-cal rebuild" in koa_cal(*command.split(), "-i", "testspec").ended(1).said
