"""The figure of what there is over time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, ConfigurationError, Coverage, InstrumentPlugin

from tests.conftest import DemoCalibration, record

Open = Callable[..., CalibrationStore[Any]]

#: What the first bytes of a file say of its form.
FORMS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


@pytest.fixture
def coverage(open_demo: Open) -> Coverage:
    """Give the coverage of two spectrographs, with a gap, a boundary and each quality."""
    store = open_demo()
    store.local_db.add(
        [
            record("a.fits", 60000.0),
            record("b.fits", 60001.0, quality="UNKNOWN"),
            record("c.fits", 60008.0, quality="BAD"),
            record("d.fits", 60008.0, spectrograph=r"R $\nosuch$"),
        ]
    )
    rule = {"match": ("spectrograph",), "never_across": (60004.0,), "max_age": timedelta(days=2)}
    InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark", **rule)])
    return store.coverage()


def texts(figure: Any) -> list[str]:
    return [each.get_text() for each in figure.findobj(lambda each: hasattr(each, "get_text"))]


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_figure_is_written_in_the_form_that_its_name_says(coverage: Coverage, tmp_path: Path, form: str) -> None:
    coverage.figure(tmp_path / f"night.{form}")
    assert (tmp_path / f"night.{form}").read_bytes().startswith(FORMS[form])
    assert [each.name for each in tmp_path.glob("*night*")] == [f"night.{form}"]


def test_a_figure_names_types_groups_boundaries_and_qualities(coverage: Coverage) -> None:
    said = texts(coverage.figure())
    assert {"dark", "BSPEC", "boundary 2023-03-01", "UTC", "GOOD", "UNKNOWN", "BAD", "no answer"} <= {*said}
    assert r"R $\nosuch$" in said  # which is no formula


def test_a_figure_is_as_wide_as_a_page_and_as_high_as_its_bands_need(coverage: Coverage) -> None:
    width, height = coverage.figure().get_size_inches()
    assert width < 8
    assert height < 3


def test_a_figure_may_be_dark(coverage: Coverage) -> None:
    light, dark = (sum(coverage.figure(dark=each).get_facecolor()[:3]) for each in (False, True))
    assert light == 3
    assert dark < 0.5


def test_a_figure_is_replaced_when_that_is_asked_for_and_nothing_else_is(coverage: Coverage, tmp_path: Path) -> None:
    coverage.figure(tmp_path / "night.svg")
    with pytest.raises(ConfigurationError, match="already"):
        coverage.figure(tmp_path / "night.svg")
    coverage.figure(tmp_path / "night.svg", overwrite=True)
    (tmp_path / "thesis.pdf").write_text("my thesis")
    with pytest.raises(ConfigurationError, match="is no figure"):
        coverage.figure(tmp_path / "thesis.pdf", overwrite=True)
    assert (tmp_path / "thesis.pdf").read_text() == "my thesis"


def test_a_name_that_says_no_form_is_an_error(coverage: Coverage, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"does not end with \.png"):
        coverage.figure(tmp_path / "night.fits")
    with pytest.raises(ConfigurationError, match="path"):
        coverage.figure(5)  # type: ignore[arg-type]


def test_without_matplotlib_an_error_says_how_to_install_it(
    coverage: Coverage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'koa-middleware\[plot\]'"):
        coverage.figure()


def test_there_is_a_figure_of_nothing(store: Any) -> None:
    InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark")])
    assert "demo: there are no calibrations" in texts(store.coverage().figure())
