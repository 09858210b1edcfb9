"""Taking a LOCAL calibration away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationNotFoundError, CalibrationStore, ORMCalibration, RemoteError

from tests.conftest import DemoCalibration, dark, files_under, run_python

Store = CalibrationStore[DemoCalibration]
Open = Callable[..., Any]


class NeighbourCalibration(ORMCalibration):
    """A calibration of another instrument that shares the cache."""

    instrument_name = "remover_neighbour"


@pytest.mark.parametrize("by", ["id", "filename", "record"])
def test_a_local_calibration_goes_and_its_file_is_kept_aside(store: Store, tmp_path: Path, by: str) -> None:
    path, one = store.register_calibration(dark(tmp_path))
    content = path.read_bytes()
    removed = store.remove(one if by == "record" else one[by])
    assert removed.calibration.id == one.id
    assert removed.moved_to is not None
    assert removed.moved_to.parent == store.cache_dir / "quarantine"
    assert removed.moved_to.read_bytes() == content
    assert (store.query(), path.exists()) == ([], False)
    report = store.verify()
    assert (report.ok, report.without_record) == (True, [])
    with pytest.raises(CalibrationNotFoundError):
        store.remove(one)


def test_a_dry_run_removes_nothing(store: Store, tmp_path: Path) -> None:
    _, one = store.register_calibration(dark(tmp_path))
    before = files_under(store.cache_dir)
    removal = store.remove(one.id, dry_run=True)
    assert (removal.calibration.id, removal.moved_to) == (one.id, None)
    assert files_under(store.cache_dir) == before
    assert store.local_db.query_by_id(one.id).filename == "dark.fits"


def test_one_of_the_archive_is_refused(store: Store, tmp_path: Path) -> None:
    path, one = store.register_calibration(dark(tmp_path), origin="REMOTE")
    for dry_run in (False, True):
        with pytest.raises(RemoteError, match=r"dark.fits is a calibration of the archive \(REMOTE\)"):
            store.remove(one, dry_run=dry_run)
    assert path.is_file()
    assert len(store.local_db) == 1


def test_a_record_without_a_file_goes_too(store: Store, tmp_path: Path) -> None:
    path, one = store.register_calibration(dark(tmp_path))
    path.unlink()
    assert store.remove(one).moved_to is None
    assert store.verify().ok


def test_a_file_that_another_instrument_names_stays(store: Store, open_demo: Open, tmp_path: Path) -> None:
    path, one = store.register_calibration(dark(tmp_path))
    neighbour = open_demo(orm_class=NeighbourCalibration)
    neighbour.local_db.add(NeighbourCalibration(filename="dark.fits", cal_type="dark", mjd_start=60000.0))
    assert store.remove(one).moved_to is None
    assert path.is_file()


KILLED = """
import os, sys
from koa_middleware import CalibrationStore
from koa_middleware.cache.folder import Cache
from tests.conftest import DemoCalibration
Cache.quarantine = lambda *_: os._exit(9)  # the row is gone, the file is not moved yet
with CalibrationStore(DemoCalibration, sys.argv[1]) as store:
    store.remove("dark.fits")
"""


def test_a_killed_removal_leaves_no_fault_and_no_repair_takes_it_back(store: Store, tmp_path: Path) -> None:
    store.register_calibration(dark(tmp_path, "other.fits", 60001.0))
    _, one = store.register_calibration(dark(tmp_path, CALID="mine"))
    process = run_python(KILLED, store.cache_dir)
    process.communicate()
    assert process.returncode == 9
    report = store.verify(repair=True)
    assert (report.ok, report.without_record) == (True, ["dark.fits"])
    assert "withdrawn or removed" in report.actions["dark.fits"]
    assert [each.filename for each in store.query()] == ["other.fits"]
    assert store.register_calibration(tmp_path / "dark.fits").calibration.filename == one.filename
