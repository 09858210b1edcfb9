"""The hook for columns that follow from others, and what a class says of its instrument and of names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from koa_middleware import (
    CalibrationSelector,
    CalibrationStore,
    HeaderError,
    InvalidPluginError,
    ORMCalibration,
    fits_column,
)
from koa_middleware.cli.context import frame_values
from koa_middleware.instrument.frames import column_values
from koa_middleware.instrument.keywords import any_instrument
from sqlalchemy import Float, Integer, String
from sqlalchemy.orm import Mapped

from tests.conftest import write_fits


class ArmCalibration(ORMCalibration):
    """An instrument of two arms, whose red detector was replaced on MJD 60000."""

    instrument_name = "arms"
    instrume_values = ("ARMS", "ARMS-BLUE")
    filename_pattern = r"(?P<cal_type>[a-z]+)_(?P<datetime_obs>\d{8})_fiber(?P<fiber>\d)\.fits"

    arm: Mapped[str | None] = fits_column("ARM", String, fold=True)
    fiber: Mapped[int | None] = fits_column("FIBER", Integer)
    detector: Mapped[str | None] = fits_column((), String)
    wavelength: Mapped[float | None] = fits_column(
        ("WAVELEN", "WAVE_NM"), Float, convert=lambda raw: float(raw) / 10 if float(raw) > 2000 else raw
    )
    filt: Mapped[str | None] = fits_column("FILTER", String, nulls=())
    slit: Mapped[str | None] = fits_column("SLIT", String, nulls=("none", "-99"))
    order: Mapped[int | None] = fits_column("ORDER", Integer, nulls=("none", "-99"), convert=lambda raw: raw + 1)

    @classmethod
    def derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Give the detector."""
        if {"arm", "mjd_start"} <= values.keys():
            new = values["arm"] == "red" and values["mjd_start"] >= 60000
            values["detector"] = f"{values['arm']} {'2' if new else '1'} "
        return values


DARK = CalibrationSelector(cal_type="dark", match=("detector",))
CARDS = {"CALTYPE": "dark", "ARM": "Red", "MJD-OBS": 60000.5}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CalibrationStore[ArmCalibration]]:
    with CalibrationStore(ArmCalibration, tmp_path / "cache") as opened:
        yield opened


