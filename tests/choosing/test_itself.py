"""A frame that is a calibration too is never its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationNotFoundError, CalibrationSelector, CalibrationStore

from tests.conftest import DemoCalibration, dark, record

DARK = CalibrationSelector(cal_type="dark", match=("spectrograph",))

Store = CalibrationStore[DemoCalibration]


class Programmed(CalibrationSelector):
    """Takes the first of all."""

    cal_type = "dark"

    def select_best(self, input: Mapping[str, Any], candidates: Iterable[Any]) -> Any:
        """Give the first."""
        return next(iter(candidates), None)


class Falling(CalibrationSelector):
    """Falls back to the nearest."""

    cal_type = "dark"
    match = ("lamp",)

    def select_fallback(self, input: Mapping[str, Any], db: Any) -> Any:
        """Give the nearest of all but this rule."""
        return min(DARK.get_candidates({**input, "filename": None, "id": None}, db), key=lambda each: each.filename)


@pytest.fixture
def darks(store: Store, tmp_path: Path) -> list[Path]:
    files = [dark(tmp_path / "night", f"dark-{n}.fits", 60000.0 + n) for n in range(2)]
    for path in files:
        store.register_calibration(path)
    return files


@pytest.mark.parametrize("rule", [DARK, Programmed])
def test_a_calibration_gets_another_one_of_its_type(store: Store, darks: list[Path], rule: Any) -> None:
    (first, second) = store.query("dark")
    for frame in (darks[0], first, {**first.to_dict(), "filename": None}, {**first.to_dict(), "id": None}):
        assert store.select(frame, rule).filename == second.filename
    assert store.select({"mjd_start": 60000.0, "spectrograph": "BSPEC"}, rule).filename == first.filename


@pytest.mark.parametrize("rule", [DARK, Programmed])
def test_a_file_that_is_compressed_or_not_any_more_is_the_frame_itself(
    open_demo: Callable[..., Store], rule: Any
) -> None:
    names = ["D.fits", "D.fits.gz", "D.fits.bz2", "D.fits.xz", "D.fits.fz"]
    for registered in names:
        store = open_demo(orm_class=DemoCalibration)
        store.local_db.add([record(registered), record("D2.fits.gz", 60001.0)])
        for frame in names:
            given = {"filename": f"/night/{frame}", "mjd_start": 60000.0, "spectrograph": "BSPEC"}
            assert store.select(given, rule).filename == "D2.fits.gz", (registered, frame)
        assert dict(store.explain(given, DARK).counts) == {"chosen": 1, "itself": 1}
        with store.local_db.begin() as connection:
            connection.exec_driver_sql("DELETE FROM demo_calibrations")


def test_the_only_one_of_a_type_gets_none_and_the_explanation_says_why(store: Store, tmp_path: Path) -> None:
    path = dark(tmp_path, "only.fits")
    store.register_calibration(path)
    for rule in (DARK, Programmed):
        with pytest.raises(CalibrationNotFoundError):
            store.select(path, rule)
    explanation = store.explain(path, DARK)
    assert dict(explanation.counts) == {"itself": 1}
    assert "it is the frame itself" in str(explanation)


def test_a_fallback_does_not_give_the_frame_itself(store: Store, darks: list[Path]) -> None:
    with pytest.raises(CalibrationNotFoundError):
        store.select({"filename": darks[0].name, "mjd_start": 60000.0, "spectrograph": "BSPEC", "lamp": "une"}, Falling)
