from datetime import datetime, timedelta

import pytest
from koa_middleware import CalibrationNotFoundError, CalibrationStore, FallbackWarning, HeaderError
from koa_middleware_kpf import BiasSelector, KPFCalibration, WlsSelector, plugin

NOON = 60697.5  # 2025-01-22T12:00 UTC, era 2.6
FRAME = {"mjd_mid": NOON, "mjd_start": NOON, "read_speed": "regular", "amplifiers": 2}
LFC_EVE = {"cal_type": "wls", "object": "autocal-lfc-all-eve", "lamp": "lfc", "fiber": "all", "session": "eve"}
LFC_MORN = {**LFC_EVE, "object": "autocal-lfc-all-morn", "session": "morn"}
THAR_EVE = {**LFC_EVE, "object": "autocal-thar-all-eve", "lamp": "thar"}
OBJECTS = {
    "bias": "autocal-bias",
    "dark": "autocal-dark",
    "flat": "autocal-flat-all",
    "smoothlamp": "smoothlamp",
    "ordermask": "ordermask",
}
BIAS = {"cal_type": "bias", "object": "autocal-bias"}


@pytest.fixture
def master(add_record):
    """Put a master of 2D images, read regularly by 2 amplifiers, into the database."""

    def master(mjd_mid, **values):
        known = {"level": "2D", "read_speed": "regular", "amplifiers": 2, "master_cal": True, "mjd_start": mjd_mid}
        return add_record(**KPFCalibration.normalise({**known, "mjd_mid": mjd_mid, **values}))

    return master


def mjd(text):
    return (datetime.fromisoformat(text) - datetime(1858, 11, 17)) / timedelta(days=1)


@pytest.mark.parametrize(("cal_type", "obj"), OBJECTS.items())
def test_the_nearest_standard_stack_is_chosen(store, master, cal_type, obj):
    master(NOON - 1.5, cal_type=cal_type, object=obj)
    near = master(NOON + 1, cal_type=cal_type, object=obj)
    master(NOON + 2, cal_type=cal_type, object=obj)
    assert store.select(FRAME, cal_type).id == near.id


@pytest.mark.parametrize("cal_type", OBJECTS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"read_speed": "fast"},
        {"read_speed": None},
        {"amplifiers": 4},
        {"level": "L1"},
        {"kpf_era": "2.5"},
        {"object": "slewcal"},
        {"object": None},
        {"quality": "BAD"},
    ],
)
def test_a_stack_that_differs_in_one_thing_is_refused(store, master, cal_type, wrong):
    master(NOON, **{"cal_type": cal_type, "object": OBJECTS[cal_type], **wrong})
    (rule,) = wrong
    with pytest.raises(CalibrationNotFoundError, match=rule):
        store.select(FRAME, cal_type)


@pytest.mark.parametrize(("days", "fits"), [(5.0, True), (-5.0, True), (5.001, False), (-5.001, False)])
def test_five_days_are_the_limit(store, master, days, fits):
    master(NOON + days, **BIAS)
    if fits:
        assert store.select(FRAME, "bias")
    else:
        with pytest.raises(CalibrationNotFoundError, match="limit 5 d"):
            store.select(FRAME, "bias")


def test_the_limit_is_wider_only_when_asked(store, master):
    old = master(NOON - 9, **BIAS)
    with pytest.raises(CalibrationNotFoundError):
        store.select(FRAME, "bias")
    assert store.select(FRAME, BiasSelector(max_age=timedelta(days=10))).id == old.id


def test_an_era_is_compared_only_where_both_know_it(store, master):
    gap = mjd("2025-01-01T11:00:00")  # no era is published for this hour
    only = master(gap, **BIAS)
    assert only.kpf_era is None
    frame = {**FRAME, "mjd_mid": mjd("2025-01-01T13:00:00")}
    assert store.select(frame, "bias").id == only.id


def test_an_era_is_not_crossed_at_its_end(store, master):
    master(mjd("2025-08-29T20:00:00"), **BIAS)
    with pytest.raises(CalibrationNotFoundError, match=r"kpf_era is 3\.0"):
        store.select({**FRAME, "mjd_mid": mjd("2025-08-29T21:00:00")}, "bias")


def test_another_level_is_given_when_asked(store, master):
    image = master(NOON, **BIAS)
    extracted = master(NOON, **BIAS, level="L1")
    assert store.select(FRAME, "bias").id == image.id
    assert store.select({**FRAME, "level": "L1"}, "bias").id == extracted.id


def test_stacks_of_the_next_generation_are_not_taken_by_the_rules_of_this_one(store, add_record):
    values = KPFCalibration.values_from_header(
        {"READSPED": "regular", "GRNAMPS": 2, "OBJECT": "autocal-bias"}, "KP.20250122.43200.00_master_bias_L1.fits"
    )
    add_record(**values)
    with pytest.raises(CalibrationNotFoundError, match="it has no object"):
        store.select({**FRAME, "level": "L1"}, "bias")


