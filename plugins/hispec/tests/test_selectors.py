from datetime import timedelta

import koa_middleware_hispec
import pytest
from koa_middleware import CalibrationNotFoundError, FallbackWarning, HeaderError
from koa_middleware_hispec import DarkSelector, HISPECCalibration, plugin

FRAME = {"instrument_era": "1.0.0", "spectrograph": "BSPEC", "mjd_start": 61083.5}
MASTER = {"cal_type": "dark", "instrument_era": "1.0.0", "spectrograph": "BSPEC", "master_cal": True}


@pytest.mark.parametrize("cal_type", HISPECCalibration.cal_types)
def test_the_nearest_master_of_the_type_is_chosen(store, add_record, cal_type):
    add_record(**{**MASTER, "cal_type": cal_type, "mjd_start": 61080.0})
    near = add_record(**{**MASTER, "cal_type": cal_type, "mjd_start": 61084.0})
    add_record(**{**MASTER, "cal_type": "dark" if cal_type != "dark" else "bias", "mjd_start": 61083.5})
    assert store.select(FRAME, cal_type).id == near.id


def test_each_type_has_a_selector_of_its_name():
    for cal_type, selector in plugin.selectors.items():
        name = "".join(word.capitalize() for word in cal_type.split("_")) + "Selector"
        assert isinstance(selector, getattr(koa_middleware_hispec, name))
    assert tuple(plugin.selectors) == HISPECCalibration.cal_types


def test_an_era_is_never_crossed(store, add_record):
    add_record(**{**MASTER, "instrument_era": "0.9.0", "mjd_start": 61083.4})
    with pytest.raises(CalibrationNotFoundError, match=r"instrument_era is 0\.9\.0"):
        store.select(FRAME, "dark")


def test_the_other_spectrograph_is_never_taken(store, add_record):
    add_record(**{**MASTER, "spectrograph": "RSPEC", "mjd_start": 61083.4})
    add_record(**{**MASTER, "spectrograph": None, "mjd_start": 61083.4})
    with pytest.raises(CalibrationNotFoundError):
        store.select(FRAME, "dark")


def test_a_master_far_away_is_preferred_to_what_is_no_master(store, add_record):
    add_record(**{**MASTER, "master_cal": False, "mjd_start": 61083.5})
    master = add_record(**{**MASTER, "mjd_start": 61183.5})
    chosen = store.select(FRAME, "dark")
    assert chosen.id == master.id
    assert not chosen.is_fallback
    assert chosen.choice.step == 1


def test_an_instance_keeps_the_preference_beside_its_own_settings(store, add_record):
    add_record(**{**MASTER, "master_cal": False, "mjd_start": 61083.5})
    master = add_record(**{**MASTER, "mjd_start": 61080.0})
    add_record(**{**MASTER, "mjd_start": 61084.0})
    assert store.select(FRAME, DarkSelector(direction="before", max_age=timedelta(days=5))).id == master.id


def test_without_a_master_the_nearest_other_is_a_second_preference_that_says_so(store, add_record):
    add_record(**{**MASTER, "master_cal": False, "mjd_start": 61080.0})
    near = add_record(**{**MASTER, "master_cal": False, "mjd_start": 61083.0})
    with pytest.warns(FallbackWarning, match="step 2 chose"):
        chosen = store.select(FRAME, "dark")
    assert chosen.id == near.id
    assert chosen.is_fallback
    assert chosen.choice.step == 2


@pytest.mark.parametrize("wrong", [{"quality": "BAD"}, {"instrument_era": "0.9.0"}, {"spectrograph": "RSPEC"}])
def test_a_second_preference_is_as_strict_in_all_else(store, add_record, wrong):
    add_record(**{**MASTER, "master_cal": False, "mjd_start": 61083.5, **wrong})
    with pytest.raises(CalibrationNotFoundError):
        store.select(FRAME, "dark")


def test_a_frame_without_an_era_is_an_error_that_names_the_keyword(store, add_record, write_fits):
    add_record(**MASTER, mjd_start=61083.4)
    with pytest.raises(HeaderError, match="INSTERA"):
        store.select(write_fits("HB.20260212.43200.00.fits"), "dark")


def test_a_red_frame_gets_the_red_masters(store, add_record, write_fits):
    add_record(**MASTER, mjd_start=61083.5)
    red = add_record(**{**MASTER, "spectrograph": "RSPEC"}, mjd_start=61080.0)
    frame = write_fits("HR.20260212.43200.00.fits", {"INSTERA": "1.0.0 "})
    assert store.select(frame, "dark").id == red.id


def test_the_demo_night_shows_each_kind_of_refusal(store, tmp_path):
    calibrations, (frame,) = plugin.demo(tmp_path / "night")
    for path in calibrations:
        store.register_calibration(path)
    explanation = store.explain(frame, "dark")
    assert explanation.winner.filename == "HB.20260214.03600.00.mastercal-dark.001.fits"
    assert {"instrument_era", "spectrograph", "master_cal", "quality"} <= set(explanation.counts)
    assert set(store.get_calibrations(frame)) == set(plugin.selectors)
