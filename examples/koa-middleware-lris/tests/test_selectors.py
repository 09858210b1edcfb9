import pytest
from koa_middleware import CalibrationNotFoundError, HeaderError
from koa_middleware_lris import LrisCalibration, plugin

NIGHT = 60319.5
DETECTOR = {"binning": "2,1", "amps": "hsplit,vup", "mjd_start": NIGHT, "exposure_time": 10.0}
RED = {**DETECTOR, "arm": "red", "grating": "600/7500", "dichroic": "560", "slit": "long_1.0"}
RED |= {"grating_angle": 30.0, "wavelength": 7500.0}
BLUE = {**DETECTOR, "arm": "blue", "grism": "400/3400", "dichroic": "560", "slit": "long_1.0", "grating_angle": 30.0}


@pytest.mark.parametrize("cal_type", ["flatlamp", "arclamp"])
@pytest.mark.parametrize(
    ("differs", "fits"),
    [
        ({"grating_angle": 30.3}, True),
        ({"grating_angle": 30.31}, False),
        ({"wavelength": 7502.0}, True),
        ({"wavelength": 7502.1}, False),
        ({"wavelength": None}, False),
        ({"grating": "400/8500"}, False),
        ({"slit": "long_0.7"}, False),
        ({"binning": "1,1"}, False),
        ({"read_speed": "fast"}, True),  # the frame's is not known
    ],
)
def test_in_the_red_the_optics_and_the_tilt_of_the_grating_agree(store, add_record, cal_type, differs, fits):
    only = add_record(**{**RED, **differs, "cal_type": cal_type})
    if fits:
        assert store.select(RED, cal_type).id == only.id
    else:
        with pytest.raises(CalibrationNotFoundError, match=next(iter(differs)).replace("grating", "grating|disperser")):
            store.select(RED, cal_type)


def test_in_the_blue_the_grating_does_not_matter(store, add_record):
    only = add_record(**{**BLUE, "grating_angle": 60.0, "cal_type": "arclamp"})
    assert store.select(BLUE, "arclamp").id == only.id
    assert store.select({**BLUE, "grating_angle": None}, "arclamp").id == only.id


def test_a_frame_of_neither_arm_is_told_so(store, add_record):
    add_record(**RED, cal_type="arclamp")
    with pytest.raises(HeaderError, match="arm"):
        store.select({**RED, "arm": None}, "arclamp")


@pytest.mark.parametrize(("seconds", "fits"), [(540.0, True), (660.0, True), (539.0, False), (None, False)])
def test_a_dark_has_the_exposure_time_of_the_frame_to_a_tenth(store, add_record, seconds, fits):
    add_record(**{**RED, "exposure_time": seconds, "cal_type": "dark"})
    frame = {**RED, "exposure_time": 600.0}
    assert bool(store.candidates(frame, "dark")) is fits


@pytest.mark.parametrize(("seconds", "fits"), [(60.0, True), (60.1, False), (None, False)])
def test_a_long_flat_is_not_used(store, add_record, seconds, fits):
    add_record(**{**RED, "exposure_time": seconds, "cal_type": "flatlamp"})
    assert bool(store.candidates(RED, "flatlamp")) is fits


@pytest.mark.parametrize(("arm", "upgrade"), [("red", 59319.0), ("red", 54999.0), ("blue", 55013.0)])
@pytest.mark.parametrize("cal_type", ["bias", "arclamp", "bpm"])
def test_the_upgrade_of_a_detector_is_never_crossed(store, add_record, arm, upgrade, cal_type):
    values = RED if arm == "red" else BLUE
    before = add_record(**{**values, "cal_type": cal_type, "mjd_start": upgrade - 0.2})
    frame = {**values, "mjd_start": upgrade + 0.1}
    with pytest.raises(CalibrationNotFoundError, match="the boundary"):
        store.select(frame, cal_type)
    assert store.select({**frame, "mjd_start": upgrade - 0.1}, cal_type).id == before.id


def test_bad_pixels_are_valid_until_the_next_ones(store, add_record):
    first, second = (add_record(**{**RED, "cal_type": "bpm", "mjd_start": mjd}) for mjd in (59400.0, 60000.0))
    early = add_record(**{**RED, "cal_type": "bpm", "mjd_start": 60100.0, "valid_from": 59900.0})
    chosen = [store.select({**RED, "mjd_start": mjd}, "bpm").id for mjd in (59899.0, 59950.0, 60000.0)]
    assert chosen == [first.id, early.id, second.id]


def test_a_raw_header_is_read_as_the_arm_sees_it(write_fits):
    cards = {"INSTRUME": "LRISBLUE", "BINNING": "2, 1", "NUMAMPS": 4, "GRANAME": "600/7500", "GRISNAME": "400/3400 "}
    path = write_fits("LB.20240110.40001.00.fits", {**cards, "DATE-OBS": "2024-01-10", "UTC": "11:06:41.00"})
    values = LrisCalibration.values_from_file(path)
    assert [values[name] for name in ("arm", "binning", "amps", "disperser")] == ["blue", "2,1", "4", "400/3400"]
    assert values["mjd_start"] == pytest.approx(60319.46297, abs=1e-5)


def test_the_demo_night_is_told_apart(store, tmp_path):
    calibrations, (red, blue) = plugin.demo(tmp_path)
    for path in calibrations:
        store.register_calibration(path)
    chosen = {name: result.calibration for name, result in store.get_calibrations(red).items()}
    assert {name: record.filename[12:17] for name, record in chosen.items()} == {
        "bias": "03600",
        "dark": "05000",
        "flatlamp": "04000",
        "arclamp": "04200",
        "bpm": "00100",
    }
    assert chosen["bpm"].mjd_start == pytest.approx(59400.0, abs=0.1)
    assert store.select(blue, "arclamp").arm == "blue"
    raw_flat = calibrations[4]
    assert list(store.get_calibrations(raw_flat)) == ["bias", "bpm"]
