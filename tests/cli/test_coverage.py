"""``koa-cal coverage``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import write_exposure

Run = Callable[..., Any]


@pytest.fixture
def filled(koa_cal: Run, tmp_path: Path) -> None:
    """A dark, which serves for five days, and a flat, which serves later frames."""
    files = [
        write_exposure(tmp_path / "night", "dark.fits", 61083.0, "dark"),
        write_exposure(tmp_path / "night", "flat.fits", 61085.0, "flat"),
    ]
    koa_cal("register", "-i", "testspec", *files).ended(0)


def test_it_tells_what_there_is_and_the_gaps(koa_cal: Run, filled: None) -> None:
    done = koa_cal("coverage", "-i", "testspec", "--type", "dark", "--end", "2026-02-20").ended(0)
    head = done.out.splitlines()[0]
    assert head.startswith("testspec: 2026-02-12 00:00 to 2026-02-21 00:00 UTC ")
    assert head.endswith(" calibrations in range")
    assert "nothing 2026-02-17 00:00 to 2026-02-21 00:00, 4.0 d" in done.out
    assert "flat" not in done.out


def test_it_gives_json(koa_cal: Run, filled: None) -> None:
    found = koa_cal("coverage", "-i", "testspec", "--json", "--type", "flat", "--start", "2026-02-12").ended(0).json
    (flat,) = found["groups"]
    assert flat["values"] == {"arm": "BLUE"}
    assert flat["gaps"] == [{"start": "2026-02-12T00:00:00.000", "end": "2026-02-14T00:00:00.000"}]
    assert [each["filename"] for each in flat["records"]] == ["flat.fits"]


def test_a_range_that_others_answer_for_is_no_failure(koa_cal: Run, filled: None) -> None:
    done = koa_cal("coverage", "-i", "testspec", "--type", "flat", "--start", "2026-03-01", "--end", "2026-03-02")
    assert done.ended(0).out.splitlines()[1].endswith("  0")
    nothing = ("--type", "dark", "--start", "2026-03-01", "--end", "2026-03-02")
    assert "nothing at any time" in koa_cal("coverage", "-i", "testspec", *nothing).ended(0).out


def test_a_type_without_any_calibration_is_exit_code_1(koa_cal: Run, tmp_path: Path) -> None:
    koa_cal("register", "-i", "testspec", write_exposure(tmp_path, "dark.fits", 61083.0, "dark")).ended(0)
    koa_cal("coverage", "-i", "testspec", "--type", "flat", "--start", "2026-02-12", "--end", "2026-02-13").ended(1)


def test_it_draws_a_figure(koa_cal: Run, filled: None, tmp_path: Path) -> None:
    figure = tmp_path / "night.png"
    koa_cal("coverage", "-i", "testspec", "-o", figure, "--dark").ended(0)
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert "--overwrite" in koa_cal("coverage", "-i", "testspec", "-o", figure).ended(2).said
    koa_cal("coverage", "-i", "testspec", "-o", figure, "--overwrite").ended(0)


def test_without_matplotlib_the_error_says_how_to_install_it(
    koa_cal: Run, filled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = koa_cal("coverage", "-i", "testspec", "-o", tmp_path / "night.png").ended(2)
    assert "pip install 'koa-middleware[plot]'" in done.said


@pytest.mark.usefixtures("no_records")
def test_a_cache_without_calibrations_is_exit_code_1(koa_cal: Run) -> None:
    assert koa_cal("coverage", "-i", "testspec").ended(1).out == "testspec: there are no calibrations\n"


def test_on_a_terminal_no_line_is_broken(terminal: Run, filled: None) -> None:
    done = terminal("coverage", "-i", "testspec", columns=80).ended(0)
    assert max(map(len, done.out.splitlines())) <= 80
