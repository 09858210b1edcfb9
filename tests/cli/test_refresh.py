"""``koa-cal refresh``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.usefixtures("night")
def test_a_refresh_says_what_changed(koa_cal: Run, cache: Path) -> None:
    with closing(sqlite3.connect(cache / "database" / "testspec_calibrations.db")) as database, database:
        database.execute("UPDATE testspec_calibrations SET arm = NULL WHERE filename = 'dark-near.fits'")
    assert koa_cal("refresh", "-i", "testspec").ended(0).out.splitlines()[-1] == "0 records of 7 changed"
    told = koa_cal("refresh", "-i", "testspec", "--from-files", "--dry-run").ended(0)
    assert told.out.splitlines()[-1] == "1 record of 7 would change"
    changed = koa_cal("refresh", "-i", "testspec", "--from-files", "--json").ended(0).json["changed"]
    assert changed == {"dark-near.fits": {"arm": {"before": None, "after": "BLUE"}}}
