"""Taking a LOCAL calibration away."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CacheError, CalibrationNotFoundError, CalibrationStore, ORMCalibration, RemoteError
from koa_middleware.database.feed import Judgement, judgements_of
from koa_middleware.exceptions import QualityWarning, SharedCacheWarning

from tests.cache.test_unwritable import as_another, said
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
    with pytest.warns(QualityWarning, match=r"dark\.fits was here until"):
        assert store.register_calibration(tmp_path / "dark.fits").calibration.filename == one.filename


@pytest.fixture
def anothers(tmp_path: Path) -> Iterator[Path]:
    """A cache of a user who is not root, with one BAD dark and a column of a newer version."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    cache = folder / "cache"
    with CalibrationStore(DemoCalibration, cache) as store:
        _, one = store.register_calibration(dark(tmp_path))
        store.flag(one.id, "BAD", "light leak")
        with store.local_db.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE demo_calibrations ADD COLUMN humidity FLOAT")
            connection.exec_driver_sql("UPDATE demo_calibrations SET humidity = 0.5")
    (cache / "quarantine").mkdir()
    if os.getuid() == 0:
        for path in [cache, *cache.rglob("*")]:
            os.chown(path, 65534, 65534)
    yield cache
    for path in cache.iterdir():
        path.chmod(0o700)
    shutil.rmtree(folder)


def removal_of(cache: Path) -> list[str]:
    """Give what another user is told who removes the dark of a cache, and what is in its database before and after."""

    def act() -> list[str]:
        with CalibrationStore(DemoCalibration, cache) as store:
            found = []
            for call in (lambda: "", lambda: said(store.remove, "dark.fits")):
                found.append(call())
                with store.local_db.connect() as connection:
                    found.append(str(connection.exec_driver_sql("SELECT * FROM demo_calibrations").all()))
            return found

    return as_another(act)


@pytest.mark.parametrize("folder", ["calibrations", "quarantine"])
def test_where_files_cannot_be_moved_the_record_stays(anothers: Path, folder: str) -> None:
    (anothers / folder).chmod(0o500)
    _, before, told, after = removal_of(anothers)
    assert told.startswith(f"CacheError: {anothers}/{folder} cannot be written: it is not writable")
    assert "light leak" in [each.why for each in judgements(anothers)]
    assert (before, "BAD" in after) == (after, True)
    assert (anothers / "calibrations" / "dark.fits").is_file()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's file")
def test_a_record_comes_back_whole_where_its_file_cannot_be_moved_after_all(anothers: Path) -> None:
    os.chown(anothers / "calibrations", 0, 0)
    os.chown(anothers / "calibrations" / "dark.fits", 0, 0)
    (anothers / "calibrations").chmod(0o1777)
    _, before, told, after = removal_of(anothers)
    assert told.startswith(f"CacheError: {anothers}/calibrations/dark.fits cannot be moved aside")
    assert (before, "0.5" in after) == (after, True)
    assert [each.why for each in judgements(anothers)] == ["light leak"]


def judgements(cache: Path) -> list[Judgement]:
    with CalibrationStore(DemoCalibration, cache) as store, store.local_db.connect() as connection:
        return judgements_of(connection, DemoCalibration, store.query()[0].id)


def test_a_removed_calibration_that_hid_one_of_the_shared_cache_says_that_this_is_known_again(
    open_demo: Open, tmp_path: Path
) -> None:
    observatory = open_demo(tmp_path / "observatory")
    observatory.register_calibration(dark(tmp_path, note="theirs"))
    user = open_demo(tmp_path / "own", shared_cache_dir=tmp_path / "observatory")
    user.register_calibration(dark(tmp_path / "mine", note="mine"))
    user.remove("dark.fits", dry_run=True)
    with pytest.warns(
        SharedCacheWarning, match=r"shared cache's dark.fits is known here again; its quality there is GOOD"
    ):
        user.remove("dark.fits")
    assert [each.filename for each in user.query()] == ["dark.fits"]
    with pytest.raises(CacheError, match=r"dark.fits is a calibration of the shared cache"):
        user.remove("dark.fits")


def test_a_copy_of_the_database_beside_it_keeps_no_file_from_being_moved(store: Store, tmp_path: Path) -> None:
    path, one = store.register_calibration(dark(tmp_path))
    shutil.copy(store.local_db.path, store.local_db.path.with_name("demo.backup.db"))
    assert store.remove(one).moved_to is not None
    assert not path.exists()
