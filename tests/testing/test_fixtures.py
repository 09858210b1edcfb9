"""The fixtures for authors of plugins, on an instrument with keywords in extensions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationSelector, HeaderError, InstrumentPlugin
from koa_middleware.testing import (  # noqa: F401  (pytest finds them here)
    DemoNight,
    demo_store,
    make_frame,
    store,
    write_columns,
    write_fits,
)

from tests.conftest import DemoCalibration, dark


def _night(folder: Path) -> tuple[list[Path], list[Path]]:
    return [dark(folder, mjd=60000.0)], [dark(folder, "frame.fits", mjd=60000.5)]


@pytest.fixture
def plugin() -> InstrumentPlugin:
    return InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark")], demo=_night)


def test_the_demo_night_is_there_to_be_asked(demo_store: DemoNight) -> None:  # noqa: F811
    (frame,) = demo_store.frames
    assert demo_store.store.select(frame, "dark").filename == demo_store.calibrations[0].filename == "dark.fits"


def test_a_file_is_written_from_column_values_and_read_back(write_columns: Callable[..., Path]) -> None:  # noqa: F811
    path = write_columns("dark.fits", cal_type="Dark", mjd_mid=60000.5, mjd_start=60000.4)
    values = DemoCalibration.values_from_file(path)
    assert (values["cal_type"], values["mjd_mid"], values["mjd_start"]) == ("dark", 60000.5, 60000.4)


def test_frames_have_names_of_their_own(make_frame: Callable[..., Path]) -> None:  # noqa: F811
    first, second = make_frame(spectrograph="BSPEC"), make_frame()
    assert first.name != second.name
    assert DemoCalibration.values_from_file(first)["spectrograph"] == "BSPEC"


@pytest.mark.parametrize("column", ["file_size", "lampe"])
def test_a_column_that_no_keyword_fills_is_named(column: str, write_columns: Callable[..., Path]) -> None:  # noqa: F811
    with pytest.raises(HeaderError, match=f"No keyword fills {column}"):
        write_columns("x.fits", **dict[str, Any]({column: 1}))