@pytest.mark.parametrize("missing", ["read_speed", "amplifiers"])
def test_a_frame_that_does_not_say_how_it_was_read_is_an_error(store, master, missing):
    master(NOON, **BIAS)
    with pytest.raises(HeaderError, match=missing):
        store.select({**FRAME, missing: None}, "bias")


def test_each_chip_has_an_order_trace_of_its_own(store, master):
    unknown = {"read_speed": None, "amplifiers": None, "cal_type": "ordertrace", "level": "L1"}
    green = master(NOON, **unknown, chip="GREEN")
    red = master(NOON, **unknown, chip="RED")
    assert store.select({**FRAME, "chip": "GREEN"}, "ordertrace").id == green.id
    assert store.select({**FRAME, "chip": "RED"}, "ordertrace").id == red.id
    with pytest.raises(HeaderError, match="chip"):
        store.select(FRAME, "ordertrace")


def test_the_nearest_of_several_wavelength_solutions_is_chosen_not_the_first(store, master):
    master(NOON - 0.4, **LFC_EVE)
    near = master(NOON + 0.2, **LFC_MORN)
    master(NOON + 0.6, **LFC_EVE)
    assert store.select(FRAME, "wls").id == near.id


@pytest.mark.parametrize(
    "wrong",
    [
        {"read_speed": "fast"},
        {"kpf_era": "2.5"},
        {"session": "midnight"},
        {"fiber": "cal"},
        {"quality": "BAD"},
    ],
)
@pytest.mark.parametrize("lamp", [LFC_EVE, THAR_EVE])
def test_a_wavelength_solution_that_differs_in_one_thing_is_refused(store, master, lamp, wrong):
    master(NOON, **{**lamp, **wrong})
    with pytest.raises(CalibrationNotFoundError):
        store.select(FRAME, "wls")


@pytest.mark.parametrize(
    ("frame", "solution"),
    [
        ("2024-02-02T23:00:00", "2024-02-03T01:00:00"),
        ("2024-11-01T11:30:00", "2024-11-01T12:30:00"),
        ("2024-11-19T01:00:00", "2024-11-19T03:00:00"),  # era 2.5 on both sides
        ("2025-03-10T22:00:00", "2025-03-11T00:00:00"),  # era 2.6 on both sides
    ],
)
@pytest.mark.parametrize("swap", [False, True])
def test_a_service_mission_is_never_crossed(store, master, frame, solution, swap):
    if swap:
        frame, solution = solution, frame
    only = master(mjd(solution), **LFC_EVE)
    asked = {**FRAME, "mjd_mid": mjd(frame)}
    with pytest.raises(CalibrationNotFoundError):
        store.select(asked, "wls")
    assert store.select(asked, WlsSelector(never_across=(), match_if_known=())).id == only.id


def test_the_comb_is_preferred_to_the_lamp_within_the_limit(store, master):
    comb = master(NOON - 1.9, **LFC_EVE)
    master(NOON - 0.1, **THAR_EVE)
    assert store.select(FRAME, "wls").id == comb.id


def test_the_lamp_is_a_later_preference_that_says_so_where_no_comb_is_within_the_limit(store, master):
    master(NOON - 2.1, **LFC_EVE)
    lamp = master(NOON - 1.9, **THAR_EVE)
    with pytest.warns(FallbackWarning, match="step 2 chose"):
        chosen = store.select(FRAME, "wls")
    assert chosen.id == lamp.id
    assert chosen.is_fallback
    assert chosen.choice.step == 2


def test_the_lamp_has_the_same_limit(store, master):
    master(NOON - 2.1, **THAR_EVE)
    with pytest.raises(CalibrationNotFoundError):
        store.select(FRAME, "wls")


def test_the_two_sides_are_of_one_lamp(store, master):
    early = master(NOON - 0.5, **THAR_EVE)
    master(NOON - 0.2, **LFC_EVE)
    late = master(NOON + 0.5, **THAR_EVE)
    with pytest.warns(FallbackWarning):
        pair = store.select_bracket(FRAME, "wls")
    assert (pair.before.id, pair.after.id) == (early.id, late.id)
    assert pair.weight == pytest.approx(0.5)


@pytest.mark.parametrize("frame", ["2024-12-31T22:00:00", "2025-01-01T06:00:00", "2025-01-01T14:00:00"])
def test_a_pair_never_straddles_an_era_nor_the_gap_between_two(store, master, frame):
    master(mjd("2024-12-31T17:48:00"), **LFC_MORN)
    master(mjd("2025-01-01T17:48:00"), **LFC_MORN)
    pair = store.select_bracket({**FRAME, "mjd_mid": mjd(frame)}, "wls")
    assert [side is None for side in pair].count(True) == 1


def test_one_side_alone_can_be_asked_for(store, master):
    before, after = master(NOON - 0.5, **LFC_EVE), master(NOON + 0.2, **LFC_MORN)
    chosen = [store.select(FRAME, WlsSelector(direction=side)).id for side in ("before", "after", "nearest")]
    assert chosen == [before.id, after.id, after.id]


