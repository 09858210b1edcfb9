"""``koa-cal remove``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.usefixtures("night")
def test_a_calibration_is_removed_after_a_dry_run(koa_cal: Run, cache: Path) -> None:
    of = ("dark-near.fits", "-i", "testspec")
    assert koa_cal("remove", "--dry-run", *of).ended(0).out.startswith("would remove dark-near.fits (")
    said = koa_cal("remove", *of, "--json").ended(0).json
    assert (said["filename"], Path(said["moved_to"]).parent) == ("dark-near.fits", cache / "quarantine")
    assert not (cache / "calibrations" / "dark-near.fits").exists()
    assert koa_cal("show", *of).code == 1
    assert koa_cal("remove", *of).code == 1
    assert koa_cal("verify", "-i", "testspec").ended(0).out.splitlines()[-1].startswith("6 files checked")


@pytest.mark.usefixtures("published")
def test_one_of_the_archive_is_refused_with_what_to_do(typed: Run) -> None:
    found = typed("remove", "dark.fits").ended(1)
    assert found.out == ""
    assert "is a calibration of the archive (REMOTE)" in found.said
    assert " dark.fits bad --here --reason WHY keeps it from being chosen" in found.said
