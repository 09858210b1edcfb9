"""Values that are given by column name: they count in place of what the header says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from koa_middleware import HeaderError, ORMCalibration, fits_column
from koa_middleware.choosing.frame import Frame
from koa_middleware.instrument.frames import column_values, file_values
from sqlalchemy import Float
from sqlalchemy.orm import Mapped

from tests.conftest import DemoCalibration, write_fits
from tests.instrument.test_derive import ArmCalibration


class NamedCalibration(ORMCalibration):
    """A calibration whose file's name tells its time."""

    instrument_name = "named"
    mjd_mid: Mapped[float | None] = fits_column((), Float)

    @classmethod
    def derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Give the time in the name."""
        name = values.get("filename", "").split(".")
        return {"datetime_obs": name[1], **values} if name[0] == "named" else values


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


@pytest.mark.parametrize("day", ["2026-02-12", "2026-02-13", "2026-03-13"])
def test_a_date_that_is_given_alone_is_not_completed_by_what_header_or_name_say(tmp_path: Path, day: str) -> None:
    header, name = {"MJD-OBS": MJD_OF_NOON, "UTC": "12:00:00"}, "named.20260212T120000.fits"
    frames = [{**header, "datetime_obs": day}, {**header, "datetime_obs": day, "filename": name}]
    path = write_fits(tmp_path / name, header)
    missing = rf"datetime_obs given for .* is the date {day} alone, without a time of day\. Give it with .*{day}T"
    for frame in frames:
        with pytest.raises(HeaderError, match=missing):
            column_values(NamedCalibration, frame)
    with pytest.raises(HeaderError, match=missing):
        file_values(NamedCalibration, path, {"datetime_obs": day})
    mid = {"datetime_obs": day, "mjd_mid": MJD_OF_NOON}
    assert times(file_values(NamedCalibration, path, mid)) == (day, None)


def test_a_date_alone_in_a_frame_of_columns_is_not_completed_by_its_name() -> None:
    frame = {"datetime_obs": "2026-02-13", "filename": "named.20260212T120000.fits"}
    columns = dict(NamedCalibration.table().c.items())
    with pytest.raises(HeaderError, match="is the date 2026-02-13 alone, without a time of day"):
        Frame(NamedCalibration, columns, column_values(NamedCalibration, frame), "dark").time("mjd_start")
    del frame["datetime_obs"]
    assert Frame(NamedCalibration, columns, frame, "dark").time("mjd_start") == MJD_OF_NOON


def test_times_that_are_given_and_disagree_are_the_callers_fault_and_not_the_headers(tmp_path: Path) -> None:
    given = {"mjd_start": 61000.5, "datetime_obs": NOON}
    path = write_fits(tmp_path / "frame.fits", {"MJD-OBS": MJD_OF_NOON})
    said = r"datetime_obs given for .* is 2026-02-12.*mjd_start given 61000\.5 is .* Give one of them alone"
    for values in (
        lambda: column_values(DemoCalibration, {"MJD-OBS": MJD_OF_NOON, **given}),
        lambda: file_values(DemoCalibration, path, given),
    ):
        with pytest.raises(HeaderError, match=said) as caught:
            values()
        assert caught.value.keywords == ()
    with pytest.raises(HeaderError, match=r"more than a day apart\. Correct one of them"):
        DemoCalibration.normalise(given)


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
