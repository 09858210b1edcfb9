"""The older package's names: they work, and say the present ones."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import koa_middleware
import pytest
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    ORMCalibration,
    former_names,
    open_store,
    settings,
)

from tests.conftest import DemoCalibration, dark, run_python

ADDRESS, OTHER = "https://koa/files", "https://else/files"


@contextmanager
def told_here(*words: str) -> Iterator[None]:
    """Check that one DeprecationWarning comes, with these words, and points at this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    (only,) = caught
    assert only.category is DeprecationWarning
    assert only.filename == __file__
    assert all(word in str(only.message) for word in words), only.message


def test_the_former_name_of_the_class_is_the_class_and_tells_the_line_that_uses_it() -> None:
    with told_here("CalibrationORM", "ORMCalibration"):
        assert koa_middleware.CalibrationORM is ORMCalibration
    with pytest.warns(DeprecationWarning, match="ORMCalibration") as caught:
        from koa_middleware import CalibrationORM
    assert CalibrationORM is ORMCalibration
    assert {each.filename for each in caught} == {__file__}
    assert "CalibrationORM" not in koa_middleware.__all__


def test_a_line_of_a_plugin_is_pointed_at() -> None:
    plugin: dict[str, Any] = {"__name__": "koa_middleware_made", "koa_middleware": koa_middleware}
    with pytest.warns(DeprecationWarning, match="ORMCalibration") as caught:
        exec(compile("\n\nkoa_middleware.CalibrationORM", "made.py", "exec"), plugin)
    assert [(each.filename, each.lineno) for each in caught] == [("made.py", 3)]


def test_nothing_is_told_at_import() -> None:
    process = run_python("import warnings; warnings.simplefilter('error')\nimport koa_middleware.store")
    assert (process.communicate()[1], process.returncode) == ("", 0)


def test_the_former_argument_is_the_present_one(tmp_path: Path) -> None:
    with (
        told_here("calibrations_url", "calibration_url"),
        CalibrationStore(DemoCalibration, tmp_path, calibrations_url=ADDRESS) as store,  # type: ignore[call-arg]
    ):
        assert store.settings.calibration_url == ADDRESS
    for more in ({"calibration_url": ADDRESS}, {"calibration_url": None}):
        with told_here("calibrations_url"):
            given = CalibrationStore(DemoCalibration, tmp_path, calibrations_url=ADDRESS, **more)  # type: ignore[arg-type]
        assert given.settings.calibration_url == ADDRESS
        given.close()
    with told_here("calibrations_url"), pytest.raises(ConfigurationError, match="two values") as caught:
        CalibrationStore(DemoCalibration, tmp_path, calibration_url=ADDRESS, calibrations_url=OTHER)  # type: ignore[call-arg]
    assert OTHER not in str(caught.value)
    assert "calibrations_url" not in inspect.signature(CalibrationStore).parameters
    with pytest.raises(TypeError, match="calibration_uri"):
        CalibrationStore(DemoCalibration, tmp_path, calibration_uri=ADDRESS)  # type: ignore[call-arg]


def test_open_store_takes_the_former_argument_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("koa_middleware.opening.get_plugin", lambda _: koa_middleware.InstrumentPlugin(DemoCalibration))
    with (
        told_here("calibration_url"),
        open_store("demo", cache_dir=tmp_path, calibrations_url=ADDRESS) as store,
    ):
        assert store.settings.calibration_url == ADDRESS


def test_the_former_variable_counts_where_the_present_one_is_not_set(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOA_REMOTE_CALIBRATION_URL", "postgresql://former/db")
    for present, expected in (
        (None, "postgresql://former/db"),
        ("none", "postgresql://former/db"),
        ("postgresql://present/db", "postgresql://present/db"),
    ):
        if present is not None:
            monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", present)
        with (
            told_here("KOA_REMOTE_CALIBRATION_URL", "KOA_REMOTE_DATABASE_URL"),
            CalibrationStore(DemoCalibration, tmp_path) as store,
        ):
            assert store.settings.remote_database_url == expected
    monkeypatch.setenv("KOA_REMOTE_CALIBRATION_URL", " None ")
    assert settings.resolve("demo", cache_dir=tmp_path).remote_database_url == "postgresql://present/db"


@pytest.mark.parametrize("name", former_names.WITHOUT_MEANING)
def test_a_variable_without_meaning_is_told_with_what_to_do(
    name: str, clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "https://user:secret@koa/api")
    with told_here(name, former_names.WITHOUT_MEANING[name]), CalibrationStore(DemoCalibration, tmp_path) as store:
        assert "secret" not in repr(store)
        assert store.settings == settings.Settings(tmp_path, "demo_calibrations.db")


def test_the_former_methods_do_what_the_present_ones_do(store: CalibrationStore[Any], tmp_path: Path) -> None:
    made = store.register_calibration(dark(tmp_path / "night"))
    selector = CalibrationSelector(cal_type="dark")
    with told_here("select_and_get_calibration", "get_calibration"):
        assert store.select_and_get_calibration({"mjd_start": 60000.5}, selector).path == made.path
    with told_here("query_id", "query_by_id"):
        assert store.local_db.query_id(made.calibration.id).filename == "dark.fits"
    with told_here("query_by_id"), pytest.raises(CalibrationNotFoundError):
        store.local_db.query_id("nosuch")
    assert isinstance(CalibrationStore.select_and_get_calibration, former_names.FormerMethod)
