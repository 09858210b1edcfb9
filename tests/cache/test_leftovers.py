"""What verify lists besides faults, what goes by itself, and a file that cannot be read among others."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore, ORMCalibration
from koa_middleware.disk.owners import HOST, this_owner

from tests.conftest import DemoCalibration, dark, output_of, record, repetitions, run_python

Store = CalibrationStore[DemoCalibration]
Open = Callable[..., Any]

#: Of a process that has ended: above the largest process number.
DEAD = f"{HOST}-{2**22 + 1}"


class NeighbourCalibration(ORMCalibration):
    """A calibration of another instrument that shares the cache."""

    instrument_name = "neighbour"


def aged(path: Path) -> None:
    """Let a path look as if nothing had changed in it for two days."""
    os.utime(path, (time.time() - 172_800,) * 2)


def test_files_that_no_instrument_names_are_listed_and_no_fault(store: Store, open_demo: Open, tmp_path: Path) -> None:
    store.register_calibration(dark(tmp_path))
    neighbour = open_demo(orm_class=NeighbourCalibration)
    neighbour.local_db.add(NeighbourCalibration(filename="theirs.fits", cal_type="dark", mjd_start=60000.0))
    folder = store.cache_dir / "calibrations"
    for name in ("theirs.fits", "nobodys.fits", ".nfs0001"):
        (folder / name).write_bytes(b"content")
    report = store.verify()
    assert (report.without_record, report.ok, report.checked) == (["nobodys.fits"], True, 1)


def test_a_neighbours_spoilt_database_is_a_fault_and_ends_no_verification(store: Store, tmp_path: Path) -> None:
    store.register_calibration(dark(tmp_path))
    (store.cache_dir / "calibrations" / "nobodys.fits").write_bytes(b"content")
    other = store.cache_dir / "database" / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE other_calibrations (filename TEXT)")
    connection.close()
    other.write_bytes(other.read_bytes()[:100] + bytes(other.stat().st_size - 100))
    report = store.verify()
    assert (report.checked, list(report.bad), report.ok) == (1, [str(other)], False)


def test_what_dead_processes_left_is_listed_at_once_and_goes_after_a_day(
    store: Store, open_demo: Open, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    served.mkdir()
    partial, calibrations = store.cache_dir / "partial", store.cache_dir / "calibrations"
    uploaded = f".koa-{'0' * 32}.{DEAD}.part"
    left = [
        partial / f"{'a' * 32}.{DEAD}",
        partial / f"{'0' * 16}.{DEAD}.0a0a0a0a..part",
        calibrations / f".koa-{'1' * 32}.{DEAD}.part",
        store.cache_dir / "database" / f".koa-{'2' * 32}.{DEAD}.part",
        served / uploaded,
    ]
    at_work = [partial / f"{'b' * 32}.{this_owner()}", served / f".koa-{'3' * 32}.{this_owner()}.part"]
    users = [partial / "notes.txt", served / ".hidden.part"]
    for path in [*left, *at_work, *users]:
        path.write_bytes(b"x")
    store = open_demo(calibration_url=served.as_uri())
    report = store.verify()
    assert (sorted(report.leftovers), report.ok) == (sorted(map(str, left)), True)
    store.register_calibration(dark(tmp_path))
    assert all(path.exists() for path in left)
    for path in [*left, *users]:
        aged(path)
    open_demo(calibration_url=served.as_uri()).register_calibration(dark(tmp_path))
    assert [path.exists() for path in left] == [False, False, True, False, True]
    store.prune()
    assert [path.exists() for path in left] == [False, False, False, False, True]
    assert all(path.exists() for path in [*at_work, *users])


@pytest.mark.parametrize("url", ["file:///nowhere/at/all", "https://archive.invalid/{koa_filepath}"])
def test_an_archive_that_is_no_folder_is_passed_over(open_demo: Open, url: str) -> None:
    assert open_demo(calibration_url=url).verify().ok


REGISTRAR = """
import sys
from koa_middleware import CalibrationStore
from tests.conftest import DemoCalibration
folder, *sources = sys.argv[1:]
with CalibrationStore(DemoCalibration, folder) as store:
    print("ready", flush=True)
    for source in sources:
        store.register_calibration(source)
"""


def test_a_killed_registration_leaves_what_verify_lists_and_nothing_to_repair(store: Store, tmp_path: Path) -> None:
    sources = [dark(tmp_path / "night", f"{number}.fits", 60000.0 + number) for number in range(40)]
    chance = random.Random(1)
    for _ in range(repetitions(2, 100)):
        process = run_python(REGISTRAR, store.cache_dir, *sources)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        report = store.verify()
        assert report.ok
        here = {path.name for path in (store.cache_dir / "calibrations").iterdir()}
        assert here == {one.filename for one in store.query()} | set(report.without_record)
        partial = {path for path in (store.cache_dir / "partial").iterdir() if path.name != "locks"}
        assert {str(path) for path in partial} <= set(report.leftovers)
    for source in sources:
        store.register_calibration(source)
    assert store.verify().without_record == []


UNREADABLE = """
import os, sys
from koa_middleware import CalibrationStore
from tests.conftest import DemoCalibration
with CalibrationStore(DemoCalibration, sys.argv[1]) as store:
    store.verify()  # imports what it needs
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
with CalibrationStore(DemoCalibration, sys.argv[1]) as store:
    report = store.verify()
print(report.checked, report.ok, *(f"{name}: {fault}" for name, fault in report.bad.items()), sep="\\n")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="takes another user")
def test_a_file_that_cannot_be_read_stops_no_verification(store: Store, tmp_path: Path) -> None:
    for number in range(3):
        path, _ = store.register_calibration(dark(tmp_path / "night", f"{number}.fits", 60000.0 + number))
        path.chmod(0o600 if number == 1 else 0o644)
    store.close()
    for path in [tmp_path, *tmp_path.parents][:4]:
        path.chmod(path.stat().st_mode | 0o055)
    for path in [store.cache_dir, *store.cache_dir.iterdir(), store.local_db.path]:
        path.chmod(0o777)
    checked, ok, fault = output_of(run_python(UNREADABLE, store.cache_dir)).splitlines()
    assert (checked, ok) == ("3", "False")
    assert fault.startswith("1.fits: ")
    assert "Permission denied" in fault


def test_a_name_that_no_file_can_have_stops_no_verification(store: Store, tmp_path: Path) -> None:
    store.register_calibration(dark(tmp_path))
    store.local_db.add(record("x.fits", mjd=60001.0, origin="REMOTE"))
    with store.local_db.session_manager() as session:
        session.connection().exec_driver_sql("UPDATE demo_calibrations SET filename = '../x' WHERE filename = 'x.fits'")
    report = store.verify()
    assert (report.checked, list(report.bad)) == (2, ["../x"])
