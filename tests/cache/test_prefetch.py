"""A prefetch of many: each record is looked at once, and the database asked in bulk."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore, QuarantineWarning
from koa_middleware.cache.prefetch import Plan
from sqlalchemy import event

from tests.conftest import DemoCalibration, dark

Store = CalibrationStore[DemoCalibration]
Opening = Callable[..., Store]
COUNT = 18


@contextmanager
def counted(store: Store) -> Iterator[Counter[str]]:
    """Count the statements that reach the driver, by their first word."""
    counts: Counter[str] = Counter()

    def note(connection: Any, *_: Any) -> None:
        connection.set_trace_callback(lambda sql: counts.update([sql.split()[0].upper()]))

    store.local_db.close()
    event.listen(store.local_db.engine, "connect", note)
    try:
        yield counts
    finally:
        event.remove(store.local_db.engine, "connect", note)
        store.local_db.close()


@contextmanager
def hashed() -> Iterator[Counter[str]]:
    """Count, by name, how often a file was hashed as a whole."""
    counts: Counter[str] = Counter()
    real = hashlib.file_digest

    def file_digest(stream: Any, kind: Any) -> Any:
        counts.update([Path(stream.name).name])
        return real(stream, kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashlib, "file_digest", file_digest)
        yield counts


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """Give the archive's folder, with files that an observatory's cache has registered."""
    with CalibrationStore(DemoCalibration, tmp_path / "archive") as archive:
        for number in range(COUNT):
            archive.register_calibration(dark(tmp_path / "night", f"{number}.fits", 60000.0 + number), origin="REMOTE")
    return tmp_path / "archive" / "calibrations"


@pytest.fixture
def user(served: Path, open_demo: Callable[..., Any], tmp_path: Path) -> Opening:
    """Give a function that opens a user's store, which has the archive's records and no file."""

    def opening(name: str = "user", **more: Any) -> Store:
        store: Store = open_demo(tmp_path / name, **{"calibration_url": served.as_uri(), **more})
        if not len(store.local_db):
            with CalibrationStore(DemoCalibration, served.parent) as archive:
                store.local_db.add([DemoCalibration(**record.to_dict()) for record in archive.query()])
        return store

    return opening


def test_a_prefetch_asks_the_database_in_bulk(user: Opening) -> None:
    store = user()
    records = store.query()
    with counted(store) as counts, hashed() as hashes:
        report = store.prefetch(records=records)
    assert len(report.downloaded) == COUNT
    assert counts["SELECT"] == 5  # of the files, their names, the class that leads, the history before and after
    assert counts["BEGIN"] == counts["COMMIT"] == 1
    assert not hashes  # what comes is hashed while it comes
    with counted(store) as again:
        assert store.prefetch(records=records).cached == report.downloaded
    assert (again["SELECT"], again["BEGIN"]) == (2, 0)


def test_files_that_were_put_here_are_hashed_once(user: Opening, served: Path) -> None:
    store = user()
    records = store.query()
    shutil.copytree(served, store.cache_dir / "calibrations", dirs_exist_ok=True)
    with counted(store) as counts, hashed() as hashes:
        assert len(store.prefetch(records=records).cached) == COUNT
    assert hashes == {record.filename: 1 for record in records}
    assert (counts["SELECT"], counts["BEGIN"], counts["COMMIT"]) == (5, 1, 1)
    with hashed() as again:
        assert len(store.prefetch(records=records).cached) == COUNT
        assert store.get_calibration_by_id(records[0].id)
    assert not again


def test_files_of_the_shared_cache_are_hashed_once(user: Opening, served: Path) -> None:
    store = user(shared_cache_dir=served.parent)
    with counted(store) as counts, hashed() as hashes:
        assert len(store.prefetch(records=store.query()).cached) == COUNT
    assert set(hashes.values()) == {1}
    assert (counts["SELECT"], counts["BEGIN"], counts["COMMIT"]) == (5, 1, 1)  # one of them is the query
    with hashed() as again:
        assert len(store.prefetch(records=store.query()).cached) == COUNT
    assert not again


def test_a_spoilt_file_among_many_is_hashed_once_and_comes_again(user: Opening, served: Path) -> None:
    store = user()
    shutil.copytree(served, store.cache_dir / "calibrations", dirs_exist_ok=True)
    spoilt = store.cache_dir / "calibrations" / "3.fits"
    spoilt.write_bytes(bytes(spoilt.stat().st_size))
    said: list[str] = []
    with hashed() as hashes, pytest.warns(QuarantineWarning, match=r"3\.fits.*it is downloaded again"):
        report = store.prefetch(records=store.query(), announce=said.append)
    assert report.downloaded == ["3.fits"]
    assert set(hashes.values()) == {1}
    assert spoilt.read_bytes() == (served / "3.fits").read_bytes()
    assert len(said) == 1
    assert said[0].startswith("18 calibrations: 17 are here, 1 file (5.8 kB) to download; ")


def test_more_records_than_a_statement_takes_are_looked_at(user: Opening, served: Path) -> None:
    store = user("many", offline=True)
    more = [
        DemoCalibration(filename=f"far{number}.fits", cal_type="dark", mjd_start=50000.0 + number, origin="REMOTE")
        for number in range(1100)
    ]
    store.local_db.add(more)
    shutil.copytree(served, store.cache_dir / "calibrations", dirs_exist_ok=True)
    with counted(store) as counts:
        report = store.prefetch(records=[*more, *store.query(filename="17.fits")])
    assert report.cached == ["17.fits"]
    assert len(report.failed) == 1100
    assert "SELECT" in counts
    assert counts["SELECT"] < 10


def test_an_error_is_given_as_it_is_and_as_text_in_plain_data(user: Opening) -> None:
    report = user(offline=True).prefetch(records=user().query(filename="3.fits"))
    (error,) = report.failed.values()
    assert report.to_dict()["failed"] == {"3.fits": str(error)}
    assert type(error).__name__ == "DownloadError"


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan(here=0, coming=0, not_to_be_had=0, size=0), "0 calibrations"),
        (Plan(here=1, coming=0, not_to_be_had=0, size=0), "1 calibration: 1 is here"),
        (Plan(here=2, coming=0, not_to_be_had=3, size=0), "5 calibrations: 2 are here, 3 cannot be downloaded"),
        (Plan(here=3, coming=9, not_to_be_had=0, size=1_200_000_000), "12 calibrations: 3 are here, 9 files (1.2 GB)"),
        (Plan(0, 2, 0, 5000, sizes_are_known=False), "2 calibrations: 2 files (at least 5.0 kB) to download"),
    ],
)
def test_a_plan_is_one_line(plan: Plan, said: str, tmp_path: Path) -> None:
    line = plan.in_words(tmp_path)
    assert line.startswith(said)
    assert ("free" in line) == bool(plan.coming)


def test_a_cached_file_costs_one_statement(user: Opening) -> None:
    store = user()
    record = store.query(filename="3.fits")[0]
    path = store.get_calibration_by_id(record.id).path
    with counted(store) as counts, hashed() as hashes:
        found = store.get_calibration_by_id(record.id)
    assert (found.path, found.calibration.to_dict()) == (path, record.to_dict())
    assert {name: number for name, number in counts.items() if name != "PRAGMA"} == {"SELECT": 1}
    assert not hashes
