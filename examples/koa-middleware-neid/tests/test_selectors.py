import pytest
from koa_middleware import CalibrationNotFoundError, FallbackWarning, HeaderError
from koa_middleware_neid import NeidCalibration, plugin

NOON = 60700.5
FRAME = {"mjd_start": NOON, "mjd_mid": NOON, "obs_mode": "hr"}
WAVE = {"cal_type": "wave", "obs_mode": "hr"}


@pytest.fixture
def wave(add_record):
    def wave(source, days, **values):
        return add_record(**{**WAVE, "source": source, "mjd_start": NOON + days, "mjd_mid": NOON + days, **values})

    return wave


def pair(store, frame=FRAME):
    return [side and side.id for side in store.select_bracket(frame, "wave")]


def test_the_comb_around_the_frame_is_taken_before_what_is_nearer(store, wave):
    before, after = wave("lfc", -0.9), wave("lfc", 0.8)
    for days in (-0.1, 0.1):
        wave("etalon", days)
        wave("thar", days)
    assert pair(store) == [before.id, after.id]
    assert store.select_bracket(FRAME, "wave").weight == pytest.approx(0.9 / 1.7)


@pytest.mark.parametrize(
    ("source", "inside", "outside", "step"), [("lfc", 1.0, 1.01, 1), ("etalon", 0.75, 0.76, 2), ("thar", 2.0, 2.01, 3)]
)
@pytest.mark.filterwarnings("ignore::koa_middleware.FallbackWarning")
def test_each_source_has_a_limit_of_its_own(store, wave, source, inside, outside, step):
    wave(source, -outside)
    with pytest.raises(CalibrationNotFoundError):
        store.select_bracket(FRAME, "wave")
    near = wave(source, inside)
    assert pair(store) == [None, near.id]
    assert store.select(FRAME, "wave").choice.step == step


def test_both_sides_are_of_one_source(store, wave):
    wave("lfc", -0.1)
    before, after = wave("etalon", -0.5), wave("etalon", 0.6)
    wave("thar", 0.1)
    with pytest.warns(FallbackWarning, match="step 2"):
        assert pair(store) == [before.id, after.id]


def test_one_side_is_an_answer_where_no_source_has_both(store, wave):
    before = wave("lfc", -0.9)
    wave("thar", 0.1)
    assert pair(store) == [before.id, None]


def test_an_era_is_not_crossed_and_a_gap_is_none(store, wave):
    end, begin = 60541.0, 60546.0  # of eras 5 and 6
    wave("lfc", end - 0.1 - NOON)
    after = wave("lfc", begin + 0.1 - NOON)
    with pytest.raises(HeaderError, match="no era"):
        store.select_bracket({**FRAME, "mjd_start": end + 0.1, "mjd_mid": end + 0.1}, "wave")
    assert pair(store, {**FRAME, "mjd_start": begin + 0.2, "mjd_mid": begin + 0.2}) == [after.id, None]


def test_a_flat_is_of_the_same_night_packet(store, add_record):
    noon = 60700 + 19 / 24  # local noon at Kitt Peak, UTC-7
    tonight = add_record(cal_type="flat", obs_mode="hr", mjd_start=noon + 0.9)
    add_record(cal_type="flat", obs_mode="hr", mjd_start=noon - 0.001)
    assert store.select({"mjd_start": noon + 0.01, "obs_mode": "hr"}, "flat").id == tonight.id


def test_a_static_master_serves_within_its_window(store, add_record):
    first = add_record(cal_type="badpixel", mjd_start=60600.0, valid_from=60546.0, valid_to=60650.0)
    second = add_record(cal_type="badpixel", mjd_start=60610.0, valid_from=60650.0)
    chosen = [store.select({"mjd_start": mjd}, "badpixel").id for mjd in (60546.0, 60649.9, 60650.0, 99999.0 - 30000)]
    assert chosen == [first.id, first.id, second.id, second.id]
    with pytest.raises(CalibrationNotFoundError, match="valid 2024-08-24 to 2024-12-06, not at"):
        store.select({"mjd_start": 60545.9}, "badpixel")


def test_a_static_master_without_a_window_serves_from_its_own_time_on(store, add_record):
    only = add_record(cal_type="ordermask", mjd_start=60600.0)
    assert store.select({"mjd_start": 60600.0}, "ordermask").id == only.id
    with pytest.raises(CalibrationNotFoundError):
        store.select({"mjd_start": 60599.9}, "ordermask")


def test_a_time_that_stands_in_the_name_alone_is_read(write_fits):
    values = NeidCalibration.values_from_file(write_fits("neidL0_20250125T072624.fits", {"OBS-MODE": "HR "}))
    assert (values["datetime_obs"], values["era"], values["obs_mode"]) == ("2025-01-25T07:26:24.000", "6", "hr")


def test_the_demo_night_gets_the_comb_on_both_sides(store, tmp_path):
    calibrations, (frame,) = plugin.demo(tmp_path)
    for path in calibrations:
        store.register_calibration(path)
    assert [side.source for side in store.select_bracket(frame, "wave")] == ["lfc", "lfc"]
    assert store.select(frame, "flat").filename == "neidL1_20250125T001424.fits"
    assert store.select(frame, "badpixel").valid_from == 60650.0
