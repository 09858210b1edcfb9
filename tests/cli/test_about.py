"""``koa-cal instruments``, ``koa-cal status``, and which instrument a command is about."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import InstrumentPlugin

Run = Callable[..., Any]


def test_an_installed_instrument_is_shown_with_its_package(koa_cal: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KOA_CALIBRATION_CACHE")
    found = koa_cal("instruments", "--json").ended(0)
    assert found.json["failed"] == {}
    (ours,) = [each for each in found.json["instruments"] if each["instrument"] == "testspec"]
    assert ours == {
        "instrument": "testspec",
        "package": "koa-middleware-testspec",
        "version": "1.2.3",
        "database": "testspec_calibrations.db",
        "cal_types": ["dark", "flat", "arc", "bias"],
    }
    shown = koa_cal("instruments").ended(0)
    assert shown.err == ""
    (line,) = [line.split() for line in shown.out.splitlines() if "testspec" in line]
    assert line == ["testspec", "koa-middleware-testspec", "1.2.3", ours["database"], *ours["cal_types"]]


BROKEN = {
    "raises": ("raise RuntimeError('a library is missing')", "a library is missing"),
    "misspelt": (
        "from koa_middleware import hookimpl\n\n@hookimpl\ndef koa_register_instruments(): ...",
        "koa_register_instruments",
    ),
    "hookless": ("", "koa_register_instrument"),
}


def test_broken_plugins_are_named_and_hinder_no_other(
    with_only: Run, distribution: Path, tmp_path: Path, make_distribution: Run
) -> None:
    broken = [make_distribution(tmp_path / name, name, source) for name, (source, _) in BROKEN.items()]
    run = with_only(*broken, distribution)
    found = run("instruments").ended(1)
    assert [line.split()[0] for line in found.out.splitlines() if "koa-middleware-" in line] == ["testspec"]
    lines = found.err.splitlines()
    assert len(lines) == len(BROKEN)
    for name, (_, fault) in BROKEN.items():
        (said,) = [line for line in lines if f"koa-middleware-{name}==1.2.3" in line]
        assert fault in said

    said = run("instruments", "--json").ended(1).json
    assert [each["instrument"] for each in said["instruments"]] == ["testspec"]
    assert set(said["failed"]) == set(BROKEN)
    assert run("status", "-i", "testspec").ended(0).err == ""
    assert "koa-middleware-raises==1.2.3" in run("status", "-i", "raises").ended(2).said


def test_where_no_plugin_is_installed_that_is_said(with_only: Run) -> None:
    run = with_only()
    assert "no instrument's plugin is installed" in run("instruments").ended(0).out
    assert run("instruments", "--json").ended(0).json == {"instruments": [], "failed": {}}
    assert "none" in run("status").ended(2).said
    extra = (metadata("koa-middleware").get_all("Provides-Extra") or ["none"])[0]
    assert f"pip install 'koa-middleware[{extra}]'" in run("status", "-i", extra.upper()).ended(2).said


def test_the_only_installed_instrument_is_meant_when_none_is_named(with_only: Run, distribution: Path) -> None:
    assert with_only(distribution)("status", "--json").ended(0).json["instrument"] == "testspec"


@pytest.fixture
def with_two(with_only: Run, distribution: Path, tmp_path: Path, make_distribution: Run) -> Run:
    """Give a way to run a command where two instruments are installed, testspec and another."""
    run: Run = with_only(distribution, make_distribution(tmp_path / "installed", "another"))
    return run


def test_where_two_are_installed_one_has_to_be_named(with_two: Run) -> None:
    found = with_two("status").ended(2)
    assert found.out == ""
    assert "another, testspec" in found.said
    assert "-i" in found.said


def test_each_file_goes_to_the_instrument_that_its_header_names(with_two: Run, write: Run, frame: Path) -> None:
    ours, other = write("ours.fits", 61083.0, "dark"), write("other.fits", 61083.0, "dark", INSTRUME="Another")
    silent = write("silent.fits", 61084.0, "dark", INSTRUME="")
    with_two("register", ours, other, silent).ended(0)
    for instrument, names in (("testspec", ["ours.fits", "silent.fits"]), ("another", ["other.fits"])):
        listed = with_two("list", "-i", instrument, "--json").ended(0).json["records"]
        assert [record["filename"] for record in listed] == names
    assert with_two("best", frame, "--type", "dark", "--json").ended(0).json["instrument"] == "testspec"
    assert "another, testspec" in with_two("best", silent, "--type", "dark").ended(2).said


def test_the_named_instrument_goes_before_the_header(koa_cal: Run, write: Run) -> None:
    frame = write("frame.fits", 61083.5, INSTRUME="NOSUCH")
    assert "'nosuch'" in koa_cal("best", frame).ended(2).said
    assert koa_cal("best", frame, "-i", "testspec", "--json").json["instrument"] == "testspec"


@pytest.mark.parametrize("name", ["testspec", "TESTSPEC", "TestSpec"])
def test_an_instrument_is_named_in_any_letter_case(koa_cal: Run, name: str) -> None:
    assert koa_cal("status", "-i", name, "--json").ended(0).json["instrument"] == "testspec"


def test_an_unknown_instrument_is_wrong_usage_and_the_installed_ones_are_listed(koa_cal: Run) -> None:
    found = koa_cal("status", "-i", "nosuch").ended(2)
    assert found.out == ""
    assert "'nosuch'" in found.said
    assert "testspec" in found.said


@pytest.mark.usefixtures("night")
def test_the_status_tells_folder_database_and_counts(koa_cal: Run, cache: Path) -> None:
    koa_cal("flag", "dark-near.fits", "bad", "--reason", "light leak", "-i", "testspec").ended(0)
    found = koa_cal("status", "-i", "testspec", "--json").ended(0).json
    assert found["instrument"] == "testspec"
    assert found["cache_dir"] == str(cache)
    assert Path(found["database"]) == cache / "database" / "testspec_calibrations.db"
    assert found["records"] == found["files_in_cache_dir"] == 7
    assert found["file_bytes"] == sum(path.stat().st_size for path in (cache / "calibrations").iterdir())
    assert found["last_updated"]
    counts = {(each["cal_type"], each["quality"]): each["records"] for each in found["counts"]}
    assert counts == {("arc", "GOOD"): 1, ("dark", "BAD"): 1, ("dark", "GOOD"): 3, ("flat", "GOOD"): 2}
    assert set(found["counts"][0]) == {"cal_type", "origin", "quality", "records", "newest"}

    shown = koa_cal("status", "-i", "testspec").ended(0)
    assert shown.err == ""
    assert str(cache) in shown.out
    assert re.search(r"^ *dark +LOCAL +GOOD +3 ", shown.out, re.MULTILINE)


def test_the_status_of_an_empty_cache_is_no_error(koa_cal: Run, testspec: InstrumentPlugin) -> None:
    assert koa_cal("status", "-i", testspec.name).ended(0).err == ""
    found = koa_cal("status", "-i", testspec.name, "--json").ended(0).json
    assert (found["records"], found["files_in_cache_dir"], found["counts"]) == (0, 0, [])
