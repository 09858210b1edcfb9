"""One lock file on machines that follow an archive and have synced at other times, or never."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    InstrumentPlugin,
    LockFile,
)
from koa_middleware.disk.checksums import digest_of
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.postgres.schema import initialise
from sqlalchemy import make_url

from tests.conftest import DemoCalibration, dark

Store = CalibrationStore[DemoCalibration]
FRAME = {"filename": "frame.fits", "mjd_start": 60000.0, "spectrograph": "BSPEC"}


@pytest.fixture
def machine(open_demo: Callable[..., Store], fresh_database: str, tmp_path: Path) -> Callable[..., Store]:
    """Give a function that gives the store of a machine; all have one archive."""
    engine = postgresql_engine(fresh_database)
    initialise(engine, DemoCalibration)
    engine.dispose()
    (tmp_path / "files").mkdir()
    InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark", match=("spectrograph",))])

    def machine(name: str, **more: Any) -> Store:
        url = (tmp_path / "files").as_uri()
        return open_demo(tmp_path / name, remote_database_url=fresh_database, calibration_url=url, **more)

    return machine


def test_the_same_lock_gives_the_same_files_whenever_a_machine_has_synced(
    machine: Callable[..., Store], fresh_database: str, tmp_path: Path
) -> None:
    keeper = machine("keeper")

    def published(name: str, mjd: float) -> None:
        keeper.register_calibration(dark(tmp_path / "made", name, mjd))
        keeper.publish(upload_to=tmp_path / "files")
        keeper.sync_from_remote()

    published("first.fits", 60001.0)
    early = machine("early")
    early.sync_from_remote()
    lock = keeper.lock([FRAME])
    assert early.lock([FRAME]).to_text() == lock.to_text()
    assert lock.archive is not None
    assert (lock.archive.entry or 0) > 0
    url = make_url(fresh_database)
    assert url.username
    assert "@" not in lock.archive.name
    assert str(url.database) in lock.archive.name
    published("better.fits", 60000.0)
    late = machine("late")
    late.sync_from_remote()
    assert late.select(FRAME, "dark").filename == "better.fits"
    path = lock.write(tmp_path / "night.lock")
    for name in ("keeper", "early", "late", "never"):
        found = machine(name, lock=path).get_calibration(FRAME, "dark")
        assert digest_of(found.path) == lock.calibrations[0].checksum
        assert found.calibration.id == lock.calibrations[0].id
    assert [each.message for each in late.check_lock(path).causes] == ["better.fits is new"]
    assert early.check_lock(path).ok  # it has not heard of it
    assert re.fullmatch(r"as of the last sync, 20[-0-9]+ \d\d:\d\d UTC, 0 min ago", early.check_lock(path).notes[0])
    assert [each.kind for each in machine("unsynced").check_lock(path).causes] == ["new"]  # it syncs first
    early.sync_from_remote()
    assert [each.kind for each in early.check_lock(path).causes] == ["new"]
    assert LockFile.read(path) == lock


def test_what_was_withdrawn_is_given_where_its_file_is_and_listed_elsewhere(
    machine: Callable[..., Store], fresh_database: str, tmp_path: Path
) -> None:
    keeper = machine("keeper")
    keeper.register_calibration(dark(tmp_path / "made", "red.fits", SPECTROG="RSPEC"))
    made = keeper.register_calibration(dark(tmp_path / "made", "first.fits", 60001.0)).calibration
    keeper.publish(upload_to=tmp_path / "files")
    keeper.sync_from_remote()
    lock = keeper.lock([FRAME])
    engine = postgresql_engine(fresh_database)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM demo_calibrations WHERE id = %s", (made.id,))
    engine.dispose()
    assert keeper.sync_from_remote().withdrawn == 1
    found = machine("keeper", lock=lock).get_calibration(FRAME, "dark")
    assert digest_of(found.path) == made.checksum
    assert found.calibration.choice.rule == "CalibrationSelector"
    assert [each.kind for each in keeper.check_lock(lock).causes] == ["withdrawn"]
    with pytest.raises(CalibrationNotFoundError, match=r"not known here: first\.fits \(dark\)"):
        machine("other", lock=lock, offline=True).select(FRAME, "dark")
