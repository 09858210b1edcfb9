"""``koa-cal bundle import``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


HERE = ("-i", "testspec")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """Give a function that goes to a machine with an empty cache."""
    return lambda: monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(tmp_path / "elsewhere"))


def test_what_was_chosen_goes_to_another_machine(
    koa_cal: Run, night: None, tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    chosen = ["arc-red.fits", "--type", "dark", "--since", "2026-02-12", "--until", "2026-02-14"]
    found = koa_cal("bundle", "export", tmp_path / "some.tar", *chosen, *HERE, "--json").ended(0).json
    assert found["exported"] == ["arc-red.fits", "dark-red.fits", "dark-near.fits"]
    elsewhere()
    assert koa_cal("bundle", "import", tmp_path / "some.tar", *HERE).ended(0).out == (
        "3 added, 0 completed, 0 updated, 0 unchanged\n"
    )
    again = koa_cal("bundle", "import", tmp_path / "some.tar", *HERE, "--json").ended(0).json
    assert sorted(again["unchanged"]) == sorted(found["exported"])
    assert koa_cal("verify", *HERE, "--json").ended(0).json["checked"] == 3


def test_conflicts_and_damage_are_told_line_by_line(
    koa_cal: Run, write: Run, night: None, tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    bundle = tmp_path / "some.tar"
    koa_cal("bundle", "export", bundle, "--type", "flat", *HERE).ended(0)
    data = bytearray(bundle.read_bytes())
    data[data.rindex(b"SIMPLE") + 2880] ^= 1
    bundle.write_bytes(data)
    elsewhere()
    koa_cal("register", write("flat-before.fits", 61090.0, "flat")).ended(0)
    found = koa_cal("bundle", "import", bundle, *HERE).ended(1)
    spoilt, conflict = found.err.splitlines()
    assert "flat-after.fits" in spoilt
    assert "checksum" in spoilt
    assert "flat-before.fits" in conflict
    assert found.out.startswith("0 added")


def test_a_bundle_that_comes_home_changes_no_later_flag(koa_cal: Run, night: None, tmp_path: Path) -> None:
    bundle = tmp_path / "some.tar"
    koa_cal("bundle", "export", bundle, "arc-red.fits", "dark-near.fits", *HERE).ended(0)
    koa_cal("flag", "dark-near.fits", "bad", "--reason", "light leak", *HERE).ended(0)
    found = koa_cal("bundle", "import", bundle, *HERE).ended(0)
    assert found.said == "koa-cal: dark-near.fits was flagged here since; its quality stays\n"
    assert found.out.startswith("0 added")
    assert koa_cal("show", "dark-near.fits", *HERE, "--json").json["quality"] == "BAD"


def test_a_bundle_says_which_instrument_it_is_of(
    koa_cal: Run, night: None, tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    bundle = tmp_path / "some.tar"
    koa_cal("bundle", "export", bundle, "arc-red.fits", *HERE).ended(0)
    elsewhere()
    assert koa_cal("bundle", "import", bundle).ended(0).out.startswith("1 added")
    content = bundle.read_bytes()
    bundle.write_bytes(content.replace(b'"instrument": "testspec"', b'"instrument": "nonesuch"', 1))
    assert "nonesuch" in koa_cal("bundle", "import", bundle).ended(2).said
    bundle.write_bytes(content.replace(b'"instrument": "testspec"', b'"instrument": "../specs"', 1))
    assert "names no instrument" in koa_cal("bundle", "import", bundle).ended(1).said


def test_what_is_no_bundle_is_one_line(koa_cal: Run, tmp_path: Path) -> None:
    (tmp_path / "some.tar").write_text("no tar")
    assert "some.tar" in koa_cal("bundle", "import", tmp_path / "some.tar", *HERE).ended(1).said
    assert (
        "some.tar"
        in koa_cal("bundle", "import", tmp_path / "some.tar", *HERE, "--json").ended(1).json["error"]["message"]
    )
