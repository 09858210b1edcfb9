"""The user's own choice in the place of a rule's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    HeaderWarning,
    InstrumentPlugin,
    IntegrityError,
    KoaMiddlewareError,
    QualityWarning,
    SourceFileError,
)

from tests.conftest import DemoCalibration, dark, record, write_fits

Store = CalibrationStore[DemoCalibration]
FRAME = {"mjd_start": 60000.0, "spectrograph": "BSPEC"}


@pytest.fixture(autouse=True)
def plugin() -> Iterator[InstrumentPlugin]:
    """Give the made instrument pairs of darks, and flats that hang on them."""
    before = DemoCalibration.selectors, DemoCalibration.needs
    yield InstrumentPlugin(
        DemoCalibration,
        [
            CalibrationSelector(cal_type="dark", match=("spectrograph",), direction="bracket"),
            CalibrationSelector(cal_type="flat", anchor="dark"),
        ],
    )
    DemoCalibration.selectors, DemoCalibration.needs = before


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Store:
    """Give a store of darks near and far, each with a flat of its time."""
    for name, mjd in (("near", 60001.0), ("far", 60009.0)):
        store.register_calibration(dark(tmp_path / "night", f"{name}.fits", mjd))
        store.register_calibration(dark(tmp_path / "night", f"flat-{name}.fits", mjd, CALTYPE="flat"))
    return store


def used(store: Store, given: Any) -> Any:
    return store.get_calibrations(FRAME, use={"dark": given})["dark"]


@pytest.mark.parametrize("kind", ["id", "name", "record", "path", "text of the path"])
def test_a_registered_calibration_is_used_in_the_place_of_the_rules(filled: Store, kind: str) -> None:
    known = filled.local_db.query_by_filename("far.fits")
    path = filled.get_local_filepath(known)
    given = {"id": known.id, "name": "far.fits", "record": known, "path": path, "text of the path": str(path)}[kind]
    result = used(filled, given)
    assert (result.path, result.calibration.id) == (path, known.id)
    choice = result.calibration.choice
    assert (choice.given_by_user, choice.cal_type, choice.delta_days, choice.step) == (True, "dark", 9.0, None)
    assert known.choice is None
    assert not filled.select(FRAME, "dark").choice.given_by_user


def test_what_hangs_on_a_type_hangs_on_what_the_user_gave(filled: Store) -> None:
    assert filled.get_calibrations(FRAME)["flat"].calibration.filename == "flat-near.fits"
    found = filled.get_calibrations(FRAME, use={"Dark ": "far.fits"})
    assert found["flat"].calibration.filename == "flat-far.fits"
    assert not found["flat"].calibration.choice.given_by_user


def test_a_file_that_is_not_registered_is_used_where_it_lies(filled: Store, tmp_path: Path) -> None:
    own = dark(tmp_path / "mine", "own.fits", 60002.0, EXPTIME=30.0)
    result = used(filled, own)
    assert result.path == own
    described = (result.calibration.filename, result.calibration.exposure_time, result.calibration.choice.delta_days)
    assert described == ("own.fits", 30.0, 2.0)
    assert result.calibration.file_size == own.stat().st_size
    assert len(filled.query("dark")) == 2


def test_a_file_beside_the_cache_is_not_the_registered_one_of_that_name(filled: Store, tmp_path: Path) -> None:
    own = dark(tmp_path / "mine", "far.fits", 60002.0)
    assert used(filled, own).path == own


def test_a_file_whose_header_names_no_type_is_of_the_one_that_it_is_given_for(filled: Store, tmp_path: Path) -> None:
    own = write_fits(tmp_path / "own.fits", {"EXPMJDST": 60002.0, "SPECTROG": "BSPEC"})
    with pytest.warns(HeaderWarning, match=r"own\.fits names no type; it is used as the dark"):
        assert used(filled, own).calibration.cal_type == "dark"


def test_a_calibration_that_is_bad_is_used_with_a_warning(filled: Store) -> None:
    filled.flag("far.fits", "BAD", "stray light")
    with pytest.warns(QualityWarning, match=r"far\.fits, which is used as the dark, is flagged as bad") as caught:
        assert used(filled, "far.fits").path.name == "far.fits"
    assert [each.filename for each in caught] == [__file__]


def test_a_calibration_that_is_bad_here_is_used_with_a_warning(filled: Store) -> None:
    filled.flag("far.fits", "BAD", "stray light", here=True)
    with pytest.warns(QualityWarning, match=r"far\.fits, which is used as the dark, is flagged as bad"):
        used(filled, "far.fits")


def test_a_calibration_that_is_not_as_the_frame_is_used_with_a_warning(filled: Store, tmp_path: Path) -> None:
    own = dark(tmp_path / "mine", "own.fits", 60002.0, SPECTROG="RSPEC")
    said = r"own\.fits, .* dark, differs from the frame of mjd_start 60000\.0: its spectrograph is RSPEC, .* is BSPEC\."
    with pytest.warns(HeaderWarning, match=said):
        assert used(filled, own).path == own


def test_a_frame_is_not_its_own_calibration(filled: Store, tmp_path: Path) -> None:
    frame = dark(tmp_path, "frame.fits", 60000.0)
    with pytest.raises(ConfigurationError, match=r"frame\.fits, .* dark, is the frame itself"):
        filled.get_calibrations(frame, use={"dark": frame})


def test_a_type_that_was_not_asked_for_comes_besides(filled: Store) -> None:
    found = filled.get_calibrations(FRAME, ["flat"], use={"dark": "far.fits"})
    assert {name: each.path.name for name, each in found.items()} == {"flat": "flat-far.fits", "dark": "far.fits"}


@pytest.mark.parametrize(
    ("use", "error", "said"),
    [
        ({"sky": "far.fits"}, ConfigurationError, "no selector for 'sky'"),
        ({"dark": "none.fits"}, CalibrationNotFoundError, "none.fits"),
        ({"dark": "flat-far.fits"}, ConfigurationError, "is of the type flat"),
        ({"dark": "/nowhere/dark.fits"}, SourceFileError, "/nowhere/dark.fits"),
        ({"dark": "é" * 300}, CalibrationNotFoundError, "éé"),
        ({"dark": "/nowhere/" + "é" * 300}, SourceFileError, "éé"),
        ({"dark": "far.fits", "DARK ": "near.fits"}, ConfigurationError, "Two calibrations are given as the dark"),
        ({"dark": 7}, ConfigurationError, "7 is no calibration"),
        ({"dark": None}, ConfigurationError, "None is no calibration"),
        (["far.fits"], ConfigurationError, "use is"),
    ],
)
def test_what_cannot_be_used_is_an_error(filled: Store, use: Any, error: type[KoaMiddlewareError], said: str) -> None:
    with pytest.raises(error, match=said):
        filled.get_calibrations(FRAME, use=use, return_exceptions=True)


def test_a_damaged_file_is_not_used(filled: Store, tmp_path: Path) -> None:
    own = dark(tmp_path / "mine", "own.fits")
    os.truncate(own, own.stat().st_size - 1)
    with pytest.raises(SourceFileError, match="damaged"):
        used(filled, own)


@pytest.mark.filterwarnings("ignore::koa_middleware.QuarantineWarning")
def test_a_registered_file_that_is_spoilt_is_not_used(filled: Store) -> None:
    path = filled.get_local_filepath(filled.local_db.query_by_filename("far.fits"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError):
        used(filled, "far.fits")


def test_nothing_given_is_the_rules_choice(filled: Store) -> None:
    assert filled.get_calibrations(FRAME, use={})["flat"].path.name == "flat-near.fits"
    assert record().choice is None
