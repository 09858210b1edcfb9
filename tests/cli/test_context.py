"""Which instrument a command is about, and the values of its frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import InstrumentPlugin

Run = Callable[..., Any]


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


@pytest.mark.usefixtures("no_records")
def test_the_named_instrument_goes_before_the_header(koa_cal: Run, write: Run) -> None:
    frame = write("frame.fits", 61083.5, INSTRUME="NOSUCH")
    assert "'NOSUCH'" in koa_cal("best", frame).ended(2).said
    forced = koa_cal("best", frame, "-i", "testspec", "--force-instrument", "--json")
    assert forced.json["instrument"] == "testspec"


@pytest.mark.usefixtures("no_records")
def test_a_frame_of_another_instrument_is_refused_unless_it_is_forced(koa_cal: Run, write: Run) -> None:
    frame = write("frame.fits", 61083.5, INSTRUME="NOSUCH")
    file = write("dark.fits", 61083.5, "dark", INSTRUME="NOSUCH")
    for command in (("best", frame), ("explain", frame, "--type", "dark")):
        assert "NOSUCH" in koa_cal(*command, "-i", "testspec").ended(1).said
        koa_cal(*command, "-i", "testspec", "--force-instrument").ended(1)
    assert "of the instrument NOSUCH" in koa_cal("register", file, "-i", "testspec").ended(1).err
    koa_cal("register", file, "-i", "testspec", "--force-instrument").ended(0)


@pytest.mark.usefixtures("no_records")
def test_a_header_may_name_the_instrument_in_another_way(koa_cal: Run, write: Run, testspec: InstrumentPlugin) -> None:
    frame = write("frame.fits", 61083.5, INSTRUME="TEST-SPEC")
    assert koa_cal("best", frame, "--json").json["instrument"] == "testspec"
    testspec.ORM.instrume_values = ("TESTSPEC", "TSPEC-BLUE")
    try:
        frame = write("blue.fits", 61083.5, INSTRUME="TspecBlue")
        assert koa_cal("best", frame, "--json").json["instrument"] == "testspec"
    finally:
        del testspec.ORM.instrume_values


@pytest.mark.parametrize("name", ["testspec", "TESTSPEC", "TestSpec"])
def test_an_instrument_is_named_in_any_letter_case(koa_cal: Run, name: str) -> None:
    assert koa_cal("status", "-i", name, "--json").ended(0).json["instrument"] == "testspec"


def test_an_unknown_instrument_is_wrong_usage_and_the_installed_ones_are_listed(koa_cal: Run) -> None:
    found = koa_cal("status", "-i", "nosuch").ended(2)
    assert found.out == ""
    assert "'nosuch'" in found.said
    assert "testspec" in found.said


@pytest.mark.usefixtures("night")
def test_a_column_value_that_is_set_goes_before_the_header(koa_cal: Run, frame: Path) -> None:
    given = ("best", frame, "--type", "dark", "--json")
    assert koa_cal(*given).json["calibrations"]["dark"]["filename"] == "dark-near.fits"
    assert koa_cal(*given, "--set", "arm=RED").ended(0).json["calibrations"]["dark"]["filename"] == "dark-red.fits"


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("time", ["mjd_start=61087", "datetime_obs=2026-02-16T00:00:00"])
def test_a_time_that_is_set_decides_by_either_of_its_two_columns(koa_cal: Run, frame: Path, time: str) -> None:
    found = koa_cal("best", frame, "--type", "dark", "--set", time, "--json").ended(0).json["calibrations"]["dark"]
    assert found["filename"] == "dark-next.fits"
    assert found["delta_days"] == pytest.approx(-0.5)


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("cards", [{"TIMESYS": "LOCAL"}, {"DATE-OBS": "soon"}, {"DATE-OBS": "2020-01-01T00:00:00"}])
def test_a_time_that_is_set_is_not_hindered_by_the_headers(
    koa_cal: Run, write: Callable[..., Path], cards: dict[str, Any]
) -> None:
    frame = write("odd.fits", 61083.5, **cards)
    found = koa_cal("best", frame, "--type", "dark", "--set", "mjd_start=61087", "--json").ended(0)
    assert found.json["calibrations"]["dark"]["filename"] == "dark-next.fits"


@pytest.mark.usefixtures("night")
def test_a_date_that_is_set_is_not_read_as_the_headers_time_of_that_day(koa_cal: Run, frame: Path) -> None:
    found = koa_cal("best", frame, "--type", "dark", "--set", "datetime_obs=2026-02-16").ended(1)
    assert "without a time of day" in found.said


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize(
    "text", ["nosuch=1", "mjd_start=tonight", "mjd_start=nan", "arm", "arm=", "arm=N/A", "arm=*", "=RED"]
)
def test_a_column_value_that_cannot_be_set_is_wrong_usage(koa_cal: Run, frame: Path, text: str) -> None:
    for command in (("best", frame), ("explain", frame, "--type", "dark")):
        found = koa_cal(*command, "--set", text).ended(2)
        assert found.out == ""
        assert text.strip("=").partition("=")[0] in found.err.splitlines()[-1]


@pytest.mark.usefixtures("night")
def test_the_letter_case_of_a_column_that_is_set_does_not_count_and_a_near_miss_is_asked_for(
    koa_cal: Run, frame: Path
) -> None:
    said = koa_cal("best", frame, "--type", "arc", "--set", "Arm=RED", "--json").ended(0).json
    assert said["calibrations"]["arc"]["filename"] == "arc-red.fits"
    assert "Did you mean arm?" in koa_cal("best", frame, "--set", "arms=RED").ended(2).said


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("command", ["best", "explain"])
def test_a_value_that_a_header_lacks_is_asked_for_as_it_is_typed(koa_cal: Run, write: Run, command: str) -> None:
    frame = write("bare.fits", 61083.5, ARM="")
    assert "--set arm=..." in koa_cal(command, frame, "--type", "dark").ended(1).said


@pytest.mark.usefixtures("night")
def test_a_value_that_is_set_and_unusable_is_not_to_be_corrected_in_the_header(koa_cal: Run, frame: Path) -> None:
    said = koa_cal("best", frame, "--set", "mjd_start=2461084").ended(2).said
    assert said.endswith("Give another value.\n")
