"""``koa-cal demo`` of an instrument of one's own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_the_demo_needs_no_setting_and_leaves_nothing_behind(
    process: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KOA_CALIBRATION_CACHE")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = process("demo", "-i", "testspec").ended(0)
    assert "dark.fits is chosen" in found.out
    assert list(tmp_path.iterdir()) == []


def test_the_next_command_of_a_demo_works_when_it_is_typed(
    process: Run, command: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "a night's folder"
    last = process("demo", "-i", "testspec", "--dir", folder).ended(0).out.splitlines()[-1]
    monkeypatch.delenv("KOA_CALIBRATION_CACHE")
    typed = subprocess.run(
        ["sh", "-c", last.removeprefix("next: ")],
        env=command()["env"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (typed.returncode, typed.stderr) == (0, "")
    assert "dark.fits" in typed.stdout
    assert (folder / "night" / "frame.fits").is_file()


def test_a_demo_that_is_run_again_in_its_folder_ends_as_before(koa_cal: Run, tmp_path: Path) -> None:
    first = koa_cal("demo", "-i", "testspec", "--dir", tmp_path / "made").ended(0)
    again = koa_cal("demo", "-i", "testspec", "--dir", tmp_path / "made").ended(0)
    assert again.out == first.out


def test_a_demo_folder_that_cannot_be_made_is_wrong_usage(koa_cal: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = koa_cal("demo", "-i", "testspec", "--dir", tmp_path / "file" / "made").ended(2)
    assert found.out == ""
    assert str(tmp_path / "file") in found.said


def test_a_plugin_without_a_demo_says_so(
    with_only: Run, tmp_path: Path, make_distribution: Run, testspec: Any, distribution: Path
) -> None:
    source = (distribution / "koa_middleware_testspec.py").read_text().replace("demo=write_night,", "")
    run = with_only(make_distribution(tmp_path / "plain", "testspec", source))
    assert "has no demo" in run("demo", "-i", "testspec").ended(2).said
