"""What went wrong with the pipeline's own look-up of calibrations, and does not here: a test for each."""

import sqlite3
import warnings
from contextlib import closing

import pytest
from koa_middleware import CalibrationNotFoundError, CalibrationStore, RemoteUnavailableError
from koa_middleware_kpf import KPFCalibration
from sqlalchemy import event

NOON = 60697.5  # 2025-01-22T12:00 UTC
FRAME = {"mjd_mid": NOON, "mjd_start": NOON, "read_speed": "regular", "amplifiers": 2}
MISSION = 60615.5  # 2024-11-01T12:00 UTC, when service mission 2 began
BIAS = {"cal_type": "bias", "object": "autocal-bias"}
LFC = {"cal_type": "wls", "object": "autocal-lfc-all-eve", "lamp": "lfc", "fiber": "all", "session": "eve"}
THAR = {**LFC, "object": "autocal-thar-all-eve", "lamp": "thar"}


@pytest.fixture
def master(add_record):
    def master(mjd_mid, **values):
        read = {"level": "2D", "read_speed": "regular", "amplifiers": 2}
        return add_record(**{**read, "mjd_start": mjd_mid, "mjd_mid": mjd_mid, **values})

    return master


def test_a_stale_default_is_not_used_silently_where_nothing_matches(store, master):
    for cal_type in ("bias", "wls"):
        stale = {**(BIAS if cal_type == "bias" else LFC), "mjd_start": NOON - 400}
        master(NOON - 400, **stale)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(CalibrationNotFoundError):
                store.select(FRAME, cal_type)


def test_a_database_that_does_not_answer_is_not_taken_for_one_without_masters(tmp_path):
    url = "postgresql://nobody@127.0.0.1:1/koa"
    with (
        CalibrationStore(KPFCalibration, tmp_path, remote_database_url=url) as store,
        pytest.raises(RemoteUnavailableError) as caught,
    ):
        store.select(FRAME, "bias", source="remote")
    assert not isinstance(caught.value, CalibrationNotFoundError)


def test_a_fast_read_wavelength_solution_is_not_applied_to_regular_data(store, master):
    master(NOON - 0.1, **LFC, read_speed="fast")
    master(NOON + 0.1, **LFC, read_speed="fast")
    right = master(NOON - 0.9, **LFC)
    assert store.select_bracket(FRAME, "wls").before.id == right.id
    assert store.select_bracket(FRAME, "wls").after is None


def test_a_pair_of_solutions_does_not_straddle_a_service_mission(store, master):
    before = master(MISSION - 0.4, **LFC)
    after = master(MISSION + 0.4, **LFC)
    early, late = ({**FRAME, "mjd_mid": MISSION + days} for days in (-0.1, 0.1))
    assert [side and side.id for side in store.select_bracket(early, "wls")] == [before.id, None]
    assert [side and side.id for side in store.select_bracket(late, "wls")] == [None, after.id]


def test_the_nearest_of_several_matching_objects_is_taken_not_the_first(store, master):
    master(NOON - 1.5, **LFC)
    near = [master(NOON + days, **LFC) for days in (-0.3, 0.4)]
    master(NOON + 1.5, **LFC)
    assert [side.id for side in store.select_bracket(FRAME, "wls")] == [each.id for each in near]


@pytest.mark.parametrize("seconds", [-0.5, 0.0, 0.5, 1.0, 1.5])
def test_there_is_no_second_without_a_static_reference(store, master, seconds):
    before, after = (master(mjd, cal_type="trace_flat") for mjd in (60155.0, 60351.0))
    handover = 60343.0  # 2024-02-03; in the published table the next one begins a second later
    chosen = store.select({**FRAME, "mjd_mid": handover + seconds / 86400}, "trace_flat")
    assert chosen.id == (before if seconds < 0 else after).id


@pytest.mark.parametrize("asked", ["WLS", "wls", "Wls"])
def test_the_letter_case_of_a_type_does_not_hide_a_master(store, write_fits, asked):
    name = "kpf_20250122_master_WLS_autocal-lfc-all-eve_L1.fits"
    cards = {"IMTYPE": "Arclamp", "READSPED": "Regular", "GRNAMPS": 2, "MJD-OBS": 60697.08}
    _, record = store.register_calibration(write_fits(name, cards))
    assert store.select(FRAME, asked).id == record.id
    assert [each.id for each in store.query(asked)] == [record.id]


def test_a_look_up_reads_no_more_of_a_large_table_than_of_a_small_one(store, master):
    masters = (BIAS, LFC, {"cal_type": "etalonmask", "fiber": "sci1"}, {"cal_type": "ordertrace", "chip": "RED"})
    for values in masters:
        master(NOON, **values)
    _multiply(store, 1, 1000)
    small = _steps(store, masters)
    _multiply(store, 1001, 8000)
    assert _steps(store, masters) < 1.5 * small


def _multiply(store, first, last):
    """Put more of each master into the table, spread over 20 days around it."""
    names = KPFCalibration.column_names()
    spread = {"id": "id || n", "filename": "n || filename", "mjd_mid": "mjd_mid - 10 + 20.0 * (n * 7919 % 8000) / 8000"}
    rows = ", ".join(spread.get(name, f'"{name}"') for name in names)
    numbers = f"WITH numbers AS (SELECT {first} AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})"
    originals = "SELECT * FROM kpf_calibrations WHERE filename LIKE 'calibration%'"
    with closing(sqlite3.connect(store.local_db.path)) as connection, connection:
        connection.execute(f"{numbers} INSERT INTO kpf_calibrations SELECT {rows} FROM ({originals}), numbers")


def _steps(store, masters):
    """Tens of steps that SQLite takes to find these types for a frame."""
    counted = []

    def count(connection, *_):
        connection.set_progress_handler(lambda: counted.append(1), 10)

    with CalibrationStore(KPFCalibration, store.cache_dir) as fresh:
        event.listen(fresh.local_db.engine, "checkout", count)
        for values in masters:
            assert fresh.select({**FRAME, "chip": "RED", "fiber": "sci1"}, values["cal_type"])
    return len(counted)


def test_one_solution_is_not_both_sides_of_a_pair(store, master):
    only = master(NOON, **LFC)
    assert [side and side.id for side in store.select_bracket(FRAME, "wls")] == [only.id, None]


def test_the_comb_is_not_preferred_beyond_the_limit_of_the_lamp(store, master):
    master(NOON - 2.1, **LFC)
    lamp = master(NOON - 1.9, **THAR)
    with pytest.warns(UserWarning, match="step 2"):
        assert store.select(FRAME, "wls").id == lamp.id
