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


def marks(figure: Any) -> dict[str, Any]:
    """The marks of calibrations by their shape, of the first band that has them."""
    lines = [each for each in figure.axes[0].lines if each.get_marker() in ("|", "o", "x")]
    return {each.get_marker(): each for each in reversed(lines) if each.get_xdata().size}


def dates_of(figure: Any) -> list[str]:
    return [each.get_text() for each in figure.axes[0].get_xticklabels()]


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


def test_a_good_calibration_is_seen_from_afar(coverage: Coverage) -> None:
    assert marks(coverage.figure())["|"].get_markeredgewidth() >= 1.5  # points; a hairline is 0.5


def test_no_calibration_hides_another_one_of_the_same_time(coverage: Coverage) -> None:
    """A mark is smaller than those that lie under it."""
    lowest_first = sorted(marks(coverage.figure()).values(), key=lambda each: each.zorder)
    assert [each.get_marker() for each in lowest_first] == ["|", "o", "x"]
    good, unknown, bad = (each.get_markersize() for each in lowest_first)
    assert good > 1.5 * unknown > 1.5 * bad


def test_a_mark_at_the_end_stands_apart_from_labels_and_numbers(coverage: Coverage) -> None:
    """A figure's axis is longer than its times by some points, on each side."""
    figure = coverage.figure()
    axes, times = figure.axes[0], [each.get_xdata() for each in marks(figure).values()]
    left, right = (axes.transData.transform((day, 0))[0] for day in (min(map(min, times)), max(map(max, times))))
    assert left - axes.bbox.x0 > 4 * figure.dpi / 72
    assert axes.bbox.x1 - right > 4 * figure.dpi / 72


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2023-02-25", "2023-02-25", "00:00\n2023-02-25", "00:00\n2023-02-26"),
        ("2023-02-25T09:00", "2023-03-06T09:00", "2023-02-27", "2023-03-05"),
        ("2023-01-01", "2023-12-31", "2023-01", "2024-01"),
        ("2023-02-25T00:00:00", "2023-02-25T00:00:30", "00:00:00\n2023-02-25", "00:00:30"),
    ],
)
def test_each_date_says_its_day_and_stands_there_once(
    open_demo: Open, start: str, end: str, first: str, last: str
) -> None:
    store = open_demo()
    InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark")])
    said = dates_of(store.coverage(None, start, end).figure())
    assert (said[0], said[-1]) == (first, last)
    assert len({*said}) == len(said) <= 7


def test_a_legend_explains_only_what_is_in_the_figure(open_demo: Open) -> None:
    store = open_demo()
    store.local_db.add([record("a.fits", 60000.0)])
    InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark")])
    (legend,) = store.coverage().figure().legends
    assert [each.get_text() for each in legend.get_texts()] == ["GOOD", "an answer"]


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
