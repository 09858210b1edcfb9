from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, HeaderError, SourceFileError
from koa_middleware.instrument.frames import column_values

from tests.conftest import DemoCalibration, dark, dark_keywords, record

DARK = CalibrationSelector(cal_type="dark", match=("spectrograph", "lamp"))


@pytest.fixture
def filled(store: CalibrationStore[DemoCalibration], tmp_path: Path) -> CalibrationStore[DemoCalibration]:
    store.register_calibration(dark(tmp_path / "sources", "thar.fits", 60001.0, LAMP="ThAr"))
    store.register_calibration(dark(tmp_path / "sources", "lfc.fits", 60000.0, LAMP="LFC"))
    return store


class Attributed:
    """Metadata as a data model holds it: attributes, of which some are no columns."""

    mjd_start = 60000.0
    spectrograph = "BSPEC  "
    lamp = "THAR "
    telescope = "Keck I"


def header() -> Any:
    from astropy.io import fits

    return fits.Header(dark_keywords(60000.0, LAMP="THAR  "))


COLUMNS = {"mjd_start": 60000.0, "spectrograph": "BSPEC ", "lamp": " THAR"[1:], "other": 1}

INPUTS = {
    "header": header,
    "mapping of columns": lambda: COLUMNS,
    "time as text": lambda: {**COLUMNS, "mjd_start": None, "datetime_obs": "2023-02-25T00:00:00Z"},
    "record": lambda: record("frame.fits", lamp="ThAr"),
    "model with a header": lambda: SimpleNamespace(header=header()),
    "model whose meta is a header": lambda: SimpleNamespace(meta=header()),
    "model whose meta maps columns": lambda: SimpleNamespace(meta=COLUMNS),
    "model whose meta maps keywords": lambda: SimpleNamespace(meta=dict(header())),
    "model whose meta has attributes": lambda: SimpleNamespace(meta=Attributed()),
    "model with both": lambda: SimpleNamespace(header=header(), meta={}),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_each_kind_of_input_is_understood(filled: CalibrationStore[DemoCalibration], kind: str) -> None:
    assert filled.select(INPUTS[kind](), DARK).filename == "thar.fits"


@pytest.mark.parametrize("as_given", [str, Path, lambda path: f"~/{path.name}", lambda path: path.name])
def test_a_path_is_read(
    filled: CalibrationStore[DemoCalibration], tmp_path: Path, monkeypatch: Any, as_given: Any
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    frame = dark(tmp_path, "frame.fits", LAMP="THAR")
    assert filled.select(as_given(frame), DARK).filename == "thar.fits"


@pytest.mark.parametrize(
    "given", [None, 42, pytest.param(object(), id="object()"), ["frame.fits"], SimpleNamespace(meta=None)], ids=repr
)
def test_what_is_no_frame_is_said(filled: CalibrationStore[DemoCalibration], given: Any) -> None:
    with pytest.raises(HeaderError, match=type(given).__name__):
        filled.select(given, DARK)


@pytest.mark.parametrize("path", ["missing.fits", "~nosuchuser/frame.fits", "a\0b.fits"])
def test_a_missing_frame_is_a_source_file_error(filled: CalibrationStore[DemoCalibration], path: str) -> None:
    for call in (filled.select, filled.explain, filled.get_calibration):
        with pytest.raises(SourceFileError, match="cannot be read"):
            call(path, DARK)


def test_a_frame_that_lacks_a_keyword_is_named_with_it(
    filled: CalibrationStore[DemoCalibration], tmp_path: Path
) -> None:
    with pytest.raises(HeaderError, match=r"frame\.fits.*lamp.*LAMP"):
        filled.select(dark(tmp_path, "frame.fits"), DARK)


def test_frames_and_calibrations_go_through_the_same_door(tmp_path: Path) -> None:
    source = dark(tmp_path, LAMP="ThAr   ", EXPTIME=300, GRNAMPS=4, COOLED=True)
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store:
        registered = store.register_calibration(source).calibration.to_dict()
    frame = column_values(DemoCalibration, source)
    assert frame == {name: registered[name] for name in frame}
    assert {"lamp", "exposure_time", "amplifiers", "cooled"} <= set(frame)
