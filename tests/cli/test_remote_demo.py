"""``koa-cal demo --remote``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

Run = Callable[..., Any]


def test_the_demo_of_the_archive_shows_the_round_trip_and_no_secret(
    command: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KOA_CALIBRATION_CACHE")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # nobody but its owner may enter it
    tmp_path.chmod(0o700)
    shown: set[str] = set()
    with psutil.Popen(**command("demo", "--remote", "-i", "testspec"), stdout=-1, stderr=-1, text=True) as demo:
        while demo.poll() is None:
            found = [each.info for each in psutil.process_iter(["cmdline", "environ"])]
            ours = [each for each in found if (each["environ"] or {}).get("TMPDIR") == str(tmp_path)]
            shown |= {" ".join(each["cmdline"] or ()) for each in ours}
        out, err = demo.communicate()
    assert demo.returncode == 0, err
    for line in (
        "Keck sets up",
        "Keck publishes 1 record ",
        "An observer syncs: 1 added",
        "Keck flags dark.fits as BAD",
    ):
        assert line in out
    assert "The observer syncs: 0 added, 1 changed" in out
    assert "dark: No dark fits" in err
    assert "its quality is BAD" in err
    assert "postgres:***@127.0.0.1" in out
    assert out.splitlines()[-1].endswith("demo -i testspec --remote --dir night")
    assert [line for line in shown if "postgres" in line]
    assert not [line for line in shown if re.search(r"postgresql\S*://\S+:(?!\*)\S+@", line)]
    assert list(tmp_path.iterdir()) == []


def test_the_demo_of_the_archive_leaves_a_cache_to_look_at(process: Run, tmp_path: Path) -> None:
    process("demo", "--remote", "-i", "testspec", "--dir", tmp_path / "made").ended(0)
    listed = process("list", "-i", "testspec", "--json", KOA_CALIBRATION_CACHE=str(tmp_path / "made" / "observer"))
    (one,) = listed.ended(0).json["records"]
    assert (one["origin"], one["quality"]) == ("REMOTE", "BAD")
    again = process("demo", "--remote", "-i", "testspec", "--dir", tmp_path / "made").ended(2)
    assert "Name another folder with --dir" in again.said
