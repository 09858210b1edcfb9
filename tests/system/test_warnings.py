"""Each warning points at the line of the user, however deep its cause lies and whoever's code lies between."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, QuarantineWarning, StaleWarning, Step
from koa_middleware.exceptions import FallbackWarning, SharedCacheWarning

from tests.conftest import DemoCalibration, dark, output_of, record, run_python

Store = CalibrationStore[DemoCalibration]
FRAME = {"mjd_start": 60000.0, "lamp": "thar"}


class FallsBack(CalibrationSelector):
    cal_type = "dark"
    match = ("lamp",)

    def select_fallback(self, input: Mapping[str, Any], db: Any) -> Any:
        return CalibrationSelector(cal_type="dark").get_candidates(input, db)[0]


class Steps(CalibrationSelector):
    cal_type = "dark"
    prefer = (Step({"lamp": "lfc"}), Step())


#: A plugin whose package has a name of its own: what stands in it is not the user's line either.
PLUGIN = """
class Overrides(FallsBack):
    def select(self, input, db):
        return super().select(input, db)

class FallsBackTwice(FallsBack):
    def select_fallback(self, input, db):
        return Overrides().select(input, db)

class ChoosesByItself(FallsBack):
    def get_candidates(self, input, db):
        return super().get_candidates(input, db)
"""


def plugin_class(name: str) -> Any:
    namespace: dict[str, Any] = {"FallsBack": FallsBack, "__name__": "someones_plugin"}
    exec(compile(PLUGIN, "someones_plugin.py", "exec"), namespace)
    return namespace[name]


def places(call: Callable[[], Any], category: type[Warning]) -> set[tuple[str, int]]:
    """File and line that each warning of a call points at; all must be of the category."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert caught
    assert {each.category for each in caught} == {category}
    return {(each.filename, each.lineno) for each in caught}


def line_of(call: Any) -> set[tuple[str, int]]:
    """File and line of a call, a lambda on one line of this file."""
    return {(__file__, call.__code__.co_firstlineno)}


