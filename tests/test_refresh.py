"""Records made anew after an upgrade of the plugin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore, ORMCalibration, fits_column
from sqlalchemy import String, event
from sqlalchemy.orm import Mapped

from tests.conftest import write_fits

pytestmark = pytest.mark.filterwarnings("ignore::koa_middleware.exceptions.SchemaWarning")

KEYWORDS = {"CALTYPE": "dark", "MJD-OBS": 61000.0, "ARM": "blue", "GRATNAME": "B600"}


class First(ORMCalibration):
    instrument_name = "demo"
    arm: Mapped[str | None] = fits_column("ARM", String)
    detector: Mapped[str | None] = fits_column((), String)
    note: Mapped[str | None] = fits_column((), String)

    @classmethod
    def derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {"detector": f"{values['arm']} one"} if "arm" in values else {}


class Second(ORMCalibration):
    """Derives otherwise, and has a column more, which a keyword fills."""

    instrument_name = "demo"
    arm: Mapped[str | None] = fits_column("ARM", String, fold=True)
    detector: Mapped[str | None] = fits_column((), String)
    note: Mapped[str | None] = fits_column((), String)
    grating: Mapped[str | None] = fits_column("GRATNAME", String)

    @classmethod
    def derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("arm") == "red":
            raise ValueError("no red detector")
        return {"detector": f"{values['arm']} two"} if "arm" in values else {}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a cache that the first class filled: two records with files, one of them flagged."""
    with CalibrationStore(First, tmp_path / "cache") as store:
        for name, more in {"a.fits": {}, "b.fits": {"ARM": "red", "MJD-OBS": 61001.0}}.items():
            store.register_calibration(write_fits(tmp_path / name, {**KEYWORDS, **more}))
        store.flag("a.fits", "BAD", "light leak")
        with store.local_db.session_manager() as session:
            session.query(First).filter_by(filename="a.fits").one().note = "kept"
    return tmp_path / "cache"


@pytest.fixture
def open_second(folder: Path) -> Callable[[], CalibrationStore[Second]]:
    return lambda: CalibrationStore(Second, folder)


Open = Callable[[], CalibrationStore[Second]]


def test_what_follows_from_other_columns_is_derived_anew_and_all_else_stays(open_second: Open) -> None:
    with open_second() as store:
        before = store.query(filename="a.fits")[0].to_dict()
        report = store.refresh()
        after = store.query(filename="a.fits")[0].to_dict()
        assert {name for name in after if after[name] != before[name]} == {"detector", "last_updated"}
        assert (after["detector"], after["note"], after["quality"]) == ("blue two", "kept", "BAD")
        assert report.changed == {"a.fits": {"detector": ("blue one", "blue two")}}
        assert store.refresh().changed == {}


def test_a_record_that_cannot_be_made_anew_stays_and_is_told(open_second: Open) -> None:
    with open_second() as store:
        report = store.refresh()
        assert not report.ok
        assert list(report.failed) == ["b.fits"]
        assert "no red detector" in report.failed["b.fits"]
        assert store.query(filename="b.fits")[0].detector == "red one"


def test_a_dry_run_tells_the_same_and_changes_nothing(open_second: Open) -> None:
    with open_second() as store:
        told = store.refresh(dry_run=True)
        assert store.query(filename="a.fits")[0].detector == "blue one"
        assert store.refresh().changed == told.changed


def test_a_file_that_is_not_the_registered_one_is_not_read(open_second: Open, folder: Path) -> None:
    write_fits(folder / "calibrations" / "a.fits", {**KEYWORDS, "GRATNAME": "another"})
    with open_second() as store:
        report = store.refresh(from_files=True)
        assert "not what its record says" in report.failed["a.fits"]
        assert store.query(filename="a.fits")[0].grating is None


def test_a_type_that_the_class_does_not_have_is_not_taken_from_a_header(folder: Path) -> None:
    class Third(ORMCalibration):
        instrument_name = "demo"
        cal_types = ("flat",)

    with CalibrationStore(Third, folder) as store:
        report = store.refresh(from_files=True)
        assert report.failed.keys() == {"a.fits", "b.fits"}
        assert "does not have" in report.failed["a.fits"]


def test_many_records_are_written_in_bulk(tmp_path: Path) -> None:
    with CalibrationStore(First, tmp_path / "cache") as store:
        store.local_db.add(
            First(filename=f"{n}.fits", cal_type="dark", mjd_start=61000.0 + n, arm="blue", detector="old")
            for n in range(300)
        )
    with CalibrationStore(Second, tmp_path / "cache") as store:
        statements: list[str] = []
        event.listen(store.local_db.engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
        assert len(store.refresh().changed) == 300
        assert sum(statement.startswith("UPDATE") for statement in statements) == 1
        assert {record.detector for record in store.query()} == {"blue two"}


def test_headers_are_read_again_where_the_files_are_here(open_second: Open, folder: Path) -> None:
    with open_second() as store:
        (folder / "calibrations" / "b.fits").unlink()
        assert store.refresh().changed["a.fits"].keys() == {"detector"}
        report = store.refresh(from_files=True)
        assert report.changed == {"a.fits": {"grating": (None, "B600")}}
        assert report.not_here == ["b.fits"]
        assert store.query(filename="a.fits")[0].quality == "BAD"
        assert store.verify().bad == {}