class Model:
    """A pipeline's model with a record of column values."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, output_dir: Any) -> Path:
        return write_fits(Path(output_dir) / "model.fits", {})

    def to_record(self) -> dict[str, Any]:
        return {"cal_type": "dark", "arm": "RED", "mjd_start": 60001.0}


def test_what_is_derived_is_stored_and_compared_whatever_door_it_came_through(
    store: CalibrationStore[ArmCalibration], tmp_path: Path
) -> None:
    path = write_fits(tmp_path / "dark.fits", CARDS)
    assert store.register_calibration(path).calibration.detector == "red 2"
    assert store.register_calibration(Model(tmp_path)).calibration.detector == "red 2"
    assert ArmCalibration(filename="a.fits", **Model(tmp_path).to_record()).detector == "red 2"
    frames = [
        path,
        {"arm": "RED", "mjd_start": 60000.4},
        {"ARM": "RED", "MJD-OBS": 60000.4},
        {"arm": "red", "datetime_obs": "2023-02-25T09:00:00"},
    ]
    for frame in frames:
        assert store.select(frame, DARK).detector == "red 2"
    with pytest.raises(HeaderError, match="detector"):
        store.select({"mjd_start": 60000.4}, DARK)


def test_what_is_given_is_not_overwritten_and_twice_gives_the_same() -> None:
    given = ArmCalibration.normalise({"arm": "red", "mjd_start": 60000.5, "detector": "spare"})
    assert given["detector"] == "spare"
    once = ArmCalibration.normalise({"arm": "red", "mjd_start": 60000.5})
    assert ArmCalibration.normalise(once) == once


def test_a_row_of_an_archive_is_asked_for_what_no_keyword_fills_and_is_null(tmp_path: Path) -> None:
    from koa_middleware.remote.rows import in_form

    row = {"id": "1", "filename": "a.fits", "cal_type": "dark", "arm": "red", "mjd_start": 60000.5}
    assert in_form(ArmCalibration, {**row, "detector": None})["detector"] == "red 2"
    assert in_form(ArmCalibration, {**row, "detector": "spare"})["detector"] == "spare"


@pytest.mark.parametrize(
    ("hook", "error", "said"),
    [
        (
            lambda values: {"detector": values["fiber"]},
            HeaderError,
            r"derive of Faulty failed for a\.fits.*KeyError.*\. Let the plugin faulty expect",
        ),
        (lambda values: None, InvalidPluginError, r"derive of Faulty, of the plugin faulty, returned a NoneType"),
        (lambda values: {"detectr": "1"}, InvalidPluginError, r"plugin faulty, returned detectr, which is no column"),
        (lambda values: {"fiber": "one"}, HeaderError, r"fiber \(derived\) of a\.fits is 'one'"),
    ],
)
def test_a_faulty_derive_is_told(hook: Any, error: type[Exception], said: str) -> None:
    class Faulty(ORMCalibration):
        instrument_name = "faulty"
        fiber: Mapped[int | None] = fits_column("FIBER", Integer)
        detector: Mapped[str | None] = fits_column((), String)

        @classmethod
        def derive(cls, values: dict[str, Any]) -> dict[str, Any]:
            """Do what the test says."""
            return hook(values)  # type: ignore[no-any-return]

    with pytest.raises(error, match=said):
        Faulty.complete_row({"filename": "a.fits", "cal_type": "dark", "mjd_start": 60000.0}, "a.fits")


def test_what_follows_from_a_file_follows_anew_from_what_the_user_sets(
    store: CalibrationStore[ArmCalibration], tmp_path: Path
) -> None:
    path = write_fits(tmp_path / "frame.fits", CARDS)
    assert frame_values(store, str(path), [])["detector"] == "red 2"
    assert frame_values(store, str(path), [("arm", "blue")])["detector"] == "blue 1"
    assert frame_values(store, str(path), [("detector", "spare")])["detector"] == "spare"


# -- names -------------------------------------------------------------------------------------------------------------


def test_a_name_says_what_no_keyword_does() -> None:
    named = ArmCalibration.values_from_header({}, "flat_20230225_fiber3.fits")
    assert (named["cal_type"], named["datetime_obs"], named["fiber"]) == ("flat", "2023-02-25", 3)
    both = ArmCalibration.values_from_header({"FIBER": 2, "MJD-OBS": 60000.5}, "flat_20230225_fiber3.fits")
    assert (both["fiber"], both["datetime_obs"]) == (2, "2023-02-25T12:00:00.000")
    other = ArmCalibration.values_from_header({"FIBER": ""}, "flat.fits")
    assert other == {"filename": "flat.fits"}


# -- converted values, and words that are none -------------------------------------------------------------------------


def test_a_keywords_value_is_converted_and_one_by_column_name_is_not() -> None:
    assert ArmCalibration.values_from_header({"WAVELEN": "6500.0"})["wavelength"] == 650.0
    assert ArmCalibration.values_from_header({"WAVE_NM": 650.0})["wavelength"] == 650.0
    assert ArmCalibration.normalise({"wavelength": 6500.0})["wavelength"] == 6500.0


@pytest.mark.parametrize("several", [["red"], ("red",), np.array(["red"])], ids=["list", "tuple", "array"])
@pytest.mark.parametrize("keyword", ["ARM", "GRATING"])
def test_several_values_under_a_keyword_of_text_are_refused(keyword: str, several: Any) -> None:
    class Converted(ORMCalibration):
        instrument_name = "converted"
        arm: Mapped[str | None] = fits_column("ARM", String)
        grating: Mapped[str | None] = fits_column("GRATING", String, convert=lambda word: str(word).upper())

    for frame in ({keyword: several, "MJD-OBS": 60000.5}, {keyword.lower(): several, "MJD-OBS": 60000.5}):
        with pytest.raises(HeaderError, match="not one value") as caught:
            column_values(Converted, frame)
        assert caught.value.column == keyword.lower()


def test_what_cannot_be_converted_is_told_with_keyword_and_file() -> None:
    with pytest.raises(HeaderError, match=r"WAVELEN of a\.fits is 'red'.*ValueError") as caught:
        ArmCalibration.values_from_header({"WAVELEN": "red"}, "a.fits")
    assert (caught.value.column, caught.value.keywords) == ("wavelength", ("WAVELEN",))


def test_a_convert_that_exits_ends_no_process() -> None:
    class Exiting(ORMCalibration):
        instrument_name = "exiting"
        fiber: Mapped[int | None] = fits_column("FIBER", Integer, convert=lambda value: sys.exit(3))

    with pytest.raises(HeaderError, match="SystemExit"):
        Exiting.values_from_header({"FIBER": 1}, "a.fits")


@pytest.mark.parametrize(
    ("keyword", "column", "word", "expected"),
    [
        ("ARM", "arm", "n/a", None),
        ("ARM", "arm", "Unknown", None),
        ("ARM", "arm", "none", "none"),
        ("FILTER", "filt", "NONE", "NONE"),
        ("FILTER", "filt", "N/A", "N/A"),
        ("FILTER", "filt", "  ", None),
        ("SLIT", "slit", "None", None),
        ("SLIT", "slit", "-99", None),
        ("SLIT", "slit", "N/A", "N/A"),
    ],
)
def test_words_that_mean_no_value_are_a_columns_own(keyword: str, column: str, word: str, expected: Any) -> None:
    assert ArmCalibration.values_from_header({keyword: word}).get(column) == expected
    assert ArmCalibration.normalise({column: word})[column] == expected


def test_a_filter_that_is_called_none_is_matched(store: CalibrationStore[ArmCalibration], tmp_path: Path) -> None:
    by_filter = CalibrationSelector(cal_type="flat", match=("filt",))
    for name, number in (("NONE", 1), ("V", 2)):
        cards = {"CALTYPE": "flat", "FILTER": name, "MJD-OBS": 60000.0 + number}
        store.register_calibration(write_fits(tmp_path / f"{name}.fits", cards))
    assert store.select({"mjd_start": 60002.0, "filt": "NONE"}, by_filter).filename == "NONE.fits"
    with pytest.raises(HeaderError, match=r"'\*' as its filt"):
        store.select({"mjd_start": 60002.0, "filt": "*"}, by_filter)
    by_arm = CalibrationSelector(cal_type="flat", match=("arm",))
    with pytest.raises(HeaderError, match="'NONE' as its arm"):
        store.select({"mjd_start": 60002.0, "arm": "NONE"}, by_arm)


@pytest.mark.parametrize("word", ["N/A", "none", "-99", "UNKNOWN", " "])
def test_a_column_of_numbers_has_the_usual_words_beside_its_own(word: str) -> None:
    assert ArmCalibration.normalise({"order": word})["order"] is None


@pytest.mark.parametrize(("raw", "expected"), [("N/A", None), ("-99", None), ("7", 8), (7, 8)])
def test_what_is_converted_is_a_number_where_the_column_holds_numbers_and_no_null_word(raw: Any, expected: Any) -> None:
    assert ArmCalibration.values_from_header({"ORDER": raw}).get("order") == expected


# -- whose header ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("instrume", ["ARMS", "arms", "Arms-Blue", "arms blue", "ARMSBLUE  ", "", "N/A", "-", None])
def test_a_header_of_this_instrument_or_of_none_is_read(instrume: Any) -> None:
    assert column_values(ArmCalibration, {**CARDS, "INSTRUME": instrume})["arm"] == "red"


def test_a_header_of_another_instrument_is_refused_unless_that_is_asked_for(
    store: CalibrationStore[ArmCalibration], tmp_path: Path
) -> None:
    path = write_fits(tmp_path / "dark.fits", {**CARDS, "INSTRUME": "LEGS"})
    for call in (store.register_calibration, lambda frame: store.select(frame, DARK)):
        with pytest.raises(HeaderError, match=r"dark\.fits is of the instrument LEGS.*not of arms") as caught:
            call(path)
        assert caught.value.keywords == ("INSTRUME",)
    with any_instrument():
        assert store.register_calibration(path).calibration.detector == "red 2"