def test_a_pair_with_an_inferred_time_has_no_weight(store, master):
    master(NOON - 0.5, **LFC_EVE)
    master(NOON + 0.5, **LFC_MORN, time_inferred=True)
    pair = store.select_bracket(FRAME, "wls")
    assert pair.before is not None
    assert pair.after is not None
    assert pair.weight is None


def mask(master, mjd_mid, **values):
    unknown = {"read_speed": None, "amplifiers": None, "level": "L1"}
    return master(mjd_mid, **{**unknown, "cal_type": "etalonmask", "fiber": "sci2", **values})


def test_an_etalon_mask_is_nearest_to_the_wavelength_solution_not_to_the_frame(store, master):
    master(NOON - 0.42, **LFC_EVE)
    evening = mask(master, NOON - 0.42)
    mask(master, NOON + 0.1)
    frame = {**FRAME, "fiber": "sci2"}
    assert store.select(frame, "etalonmask").id == evening.id
    assert store.explain(frame, "etalonmask").winner.id == evening.id


@pytest.mark.parametrize("wrong", [{"fiber": "sci1"}, {"quality": "BAD"}])
def test_a_mask_of_another_fibre_or_a_failed_one_is_never_taken(store, master, wrong):
    master(NOON, **LFC_EVE)
    mask(master, NOON, **wrong)
    with pytest.raises(CalibrationNotFoundError, match="No etalonmask"):
        store.select({**FRAME, "fiber": "sci2"}, "etalonmask")


def test_without_a_wavelength_solution_there_is_no_etalon_mask(store, master):
    mask(master, NOON)
    with pytest.raises(CalibrationNotFoundError, match="No wls"):
        store.select({**FRAME, "fiber": "sci2"}, "etalonmask")


@pytest.mark.parametrize(
    "cal_type", ["rough_wls", "start_order", "xdisp_ref", "etalon_drift", "lfc_drift", "trace_flat"]
)
def test_a_reference_is_that_of_the_frames_time_however_old_it_is(store, master, cal_type):
    old = master(mjd("2023-04-18"), cal_type=cal_type)
    new = master(mjd("2025-05-06"), cal_type=cal_type)
    assert store.select({**FRAME, "mjd_mid": mjd("2022-11-10")}, cal_type).id == old.id
    assert store.select({**FRAME, "mjd_mid": mjd("2030-01-01")}, cal_type).id == new.id


def test_a_reference_ends_where_the_table_says_even_if_no_other_one_follows(store, master):
    master(mjd("2023-04-18"), cal_type="etalon_drift")
    with pytest.raises(CalibrationNotFoundError, match="until 2024-02-03, not at"):
        store.select({**FRAME, "mjd_mid": mjd("2024-02-03")}, "etalon_drift")


def test_a_frame_needs_what_is_applied_to_it_and_a_flat_no_flat(store):
    assert list(store.get_calibrations(FRAME, return_exceptions=True)) == [*OBJECTS, "wls"]
    assert list(store.get_calibrations({**FRAME, "chip": "RED"}, return_exceptions=True))[-1] == "ordertrace"
    assert "flat" not in store.get_calibrations({**FRAME, "cal_type": "flat"}, return_exceptions=True)


def test_the_demo_night_shows_each_kind_of_refusal(store, tmp_path):
    calibrations, (frame,) = plugin.demo(tmp_path / "night")
    for path in calibrations:
        store.register_calibration(path)
    bias = store.explain(frame, "bias")
    assert bias.winner.filename == "kpf_20250104_master_bias_autocal-bias.fits"
    assert {"read_speed", "kpf_era", "quality", "max_age"} <= set(bias.counts)
    wls = store.explain(frame, "wls")
    assert wls.winner.filename == "kpf_20250102_master_WLS_autocal-lfc-all-eve_L1.fits"
    assert {"read_speed", "session", "lamp"} <= set(wls.counts)
    assert wls.winner.id == store.select_bracket(frame, "wls").before.id
    assert store.select_bracket(frame, "wls").after.filename == "kpf_20250103_master_WLS_autocal-lfc-all-morn_L1.fits"
    assert store.select(frame, "trace_flat").filename == "kpf_20240211_trace_flat.fits"
    masks = {
        fiber: store.select({**plugin.ORM.values_from_file(frame), "fiber": fiber}, "etalonmask").filename
        for fiber in ("sci2", "sci3")
    }
    assert masks == {
        "sci2": "20250102_eve_sci2_etalon_wavelengths.csv",
        "sci3": "20250102_morn_sci3_etalon_wavelengths.csv",  # that of the evening is a failed one
    }


def test_a_frame_without_a_start_is_told_the_keyword_of_the_start(tmp_path):
    frame = {"level": "2D", "read_speed": "regular", "amplifiers": 2}
    missing = pytest.raises(HeaderError, match=r"no mjd_mid .*it has no mjd_start \(keyword .*MJD-OBS\) either")
    with CalibrationStore(KPFCalibration, tmp_path) as store, missing:
        store.select(frame, BiasSelector)