@pytest.fixture
def with_dark(store: Store, tmp_path: Path) -> Store:
    store.register_calibration(dark(tmp_path / "night"))
    return store


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.select(FRAME, FallsBack),
        lambda store: store.select_many([FRAME, FRAME], FallsBack),
        lambda store: store.get_calibration(FRAME, FallsBack),
        lambda store: store.select_set(FRAME, ["dark"]),
        lambda store: store.select_sets([FRAME], ["dark"]),
        lambda store: store.select_bracket(FRAME, Steps),
        lambda store: store.get_bracket(FRAME, Steps),
        lambda store: store.get_calibrations(FRAME, ["dark"]),
        lambda store: store.prefetch([FRAME], cal_types=["dark"]),
        lambda store: store.explain(FRAME, FallsBack),
        lambda store: FallsBack().select(FRAME, store.local_db),
        lambda store: store.select(FRAME, plugin_class("Overrides")),
        lambda store: store.select(FRAME, plugin_class("FallsBackTwice")),
        lambda store: store.select(FRAME, plugin_class("ChoosesByItself")),
    ],
)
def test_a_fallback_is_told_at_the_line_that_asked(
    with_dark: Store, call: Callable[[Store], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": FallsBack()})
    assert places(lambda: call(with_dark), FallbackWarning) == line_of(call)


def test_a_fallback_is_told_at_each_line_that_asks(with_dark: Store) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            with_dark.select(FRAME, FallsBack)
        with_dark.select(FRAME, FallsBack)
    assert [each.category for each in caught] == [FallbackWarning, FallbackWarning]


@pytest.mark.parametrize("filter_", ["default", "module"])
def test_a_fallback_is_told_for_every_frame_with_its_name_and_type(
    with_dark: Store, tmp_path: Path, filter_: Any
) -> None:
    frames = [dark(tmp_path / "frames", f"frame{number}.fits", 60000.0 + number, LAMP="thar") for number in range(3)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(filter_)
        for frame in [*frames, {"mjd_start": 60007.5, "lamp": "thar"}]:
            with_dark.select(frame, FallsBack)
    said = [str(each.message) for each in caught]
    assert len(said) == 4
    for message, name in zip(said, [*(frame.name for frame in frames), "mjd_start 60007.5"], strict=True):
        assert "No dark fits" in message
        assert name in message


def test_each_choice_is_one_line_of_the_log_and_what_is_warned_of_stands_there_too(
    with_dark: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "koa_middleware")
    frame = dark(tmp_path / "frames", "frame.fits", LAMP="thar")
    with_dark.select(frame, CalibrationSelector(cal_type="dark"))
    with pytest.warns(FallbackWarning):
        with_dark.get_calibration(frame, FallsBack)
    with_dark.explain(frame, CalibrationSelector(cal_type="dark"))
    (choice, fallback, by_fallback) = [(each.levelname, each.getMessage()) for each in caplog.records]
    assert choice == ("INFO", "dark for frame.fits: dark.fits")
    assert fallback[0] == "WARNING"
    assert "No dark fits frame.fits" in fallback[1]
    assert by_fallback == ("INFO", "dark for frame.fits: dark.fits, by fallback")


def test_a_framework_that_configures_logging_after_the_import_hears_of_the_choices(tmp_path: Path) -> None:
    script = """
import logging.config, sys
from tests.conftest import DemoCalibration, record
from koa_middleware import CalibrationSelector, CalibrationStore
handler = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}
logging.config.dictConfig({"version": 1, "handlers": {"h": handler}, "root": {"level": "INFO", "handlers": ["h"]}})
with CalibrationStore(DemoCalibration, sys.argv[1]) as store:
    store.local_db.add(record("chosen.fits"))
    store.select({"mjd_start": 60000.0}, CalibrationSelector(cal_type="dark"))
"""
    assert output_of(run_python(script, tmp_path)) == "dark for the frame of mjd_start 60000.0: chosen.fits\n"


def test_without_any_logging_a_warning_is_told_once(tmp_path: Path) -> None:
    script = """
import sys
from tests.conftest import DemoCalibration, record
from tests.system.test_warnings import FallsBack
from koa_middleware import CalibrationStore
with CalibrationStore(DemoCalibration, sys.argv[1]) as store:
    store.local_db.add(record("chosen.fits"))
    store.select({"mjd_start": 60000.0, "lamp": "thar"}, FallsBack)
"""
    process = run_python(script, tmp_path)
    _, error = process.communicate(timeout=120)
    assert error.count("its fallback chose chosen.fits") == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.get_calibration(FRAME, CalibrationSelector(cal_type="dark")),
        lambda store: store.get_calibration_by_id(store.query()[0].id),
        lambda store: store.get_calibrations(FRAME, ["dark"]),
        lambda store: store.prefetch(records=store.query()),
    ],
)
def test_what_is_wrong_with_a_cached_file_is_told_at_the_line_that_asked(
    open_demo: Callable[..., Store], tmp_path: Path, call: Callable[[Store], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": CalibrationSelector(cal_type="dark")})
    served = dark(tmp_path / "served", "dark.fits")
    own = open_demo(calibration_url=served.parent.as_uri())
    own.local_db.add(record("dark.fits", origin="REMOTE", file_size=served.stat().st_size))
    own.get_local_filepath(own.query()[0]).write_bytes(b"spoilt")
    assert places(lambda: call(own), QuarantineWarning) == line_of(call)

    open_demo(tmp_path / "none").close()
    (tmp_path / "none" / "calibrations").rmdir()
    shared = open_demo(tmp_path / "second", calibration_url=served.parent.as_uri(), shared_cache_dir=tmp_path / "none")
    shared.local_db.add(own.query())
    assert places(lambda: call(shared), SharedCacheWarning) == line_of(call)


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.select(FRAME, CalibrationSelector(cal_type="dark")),
        lambda store: store.get_calibrations(FRAME, ["dark"]),
        lambda store: store.select_many([FRAME], "dark"),
    ],
)
def test_a_stale_copy_is_told_at_the_line_that_asked(
    open_demo: Callable[..., Store], tmp_path: Path, call: Callable[[Store], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": CalibrationSelector(cal_type="dark")})
    store = open_demo(
        remote_database_url="postgresql://nobody@127.0.0.1:1/nothing", sync_if_older_than=timedelta(hours=1)
    )
    store.register_calibration(dark(tmp_path / "night"))
    assert places(lambda: call(store), StaleWarning) == line_of(call)
