"""``koa-cal explain``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


pytestmark = pytest.mark.usefixtures("night")


def test_an_explanation_tells_rule_and_amount_of_each_and_the_winner_first(koa_cal: Run, frame: Path) -> None:
    found = koa_cal("explain", frame, "--type", "dark").ended(0)
    assert found.err == ""
    lines = [line for line in found.out.splitlines() if line.lstrip().startswith("dark-")]
    assert [line.split()[:2] for line in lines] == [
        ["dark-near.fits", "chosen"],
        ["dark-red.fits", "arm"],
        ["dark-next.fits", "farther"],
        ["dark-old.fits", "max_age"],
    ]
    assert "13.5 d older, limit 5 d" in lines[3]


def test_an_explanation_as_json_counts_all_and_tells_the_nearest(koa_cal: Run, frame: Path) -> None:
    found = koa_cal("explain", frame, "--type", "dark", "--nearest", 2, "--json").ended(0).json
    assert {"cal_type", "asked", "total", "counts", "winner", "steps", "sides", "candidates"} <= set(found)
    assert found["total"] == 4
    assert found["counts"] == {"chosen": 1, "arm": 1, "max_age": 1, "farther": 1}
    assert found["winner"]["filename"] == "dark-near.fits"
    assert [candidate["filename"] for candidate in found["candidates"]] == ["dark-near.fits", "dark-red.fits"]
    assert set(found["candidates"][0]) == {"id", "filename", "rule", "reason", "delta_days", "side"}


def test_an_explanation_of_a_miss_is_printed_and_exits_with_1(koa_cal: Run, frame: Path) -> None:
    found = koa_cal("explain", frame, "--type", "arc").ended(1)
    assert "nothing fits" in found.out
    assert "its arm is RED, the frame's is BLUE" in found.out
    assert koa_cal("explain", frame, "--type", "arc", "--json").ended(1).json["winner"] is None


def test_an_explanation_needs_a_type(koa_cal: Run, frame: Path) -> None:
    assert "--type" in koa_cal("explain", frame).ended(2).err
