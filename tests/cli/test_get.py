"""``koa-cal get``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.usefixtures("night")
def test_get_prints_paths_and_nothing_else(koa_cal: Run, cache: Path) -> None:
    known = koa_cal("show", "dark-near.fits", "-i", "testspec", "--json").json["id"]
    found = koa_cal("get", "flat-before.fits", known, "-i", "testspec").ended(0)
    files = cache / "calibrations"
    assert found.out.splitlines() == [str(files / "flat-before.fits"), str(files / "dark-near.fits")]
    assert found.err == ""


@pytest.mark.usefixtures("night")
def test_get_goes_on_after_what_cannot_be_had(koa_cal: Run, cache: Path) -> None:
    files = cache / "calibrations"
    (files / "dark-old.fits").unlink()
    names = ("dark-old.fits", "nosuch.fits", "dark-near.fits")
    found = koa_cal("get", *names, "-i", "testspec").ended(1)
    assert found.out == f"{files / 'dark-near.fits'}\n"
    assert [line.split()[1].rstrip(":") for line in found.err.splitlines()] == ["dark-old.fits", "nosuch.fits"]
    said = koa_cal("get", *names, "-i", "testspec", "--json").ended(1)
    assert said.json["paths"] == {"dark-near.fits": str(files / "dark-near.fits")}
    assert set(said.json["failed"]) == {"dark-old.fits", "nosuch.fits"}
