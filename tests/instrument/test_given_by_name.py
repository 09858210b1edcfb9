"""Values that are given by column name: they count in place of what the header says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from koa_middleware import HeaderError
from koa_middleware.instrument.frames import column_values, file_values

from tests.conftest import DemoCalibration, write_fits
from tests.instrument.test_derive import ArmCalibration

NOON = "2026-02-12T12:00:00.000"
MJD_OF_NOON = 61083.5


def times(values: Any) -> tuple[Any, Any]:
    return values.get("datetime_obs"), values.get("mjd_start")


BAD_TIMES = [
    {"MJD-OBS": 0},
    {"DATE-OBS": "soon"},
    {"MJD-OBS": 61000.5, "TIMESYS": "LOCAL"},
    {"MJD-OBS": 61000.5},
    {"DATE-OBS": "2025-01-01T00:00:00"},
    {"MJD-OBS": 61000.5, "DATE-OBS": "2025-01-01T00:00:00"},
    {"GREEN_CCD:MIDMJD": "noon"},
]
GIVEN_TIMES = [{"mjd_start": MJD_OF_NOON}, {"datetime_obs": NOON}, {"mjd_start": MJD_OF_NOON, "datetime_obs": NOON}]


@pytest.mark.parametrize("given", GIVEN_TIMES, ids=str)
@pytest.mark.parametrize("header", BAD_TIMES, ids=str)
def test_a_time_that_is_given_counts_whatever_times_the_header_has(
    header: dict[str, Any], given: dict[str, Any]
) -> None:
    for frame in ({**header, **given}, SimpleNamespace(meta={**header, **given})):
        assert times(column_values(DemoCalibration, frame)) == (NOON, MJD_OF_NOON)


@pytest.mark.parametrize("given", GIVEN_TIMES, ids=str)
def test_a_time_that_is_given_for_a_file_counts_whatever_times_it_has(tmp_path: Path, given: dict[str, Any]) -> None:
    header = {"MJD-OBS": 0, "DATE-OBS": "2025-01-01T00:00:00", "TIMESYS": "LOCAL", "SPECTROG": "BSPEC"}
    found = file_values(DemoCalibration, write_fits(tmp_path / "frame.fits", header), given)
    assert (*times(found), found["spectrograph"]) == (NOON, MJD_OF_NOON, "BSPEC")


def test_a_date_that_is_given_is_not_joined_or_compared_with_the_headers_times() -> None:
    assert times(column_values(DemoCalibration, {"MJD-OBS": 61000.5, "datetime_obs": "2026-02-12"})) == (
        "2026-02-12",
        None,
    )


def test_times_that_are_given_must_agree_with_each_other() -> None:
    frame = {"MJD-OBS": MJD_OF_NOON, "mjd_start": 61000.5, "datetime_obs": NOON}
    with pytest.raises(HeaderError, match=r"datetime_obs of the input is 2026-02-12.*mjd_start 61000\.5") as caught:
        column_values(DemoCalibration, frame)
    assert caught.value.keywords == ()


@pytest.mark.parametrize("nothing", [None, "N/A", 0, float("nan")])
def test_a_time_that_is_given_as_none_leaves_the_headers(nothing: Any) -> None:
    assert times(column_values(DemoCalibration, {"MJD-OBS": MJD_OF_NOON, "mjd_start": nothing})) == (NOON, MJD_OF_NOON)


def test_the_keyword_of_a_value_that_is_given_is_not_read() -> None:
    assert column_values(DemoCalibration, {"GRNAMPS": "two", "amplifiers": 2})["amplifiers"] == 2
    named = {"WAVELEN": "red", "wavelength": 650.0}
    assert column_values(ArmCalibration, named)["wavelength"] == 650.0


def test_what_follows_from_a_value_that_is_given_follows_from_it_and_not_from_the_header(tmp_path: Path) -> None:
    header = {"ARM": "red", "MJD-OBS": 60000.5}
    assert column_values(ArmCalibration, {**header, "arm": "blue"})["detector"] == "blue 1"
    path = write_fits(tmp_path / "frame.fits", header)
    assert file_values(ArmCalibration, path, {})["detector"] == "red 2"
    assert file_values(ArmCalibration, path, {"arm": "blue"})["detector"] == "blue 1"
    assert file_values(ArmCalibration, path, {"mjd_start": 59999.5})["detector"] == "red 1"


@pytest.mark.parametrize("name", ["spectrograph", "Spectrograph", "SPECTROGRAPH", "spectroGraph "])
def test_letter_case_of_names_does_not_count(name: str) -> None:
    assert column_values(DemoCalibration, {name: "BSPEC", "MJD-OBS": MJD_OF_NOON})["spectrograph"] == "BSPEC"


def test_what_looks_like_a_keyword_is_no_column() -> None:
    cards = {"CHECKSUM": "ZaDeba9dZaAdaU9d", "FILENAME": "raw.fits", "QUALITY": 3, "MJD-OBS": MJD_OF_NOON}
    assert column_values(DemoCalibration, cards).keys() == {"mjd_start", "datetime_obs"}


def test_a_column_and_its_keyword_that_differ_in_letter_case_alone_are_two() -> None:
    assert column_values(DemoCalibration, {"LAMP": "une", "lamp": "ThAr"})["lamp"] == "thar"
    assert column_values(DemoCalibration, {"lamp": "ThAr", "LAMP": "une"})["lamp"] == "thar"
