"""Caches of the older ``koa_middleware``, of both eras."""

from __future__ import annotations

import hashlib
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import koa_middleware
import pytest
from astropy.io import fits
from koa_middleware import CalibrationStore, ConfigurationError, ORMCalibration, SourceFileError

from tests.conftest import DemoCalibration

Store = CalibrationStore[DemoCalibration]

#: Columns of a table as SQLAlchemy made it in the first era, and as sqlite-utils did in the second.
ERAS = {
    "first": "id VARCHAR NOT NULL PRIMARY KEY, filename VARCHAR, cal_type VARCHAR, datetime_obs VARCHAR,"
    " mjd_start FLOAT, origin VARCHAR, cal_version VARCHAR, master_cal BOOLEAN, spectrograph VARCHAR,"
    " last_updated VARCHAR, observer VARCHAR",
    "second": "id TEXT PRIMARY KEY, filename TEXT, cal_type TEXT, datetime_obs TEXT, mjd_start FLOAT, origin TEXT,"
    " cal_version TEXT, master_cal INTEGER, spectrograph TEXT, last_updated TEXT, observer TEXT, file_md5 TEXT",
}


class Old:
    """A cache of the older package.

    Parameters
    ----------
    folder : pathlib.Path
    era : str
    table : str
    """

    def __init__(self, folder: Path, era: str, table: str = "demo") -> None:
        self.folder, self.era, self.table = folder, era, table
        self.files = folder / "calibrations" / ("demo" if era == "second" else "")
        self.files.mkdir(parents=True)
        (folder / "database").mkdir()
        self.database = folder / "database" / "demo_calibrations.db"
        with closing(sqlite3.connect(self.database)) as database:
            database.execute(f"CREATE TABLE {table} ({ERAS[era]})")

    def add(self, name: str | None, **changes: Any) -> Path:
        """Add a row and its file; gives the file's path."""
        path = self.files / Path(name or "none.fits").name
        fits.PrimaryHDU(header=fits.Header({"NAME": str(name)})).writeto(path)
        row = {
            "id": f"id of {name}",
            "filename": name,
            "cal_type": "dark",
            "datetime_obs": "2026-02-12T01:00:00.000",
            "mjd_start": 61083.0416667,
            "origin": "KECK",
            "cal_version": "003",
            "master_cal": 1,
            "spectrograph": "BSPEC",
            "last_updated": "2026-02-13T09:00:00.123",
            "observer": "ann",
        }
        if self.era == "second":
            row["file_md5"] = hashlib.md5(path.read_bytes()).hexdigest()
        row |= changes
        with closing(sqlite3.connect(self.database)) as database:
            database.execute(
                f"INSERT INTO {self.table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())
            )
            database.commit()
        return path

    def state(self) -> dict[str, tuple[bytes, int]]:
        """Content and time of change of all that is there."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture(params=ERAS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Old:
    return Old(tmp_path / "old", request.param)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as opened:
        yield opened


def test_ids_versions_origins_and_names_stay_and_the_old_folder_is_not_changed(old: Old, store: Store) -> None:
    path = old.add("a.fits")
    old.add("b.fits", origin="LOCAL", master_cal=0)
    before = old.state()
    report = store.import_legacy(old.folder)
    assert (report.ok, sorted(report.added)) == (True, ["a.fits", "b.fits"])
    assert old.state() == before
    record = store.query(filename="a.fits")[0]
    assert (record.id, record.cal_version, record.origin, record.master_cal) == ("id of a.fits", "003", "REMOTE", True)
    assert store.get_calibration_by_id("id of a.fits").path.read_bytes() == path.read_bytes()
    assert store.query(filename="b.fits")[0].origin == "LOCAL"
    assert store.verify().ok


def test_again_all_is_unchanged_and_what_is_completed_comes(old: Old, store: Store) -> None:
    old.add("a.fits")
    lost = old.add("b.fits")
    content = lost.read_bytes()
    lost.unlink()
    first = store.import_legacy(old.folder)
    assert (first.added, list(first.failed)) == (["a.fits"], ["b.fits"])
    lost.write_bytes(content)
    assert store.import_legacy(old.folder, dry_run=True).added == ["b.fits"]
    assert len(store.query()) == 1
    second = store.import_legacy(old.folder)
    assert (second.added, second.unchanged, second.ok) == (["b.fits"], ["a.fits"], True)
    assert sorted(store.import_legacy(old.folder).unchanged) == ["a.fits", "b.fits"]


def test_what_cannot_be_taken_is_told_and_left(old: Old, store: Store) -> None:
    old.add("good.fits")
    old.add("../escaped.fits")
    old.add(None)
    old.add("timeless.fits", datetime_obs="soon", mjd_start=None)
    old.add("nameless.fits", id=None) if old.era == "second" else None
    report = store.import_legacy(old.folder)
    assert report.added == ["good.fits"]
    assert set(report.failed) >= {"../escaped.fits", "timeless.fits"}
    assert [record.filename for record in store.query()] == ["good.fits"]
    assert not (store.cache_dir.parent / "escaped.fits").exists()


def test_a_file_that_differs_from_its_digest_is_left(tmp_path: Path, store: Store) -> None:
    old = Old(tmp_path / "old", "second")
    old.add("a.fits").write_bytes(b"something else")
    (said,) = store.import_legacy(old.folder).failed.values()
    assert "MD5 digest" in said
    assert store.query() == []


def test_what_is_here_with_other_content_stays(old: Old, store: Store, tmp_path: Path) -> None:
    own = tmp_path / "a.fits"
    cards = {"CALTYPE": "dark", "MJD-OBS": 61083.0, "SPECTROG": "BSPEC"}
    fits.PrimaryHDU(header=fits.Header(cards)).writeto(own)
    store.register_calibration(own)
    old.add("a.fits")
    report = store.import_legacy(old.folder)
    assert list(report.conflicts) == ["a.fits"]
    assert (store.cache_dir / "calibrations" / "a.fits").read_bytes() == own.read_bytes()


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_database_that_another_process_left_open_is_read_and_not_touched(old: Old, store: Store, mode: str) -> None:
    old.add("a.fits")
    with closing(sqlite3.connect(old.database)) as other:
        other.execute(f"PRAGMA journal_mode={mode}")
        other.execute(f"UPDATE {old.table} SET observer = 'bob'")
        before = old.state()
        report = store.import_legacy(old.folder)
        assert old.state() == before
    assert report.added == ["a.fits"]


def test_a_cache_may_take_in_what_stands_in_itself(tmp_path: Path) -> None:
    old = Old(tmp_path / "cache", "first")
    old.add("a.fits")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with CalibrationStore(DemoCalibration, old.folder) as store:
            assert store.import_legacy(old.folder).added == ["a.fits"]
            assert store.import_legacy(old.folder).unchanged == ["a.fits"]
            assert store.verify().ok


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100, None])
def test_what_is_no_such_cache_is_an_error_of_ours(tmp_path: Path, store: Store, content: bytes | None) -> None:
    folder = tmp_path / "old"
    if content is not None:
        (folder / "database").mkdir(parents=True)
        (folder / "database" / "demo_calibrations.db").write_bytes(content)
    with pytest.raises(SourceFileError, match="old"):
        store.import_legacy(folder)


def test_two_tables_that_may_be_meant_are_named(tmp_path: Path, store: Store) -> None:
    old = Old(tmp_path / "old", "first", "some_calibrations")
    with closing(sqlite3.connect(old.database)) as database:
        database.execute(f"CREATE TABLE others ({ERAS['first']})")
    with pytest.raises(SourceFileError, match=r"others in demo_calibrations\.db, some_calibrations in"):
        store.import_legacy(old.folder)


def test_a_table_of_another_name_is_taken_where_it_is_the_only_one(tmp_path: Path, store: Store) -> None:
    old = Old(tmp_path / "old", "first", "some_calibrations")
    old.add("a.fits")
    assert store.import_legacy(old.folder).added == ["a.fits"]


@pytest.mark.parametrize(
    "former",
    [
        lambda folder: koa_middleware.CalibrationORM is ORMCalibration,
        lambda folder: CalibrationStore(DemoCalibration, folder, calibrations_url="file:///x").close() is None,
    ],
)
def test_a_former_name_works_and_says_the_present_one_at_the_callers_line(
    tmp_path: Path, former: Callable[[Path], bool]
) -> None:
    with pytest.warns(DeprecationWarning, match=r" is called \w+ now\.") as caught:
        assert former(tmp_path / "cache")
    assert caught[0].filename == __file__


def test_two_names_of_one_argument_may_not_differ(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="calibration_url"), pytest.raises(ConfigurationError, match="differ"):
        CalibrationStore(DemoCalibration, tmp_path, calibrations_url="file:///x", calibration_url="file:///y")


def test_a_former_variable_counts_where_the_present_one_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOA_REMOTE_CALIBRATION_URL", "postgresql://old/db")
    with pytest.warns(DeprecationWarning, match="KOA_REMOTE_DATABASE_URL"):
        store = CalibrationStore(DemoCalibration, tmp_path)
    assert store.settings.remote_database_url == "postgresql://old/db"
    store.close()
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", "postgresql://new/db")
    with pytest.warns(DeprecationWarning, match="DATABASE_URL"), CalibrationStore(DemoCalibration, tmp_path) as store:
        assert store.settings.remote_database_url == "postgresql://new/db"


def test_a_variable_that_means_nothing_any_more_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOA_CALIBRATIONS_URL", "https://www.example/api/calibrations")
    with pytest.warns(DeprecationWarning, match="KOA_CALIBRATIONS_URL is of an older"):
        CalibrationStore(DemoCalibration, tmp_path).close()
