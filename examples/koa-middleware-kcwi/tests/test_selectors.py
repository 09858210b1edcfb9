import pytest
from koa_middleware import CalibrationNotFoundError
from koa_middleware_kcwi import KcwiCalibration, plugin

FRAME = {"camera": "blue", "ccd_config": "22010101", "state_id": "20240110-01", "mjd_start": 60319.5}


@pytest.mark.parametrize("cal_type", ["mbias", "mdark"])
def test_a_bias_or_dark_is_of_the_detectors_configuration_whatever_the_optics_are(store, add_record, cal_type):
    kept = add_record(**{**FRAME, "state_id": "another", "cal_type": cal_type, "mjd_start": 60319.2})
    add_record(**{**FRAME, "ccd_config": "11010101", "cal_type": cal_type})
    add_record(**{**FRAME, "camera": "red", "cal_type": cal_type})
    assert [record.id for record in store.candidates(FRAME, cal_type)] == [kept.id]


@pytest.mark.parametrize("cal_type", ["marc", "mflat", "mtwif", "mdome"])
def test_an_arc_or_flat_is_of_the_same_state(store, add_record, cal_type):
    far = add_record(**{**FRAME, "cal_type": cal_type, "mjd_start": 60319.1})
    near = add_record(**{**FRAME, "cal_type": cal_type, "mjd_start": 60319.6})
    add_record(**{**FRAME, "state_id": "another", "cal_type": cal_type})
    assert [record.id for record in store.candidates(FRAME, cal_type)] == [near.id, far.id]


@pytest.mark.parametrize(("cal_type", "days"), [("mbias", 30.0), ("mflat", 7.0)])
def test_an_old_master_is_not_used(store, add_record, cal_type, days):
    add_record(**{**FRAME, "cal_type": cal_type, "mjd_start": FRAME["mjd_start"] - days - 0.01})
    with pytest.raises(CalibrationNotFoundError):
        store.select(FRAME, cal_type)


def test_a_header_without_the_detectors_configuration_gives_it_from_its_parts(write_fits):
    cards = {"INSTRUME": "KCWI", "CAMERA": "BLUE", "IMTYPE": "OBJECT", "MJD": 60319.5, "BGRATNAM": "BM"}
    path = write_fits("kb.fits", {**cards, "CCDSUM": "2 2", "CCDMODE": 1, "GAINMUL": 10, "AMPMNUM": 9})
    values = KcwiCalibration.values_from_file(path)
    assert [values[name] for name in ("ccd_config", "camera", "grating")] == ["2211009", "blue", "bm"]


def test_the_demo_night_is_told_apart(store, tmp_path):
    masters, frames = plugin.demo(tmp_path)
    for path in masters:
        store.register_calibration(path)
    for frame in frames:
        chosen = store.get_calibrations(frame)
        assert sorted(chosen) == sorted(KcwiCalibration.cal_types)
        assert {found.calibration.filename[:2] for found in chosen.values()} == {frame.name[:2]}
        assert not {found.calibration.filename[9:12] for found in chosen.values()} & {"020"}
