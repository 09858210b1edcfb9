import pytest
from koa_middleware import CalibrationNotFoundError, HeaderError
from koa_middleware_parvi import PARVICalibration, plugin

FRAME = {"instrument_era": "0.1.0", "exptime": 300.0, "fiber": 1, "mjd_start": 61083.0}


@pytest.mark.parametrize("cal_type", PARVICalibration.cal_types)
def test_the_nearest_of_the_type_and_era_is_chosen_master_or_not(store, add_record, cal_type):
    add_record(**{**FRAME, "cal_type": cal_type, "mjd_start": 61080.0})
    add_record(**{**FRAME, "cal_type": cal_type, "instrument_era": "0.0.1"})
    near = add_record(**{**FRAME, "cal_type": cal_type, "mjd_start": 61085.0, "master_cal": False})
    assert store.select(FRAME, cal_type).id == near.id


def test_a_dark_has_the_exposure_time_of_the_frame(store, add_record):
    add_record(**{**FRAME, "cal_type": "dark", "exptime": 60.0})
    with pytest.raises(CalibrationNotFoundError, match=r"exptime is 60\.0"):
        store.select(FRAME, "dark")


@pytest.mark.parametrize("cal_type", ["fiberflat", "lfc"])
def test_the_other_fibre_is_never_taken(store, add_record, cal_type):
    add_record(**{**FRAME, "cal_type": cal_type, "fiber": 3})
    with pytest.raises(CalibrationNotFoundError, match="fiber is 3"):
        store.select(FRAME, cal_type)


@pytest.mark.parametrize("cal_type", ["fullflat", "fiberflat", "lfc"])
def test_the_exposure_time_matters_to_darks_alone(store, add_record, cal_type):
    only = add_record(**{**FRAME, "cal_type": cal_type, "exptime": 10.0})
    assert store.select(FRAME, cal_type).id == only.id


def test_a_frame_without_a_fibre_is_an_error_that_names_the_keyword(store, add_record):
    add_record(**{**FRAME, "cal_type": "lfc"})
    with pytest.raises(HeaderError, match="FIBER"):
        store.select({**FRAME, "fiber": None}, "lfc")


def test_a_raw_frame_finds_the_dark_that_a_real_header_describes(store, write_fits):
    cards = {"OBJECT": "HD 10700", "EXPTIME": 300.0, "FIBER": 1, "TIMEI00": "1770866100000000000"}
    _, dark = store.register_calibration(write_fits("master_dark_300.0s.fits", cards))
    frame = write_fits("science_20260212031500.fits", cards)
    assert store.select(frame, "dark").id == dark.id


def test_the_demo_night_serves_both_fibres(store, tmp_path):
    calibrations, frames = plugin.demo(tmp_path / "night")
    for path in calibrations:
        store.register_calibration(path)
    chosen = [store.get_calibrations(frame) for frame in frames]
    assert [found["lfc"].calibration.fiber for found in chosen] == [1, 3]
    assert {found["dark"].calibration.filename for found in chosen} == {"master_dark_300.0s.fits"}
    assert {"exptime", "quality"} <= set(store.explain(frames[0], "dark").counts)
