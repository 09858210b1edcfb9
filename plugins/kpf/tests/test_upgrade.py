"""Databases of the class as it was when a row held a `service_interval`, the number of service missions before it."""

import sqlite3
from contextlib import closing

import pytest
from koa_middleware import CalibrationStore, ORMCalibration, fits_column
from koa_middleware_kpf import KPFCalibration, WlsSelector
from sqlalchemy import Index, Integer

NOON = 60697.5
FRAME = {"mjd_mid": NOON, "mjd_start": NOON, "read_speed": "regular", "amplifiers": 2}
WLS = {"cal_type": "wls", "object": "autocal-lfc-all-eve", "lamp": "lfc", "fiber": "all", "session": "eve"}


def earlier_class():
    own = [name for name in KPFCalibration.__annotations__ if name not in ("valid_from", "valid_to")]
    columns = {name: KPFCalibration.table().c[name] for name in own if name in KPFCalibration.column_names()}
    body = {
        name: fits_column(column.info["keywords"], type(column.type), nullable=column.nullable, default=column.default)
        for name, column in columns.items()
        if name not in ("cal_type", "datetime_obs", "mjd_start")
    }
    body["service_interval"] = fits_column((), Integer, nullable=True)
    body["__table_args__"] = (
        Index(None, "cal_type", "read_speed", "service_interval", "lamp", "fiber", "mjd_mid"),
        Index(None, "cal_type", "fiber", "service_interval", "mjd_mid"),
    )
    body["__module__"] = KPFCalibration.__module__
    return type("KPFCalibration", (ORMCalibration,), {"instrument_name": "kpf", **body})


@pytest.fixture
def cache(tmp_path):
    earlier = earlier_class()
    with CalibrationStore(earlier, tmp_path) as store:
        for number, mjd in enumerate((NOON - 0.4, NOON + 0.3)):
            values = {**WLS, "read_speed": "regular", "mjd_start": mjd, "mjd_mid": mjd, "kpf_era": "2.6"}
            store.local_db.add(earlier(filename=f"{number}.fits", service_interval=4, **values))
    return tmp_path


def test_a_database_with_service_intervals_opens_and_chooses(cache):
    with CalibrationStore(KPFCalibration, cache) as store:
        pair = store.select_bracket(FRAME, "wls")
        assert [side.filename for side in pair] == ["0.fits", "1.fits"]
        added = KPFCalibration(filename="2.fits", read_speed="regular", mjd_start=NOON, mjd_mid=NOON, **WLS)
        store.local_db.add(added)
        assert store.select(FRAME, "wls").id == added.id
    with closing(sqlite3.connect(store.local_db.path)) as connection:
        held = connection.execute("SELECT filename, service_interval FROM kpf_calibrations ORDER BY 1").fetchall()
    assert held == [("0.fits", 4), ("1.fits", 4), ("2.fits", None)]


def test_a_mission_that_becomes_known_later_counts_for_the_old_rows(cache):
    with CalibrationStore(KPFCalibration, cache) as store:
        known_later = WlsSelector(never_across=(*WlsSelector.never_across[:4], NOON - 0.2))
        pair = store.select_bracket(FRAME, known_later)
    assert pair.before is None
    assert pair.after.filename == "1.fits"
