import json

import pytest
from koa_middleware import HeaderError
from koa_middleware_kpf import KPFCalibration

# What the primary header of a master says: it is a copy of some input frame's.
INPUT_FRAME = {
    "IMTYPE": "Bias",
    "OBJECT": "autocal-bias",
    "MJD-OBS": 60697.7,
    "DATE-OBS": "2025-01-22",
    "DATE-BEG": "2025-01-22T16:48:00",
    "DATE-MID": "2025-01-22T16:48:00",
    "EXPTIME": 0.0,
    "GRACFFLN": "regular-read-green.acf",
    "GRNAMPS": 2,
}
BIAS = "kpf_20250122_master_bias_autocal-bias.fits"
BIAS_TIMES = {"MINMJD": 60697.043256, "MAXMJD": 60697.712638, "MIDMJD": 60697.377947}


def from_name(name):
    return KPFCalibration.values_from_header({}, name)


@pytest.mark.parametrize(
    ("name", "cal_type", "level", "obj"),
    [
        ("kpf_20250307_master_bias_autocal-bias.fits", "bias", "2D", "autocal-bias"),
        ("kpf_20250307_master_bias_autocal-bias_L1.fits", "bias", "L1", "autocal-bias"),
        ("kpf_20250307_master_bias_autocal-bias_L2.fits", "bias", "L2", "autocal-bias"),
        ("kpf_20250307_master_dark_autocal-dark.fits", "dark", "2D", "autocal-dark"),
        ("kpf_20250307_master_dark_autocal-dark_L1.fits", "dark", "L1", "autocal-dark"),
        ("kpf_20250307_master_dark_autocal-dark_L2.fits", "dark", "L2", "autocal-dark"),
        ("kpf_20250307_master_flat.fits", "flat", "2D", "autocal-flat-all"),
        ("kpf_20250307_master_flat_L1.fits", "flat", "L1", "autocal-flat-all"),
        ("kpf_20250307_master_flat_L2.fits", "flat", "L2", "autocal-flat-all"),
        ("kpf_20250307_master_arclamp_autocal-lfc-all-morn.fits", "arclamp", "2D", "autocal-lfc-all-morn"),
        ("kpf_20250307_master_arclamp_autocal-lfc-all-morn_L1.fits", "arclamp", "L1", "autocal-lfc-all-morn"),
        ("kpf_20250307_master_arclamp_autocal-lfc-all-morn_L2.fits", "arclamp", "L2", "autocal-lfc-all-morn"),
        ("kpf_20250307_master_flat_GREEN_CCD.csv", "ordertrace", "L1", "ordertracegreen"),
        ("kpf_20250307_master_flat_RED_CCD.csv", "ordertrace", "L1", "ordertracered"),
        ("kpf_20250307_order_mask.fits", "ordermask", "2D", "ordermask"),
        ("kpf_20250307_order_mask_L1.fits", "ordermask", "L1", "ordermask"),
        ("kpf_20250307_order_mask_L2.fits", "ordermask", "L2", "ordermask"),
        ("kpf_20250307_smooth_lamp.fits", "smoothlamp", "2D", "smoothlamp"),
        ("kpf_20250307_master_WLS_autocal-lfc-all-morn_L1.fits", "wls", "L1", "autocal-lfc-all-morn"),
        ("20250307_morn_sci1_etalon_wavelengths.csv", "etalonmask", "L1", "morn_sci1"),
        # before 2023-06-29
        ("kpf_20230606_master_bias.fits", "bias", "2D", "autocal-bias"),
        ("kpf_20230606_master_dark_L1.fits", "dark", "L1", "autocal-dark"),
        ("kpf_20230606_master_WLS_cal-LFC-morn_L1.fits", "wls", "L1", "cal-lfc-morn"),
        ("kpf_20230606_master_arclamp_201091.fits", "arclamp", "2D", "201091"),
        # static references, whose names are this store's own
        ("kpf_20240211_trace_flat.fits", "trace_flat", "L1", None),
        ("kpf_20240211_start_order.csv", "start_order", "L1", None),
        ("KPF_20230418_ETALON_DRIFT.fits.gz", "etalon_drift", "L1", None),
        # versions
        ("kpf_20250307_master_bias_autocal-bias_L1.002.fits", "bias", "L1", "autocal-bias"),
        ("kpf_20250307_master_flat_GREEN_CCD.002.csv", "ordertrace", "L1", "ordertracegreen"),
        ("20250307_morn_sci1_etalon_wavelengths.002.csv", "etalonmask", "L1", "morn_sci1"),
        # the next pipeline generation
        ("KP.20240405.03637.74_master_bias_L1.fits", "bias", "L1", None),
    ],
)
def test_a_name_says_type_level_and_object(name, cal_type, level, obj):
    values = from_name(name)
    assert (values["cal_type"], values["level"], values.get("object")) == (cal_type, level, obj)
    assert values.get("cal_version") == ("002" if ".002." in name else None)


@pytest.mark.parametrize(
    "name",
    [
        "kpf_20250307_master_flat_norect.fits",
        "kpf_20250307_master_flat_norect_L1.fits",
        "kpf_20250307_master_flat_norect_L2.fits",
        "kpf_20250307_master_WLS_autocal-lfc-all-morn_RED_L1.json.gz",
        "kpf_20240206_order_mask_untrimmed_made20240206.fits",
        "kpf_20240211_smooth_lamp_made20240212.fits",
    ],
)
def test_a_master_of_no_kept_kind_is_refused_by_name_whatever_its_header_says(name):
    with pytest.raises(HeaderError, match="does not keep") as caught:
        KPFCalibration.values_from_header(INPUT_FRAME, name)
    assert name in str(caught.value)
    assert "etalonmask" in str(caught.value)


def test_json_wavelength_solutions_are_refused_at_registration(store, tmp_path):
    path = tmp_path / "kpf_20250307_master_WLS_autocal-lfc-all-morn_RED_L1.json"
    path.write_text(json.dumps({"orders": []}))
    with pytest.raises(HeaderError, match=path.name):
        store.register_calibration(path)
    assert len(store.local_db) == 0


def test_every_line_of_a_real_listing_is_a_type_or_refused(real):
    refused, types = [], set()
    for line in (real / "masters_20250307_listing.txt").read_text().splitlines():
        name = line.split()[-1]
        try:
            types.add(from_name(name)["cal_type"])
        except HeaderError:
            refused.append(name)
    assert types == {"bias", "dark", "flat", "arclamp", "ordertrace", "ordermask", "wls"}
    assert len(refused) == 5
    assert all("norect" in name or name.endswith(".json.gz") for name in refused)


def test_times_of_a_master_are_those_of_its_extensions(store, write_fits):
    path = write_fits(BIAS, INPUT_FRAME, GREEN_CCD={**BIAS_TIMES, "NFRAMES": 6, "INFOBITS": 7}, RED_CCD=BIAS_TIMES)
    _, record = store.register_calibration(path)
    assert (record.mjd_start, record.mjd_mid, record.mjd_end) == (60697.043256, 60697.377947, 60697.712638)
    assert record.datetime_obs == "2025-01-22T01:02:17.318"
    assert (record.n_frames, record.infobits) == (6, 7)
    assert record.kpf_era == "2.6"
    assert (record.read_speed, record.amplifiers) == ("regular", 2)


def test_a_master_of_the_red_chip_alone_has_its_times_from_there(store, write_fits):
    _, record = store.register_calibration(write_fits(BIAS, INPUT_FRAME, RED_CCD=BIAS_TIMES))
    assert record.mjd_mid == 60697.377947


def test_a_master_without_its_middle_has_the_mean_of_first_and_last(write_fits):
    times = {key: value for key, value in BIAS_TIMES.items() if key != "MIDMJD"}
    values = KPFCalibration.values_from_file(write_fits(BIAS, INPUT_FRAME, GREEN_CCD=times))
    assert values["mjd_mid"] == pytest.approx(60697.377947, abs=1e-9)


def test_a_stack_of_a_day_without_times_is_not_dated_by_an_input_frame():
    values = KPFCalibration.values_from_header(INPUT_FRAME, "kpf_20250122_master_bias_autocal-bias_L1.fits")
    assert (values["datetime_obs"], values["mjd_mid"]) == ("2025-01-22T00:00:00.000", 60697.5)


def test_a_stack_of_a_session_without_times_is_dated_by_its_input_frame():
    cards = {**INPUT_FRAME, "IMTYPE": "Arclamp", "OBJECT": "autocal-lfc-all-morn", "EXPTIME": 60.0}
    values = KPFCalibration.values_from_header(cards, "kpf_20250122_master_WLS_autocal-lfc-all-morn_L1.fits")
    assert values["mjd_start"] == 60697.7
    assert values["mjd_mid"] == pytest.approx(60697.7 + 30 / 86400, abs=1e-9)
    assert (values["lamp"], values["fiber"], values["session"]) == ("lfc", "all", "morn")


def test_the_next_generation_is_dated_by_its_name():
    assert from_name("KP.20240405.03637.74_master_bias_L1.fits")["datetime_obs"] == "2024-04-05T01:00:37.740"


def test_sessions_of_one_date_are_in_their_order():
    sessions = ["eve", "midnight", "morn", "midday"]
    times = [from_name(f"20250122_{session}_cal_etalon_wavelengths.csv")["mjd_mid"] for session in sessions]
    assert times == sorted(times)
    assert times[0] == pytest.approx(60697.079, abs=0.01)  # that of a real evening's stack
    assert {int(time) for time in times} == {60697}


@pytest.mark.parametrize("image_type", ["Bias", "bias  ", "BIAS"])
def test_letter_case_and_trailing_blanks_of_a_type_do_not_matter(write_fits, image_type):
    path = write_fits("renamed.fits", {**INPUT_FRAME, "IMTYPE": image_type}, GREEN_CCD=BIAS_TIMES)
    assert KPFCalibration.values_from_file(path)["cal_type"] == "bias"


def test_a_flat_lamp_is_a_flat(write_fits):
    path = write_fits("renamed.fits", {**INPUT_FRAME, "IMTYPE": "Flatlamp"}, GREEN_CCD=BIAS_TIMES)
    assert KPFCalibration.values_from_file(path)["cal_type"] == "flat"


def test_the_name_decides_where_the_image_type_is_that_of_the_input():
    cards = {**INPUT_FRAME, "IMTYPE": "Arclamp", "OBJECT": "autocal-thar-all-eve"}
    values = KPFCalibration.values_from_header(cards, "kpf_20250122_master_WLS_autocal-lfc-all-eve_L1.fits")
    assert (values["cal_type"], values["object"], values["lamp"]) == ("wls", "autocal-lfc-all-eve", "lfc")


def test_a_lamp_stack_without_object_in_its_name_has_the_one_that_was_stacked(write_fits):
    cards = {**INPUT_FRAME, "IMTYPE": "Arclamp", "OBJECT": "something else"}
    green = {**BIAS_TIMES, "TARGOBJ": "autocal-thar-cal-eve"}
    values = KPFCalibration.values_from_file(write_fits("kpf_20230522_master_arclamp.fits", cards, GREEN_CCD=green))
    assert (values["object"], values["lamp"], values["fiber"]) == ("autocal-thar-cal-eve", "thar", "cal")


def test_a_frame_is_no_calibration_whatever_its_image_type(store, write_fits):
    path = write_fits("KP.20250122.60480.00.fits", {**INPUT_FRAME, "IMTYPE": "Arclamp"})
    with pytest.raises(HeaderError, match="cal_type"):
        store.register_calibration(path)


@pytest.mark.parametrize(
    ("cards", "middle"),
    [
        ({"MJD-OBS": 60697.5, "EXPTIME": 864.0}, 60697.505),
        ({"MJD-OBS": 60697.5, "EXPTIME": 864.0, "DATE-MID": "2025-01-22T12:05:00.000Z"}, 60697 + 725 / 1440),
        ({"DATE-BEG": "2025-01-22T12:00:00", "EXPTIME": 864.0}, 60697.505),
        ({"MJD-OBS": 60697.5}, 60697.5),
    ],
)
def test_the_middle_of_a_frame(cards, middle):
    values = KPFCalibration.values_from_header(cards, "KP.20250122.43200.00.fits")
    assert values["mjd_mid"] == pytest.approx(middle, abs=1e-9)


def test_a_frame_of_any_level_asks_for_images():
    for level in ("", "_2D", "_L1", "_L2"):
        values = KPFCalibration.values_from_header({"MJD-OBS": 60697.5}, f"KP.20250122.43200.00{level}.fits")
        assert values["level"] == "2D"


@pytest.mark.parametrize(
    ("cards", "speed"),
    [
        ({"GRACFFLN": "regular-read-green.acf"}, "regular"),
        ({"GRACFFLN": "fast-read-green.acf"}, "fast"),
        ({"READSPED": "Fast  ", "GRACFFLN": "regular-read-green.acf"}, "fast"),
    ],
)
def test_the_read_speed_is_a_word_of_its_own_or_the_first_of_the_controller_file(cards, speed):
    assert KPFCalibration.values_from_header(cards)["read_speed"] == speed


@pytest.mark.parametrize("number", [2, 4])
def test_amplifiers_of_a_raw_frame_are_counted(tmp_path, number):
    from astropy.io import fits

    data = fits.ImageHDU().data
    hdus = [fits.PrimaryHDU()]
    for n in range(1, 5):
        data = [[1, 2], [3, 4]] if n <= number else None
        hdus.append(fits.ImageHDU(None if data is None else _array(data), name=f"GREEN_AMP{n}"))
    path = tmp_path / "KP.20250122.43200.00.fits"
    fits.HDUList(hdus).writeto(path)
    assert KPFCalibration.values_from_file(path)["amplifiers"] == number


def _array(rows):
    import numpy as np

    return np.array(rows, dtype="int16")


def test_an_era_of_the_header_wins_over_that_of_the_table():
    assert KPFCalibration.values_from_header({"KPFERA": "2.7", "MJD-OBS": 60697.5})["kpf_era"] == "2.7"


@pytest.mark.parametrize(("lines", "quality"), [(4000, "UNKNOWN"), (200, "BAD")])
def test_a_failed_etalon_mask_is_told_by_its_size(store, tmp_path, lines, quality):
    path = tmp_path / "20250122_eve_sci2_etalon_wavelengths.csv"
    path.write_text("5000.123456789,1.0,0.000012345678901234567\n" * lines)
    _, record = store.register_calibration(path)
    assert record.quality == quality
    assert (record.cal_type, record.fiber, record.session) == ("etalonmask", "sci2", "eve")


def test_order_traces_of_both_chips_are_dated_by_their_name(store, tmp_path):
    records = []
    for chip in ("GREEN", "RED"):
        path = tmp_path / f"kpf_20250122_master_flat_{chip}_CCD.csv"
        path.write_text(f"order,chip\n1,{chip}\n")
        records.append(store.register_calibration(path).calibration)
    assert [record.chip for record in records] == ["GREEN", "RED"]
    assert {(record.datetime_obs, record.mjd_mid) for record in records} == {("2025-01-22T00:00:00.000", 60697.5)}
    assert {record.cal_version for record in records} == {"001"}


def test_a_real_bias(store, write_fits, real_header):
    green = real_header("kpf_20250122_master_bias_autocal-bias.GREEN_CCD.hdr.txt")
    _, record = store.register_calibration(write_fits(BIAS, INPUT_FRAME, GREEN_CCD=green))
    assert (record.cal_type, record.level, record.n_frames, record.infobits) == ("bias", "2D", 6, 7)
    assert (record.mjd_start, record.mjd_mid) == (60697.043256, 60697.377947)


def test_a_real_flat(store, write_fits, real_header):
    green = real_header("kpf_20250122_master_flat.GREEN_CCD.hdr.txt")
    cards = {**INPUT_FRAME, "IMTYPE": "Flatlamp"}
    _, record = store.register_calibration(write_fits("kpf_20250122_master_flat.fits", cards, GREEN_CCD=green))
    assert (record.cal_type, record.object, record.n_frames) == ("flat", "autocal-flat-all", 140)
    assert record.mjd_mid == pytest.approx(60697.499974, abs=1e-9)


def test_a_real_lamp_stack(store, write_fits, real_header):
    name = "kpf_20250122_master_arclamp_autocal-thar-cal-eve"
    green = real_header(f"{name}.GREEN_CCD.hdr.txt")
    cards = {**INPUT_FRAME, "IMTYPE": "Arclamp"}
    _, record = store.register_calibration(write_fits(f"{name}.fits", cards, GREEN_CCD=green))
    assert (record.cal_type, record.object) == ("arclamp", "autocal-thar-cal-eve")
    assert (record.lamp, record.fiber, record.session) == ("thar", "cal", "eve")
    assert record.mjd_start == 60697.077492


def test_a_real_frame_of_285_cards(write_fits, real_header):
    header = real_header("KP.20231105.64071.69_L2.PRIMARY.hdr.txt")
    values = KPFCalibration.values_from_file(write_fits("KP.20231105.64071.69_L2.fits", header))
    assert "cal_type" not in values
    assert "origin" not in values
    assert (values["read_speed"], values["amplifiers"], values["level"]) == ("regular", 2, "2D")
    assert values["kpf_era"] == "1.0"
    assert values["mjd_mid"] == pytest.approx(60253.741571 + 5 / 86400, abs=1e-9)
    assert values["drp_tag"] == "v2.5.3"


@pytest.mark.parametrize("image_type", ["Flatlamp", "Object", ""])
def test_a_reference_is_registered_by_its_name_and_dated_by_it(store, write_fits, image_type):
    path = write_fits("kpf_20230730_xdisp_ref.fits", {"IMTYPE": image_type, "MJD-OBS": 60697.5})
    _, record = store.register_calibration(path)
    assert (record.cal_type, record.datetime_obs) == ("xdisp_ref", "2023-07-30T00:00:00.000")
    assert (record.valid_from, record.valid_to) == (60081.5, 60343.0)


@pytest.mark.parametrize("given", [{"valid_from": 60300.0}, {"valid_to": 60400.0}])
def test_an_interval_that_is_given_is_not_completed_from_the_table(given):
    values = KPFCalibration.normalise({"cal_type": "xdisp_ref", "mjd_start": 60155.0, **given})
    assert {name: values[name] for name in ("valid_from", "valid_to") if name in values} == given


# -- odd headers, and names that contradict them -----------------------------------------------------------------------

MORNING = "kpf_20250122_master_WLS_autocal-lfc-all-morn_L1.fits"
LAMP_FRAME = {**INPUT_FRAME, "IMTYPE": "Arclamp", "OBJECT": "autocal-lfc-all-morn"}


@pytest.mark.parametrize(
    ("start", "mid", "inferred"),
    [
        (60697.08, 60697 + 17.8 / 24, True),  # that of the evening: 16 hours earlier
        (60697.7, 60697.7, False),
        (60697 + 14.9 / 24, 60697 + 14.9 / 24, False),
        (60697 + 14.7 / 24, 60697 + 17.8 / 24, True),
        (60697 + 20.9 / 24, 60697 + 17.8 / 24, True),
        (None, 60697 + 17.8 / 24, True),
    ],
)
def test_a_header_that_contradicts_the_session_of_the_name_does_not_date_a_stack(
    store, write_fits, start, mid, inferred
):
    cards = {key: value for key, value in LAMP_FRAME.items() if not key.startswith(("DATE", "MJD"))}
    path = write_fits(MORNING, cards if start is None else {**cards, "MJD-OBS": start})
    _, record = store.register_calibration(path)
    assert record.mjd_mid == pytest.approx(mid, abs=1e-9)
    assert record.mjd_start == pytest.approx(mid, abs=1e-9)
    assert record.time_inferred is inferred


def test_times_of_extensions_that_contradict_the_session_are_not_used_either(store, write_fits):
    evening = {"MINMJD": 60697.077, "MAXMJD": 60697.081, "MIDMJD": 60697.079}
    name = "kpf_20250122_master_arclamp_autocal-lfc-all-morn.fits"
    _, record = store.register_calibration(write_fits(name, LAMP_FRAME, GREEN_CCD=evening))
    assert (record.time_inferred, record.mjd_end) == (True, None)
    assert record.mjd_mid == pytest.approx(60697 + 17.8 / 24, abs=1e-9)


def test_a_stack_of_a_day_is_dated_by_its_name_and_says_so(store, write_fits):
    _, record = store.register_calibration(write_fits("kpf_20250122_master_bias_autocal-bias_L1.fits", INPUT_FRAME))
    assert (record.mjd_mid, record.time_inferred) == (60697.5, True)
    _, record = store.register_calibration(write_fits(BIAS, INPUT_FRAME, GREEN_CCD=BIAS_TIMES))
    assert record.time_inferred is False


@pytest.mark.parametrize(
    ("name", "image_type"),
    [
        ("kpf_20250122_master_bias__x.fits", "bias_"),
        (BIAS, "Dark"),
        ("kpf_20250122_master_flat.fits", "Bias"),
        (MORNING, "Bias"),
        ("kpf_20250122_smooth_lamp.fits", "Arclamp"),
    ],
)
def test_a_name_and_an_image_type_that_contradict_each_other_are_refused(store, write_fits, name, image_type):
    path = write_fits(name, {**INPUT_FRAME, "IMTYPE": image_type}, GREEN_CCD=BIAS_TIMES)
    with pytest.raises(HeaderError, match=rf"{name}.*{image_type.lower()}.*IMTYPE"):
        store.register_calibration(path)
    assert len(store.local_db) == 0


@pytest.mark.parametrize(
    ("name", "image_type"),
    [
        (BIAS, "Bias"),
        ("kpf_20250122_master_flat.fits", "Flatlamp"),
        ("kpf_20250122_smooth_lamp.fits", "Flatlamp"),
        ("kpf_20250122_order_mask.fits", "Flat"),
        (MORNING, "Arclamp"),
        ("KP.20240405.03637.74_master_bias_L1.fits", ""),
    ],
)
def test_the_image_type_of_what_was_stacked_fits_the_name(name, image_type):
    values = KPFCalibration.values_from_header({"IMTYPE": image_type}, name)
    assert values["cal_type"] in name.replace("_", "").lower()


@pytest.mark.parametrize("written", [4, 4.0, "4", "4.0", " 4.0", "4.00", "4."])
def test_an_era_is_one_however_it_is_written(written):
    assert KPFCalibration.values_from_header({"KPFERA": written})["kpf_era"] == "4.0"


@pytest.mark.parametrize("said", ["N/A", "bogus", "2025-01-22", "", "0001-01-01T00:00:00", 7])
def test_a_middle_that_is_no_time_is_made_of_start_and_exposure(said):
    cards = {"MJD-OBS": 60697.5, "EXPTIME": 864.0, "DATE-MID": said}
    values = KPFCalibration.values_from_header(cards, "KP.20250122.43200.00.fits")
    assert values["mjd_mid"] == pytest.approx(60697.505, abs=1e-9)


def test_a_middle_of_another_day_is_refused():
    cards = {"MJD-OBS": 60697.5, "DATE-MID": "2024-01-22T12:00:00"}
    with pytest.raises(HeaderError, match=r"KP\.20250122.*DATE-MID.*60697\.5 \(keyword MJD-OBS"):
        KPFCalibration.values_from_header(cards, "KP.20250122.43200.00.fits")


@pytest.mark.parametrize("cards", [{"MJD-OBS": 0.0}, {"MJD-OBS": 0.0, "DATE-OBS": "soon"}])
def test_a_frame_whose_only_time_is_none_is_told_with_its_keyword(cards):
    with pytest.raises(HeaderError, match=r"\(keyword (MJD|DATE)-OBS\) of KP\.20250122.* is (0\.0|'soon')"):
        KPFCalibration.values_from_header(cards, "KP.20250122.43200.00.fits")


@pytest.mark.parametrize("exposure", [-99.0, 0.0])
def test_an_exposure_time_that_is_a_placeholder_does_not_move_the_middle(exposure):
    assert KPFCalibration.values_from_header({"MJD-OBS": 60697.5, "EXPTIME": exposure})["mjd_mid"] == 60697.5


@pytest.mark.parametrize("green", [{"MAXMJD": 60697.7}, {"MINMJD": "N/A", "MAXMJD": 60697.7}, {"MIDMJD": 0.0}])
def test_a_master_without_a_start_is_told_by_keyword(store, write_fits, green):
    path = write_fits("renamed.fits", {"IMTYPE": "Bias", "READSPED": "regular"}, GREEN_CCD=green)
    with pytest.raises(HeaderError, match=r"DATE-BEG|MJD"):
        store.register_calibration(path)


@pytest.mark.parametrize("holder", ["header", "headers"])
def test_an_object_of_the_pipeline_with_a_header_for_each_extension_is_a_frame(store, add_record, holder):
    bias = {"cal_type": "bias", "object": "autocal-bias", "level": "2D", "read_speed": "regular", "amplifiers": 2}
    chosen = add_record(**bias, mjd_start=60697.0, mjd_mid=60697.4)
    headers = {"PRIMARY": {"MJD-OBS": 60697.9, "READSPED": "Regular", "DATE-MID": "2025-01-22T21:36:10"}}
    headers |= {f"GREEN_AMP{n}": {"NAXIS": 2 if n < 3 else 0} for n in range(1, 5)}
    frame = type("Level", (), {holder: headers})()
    assert store.select(frame, "bias").id == chosen.id


def test_a_mapping_derives_what_a_header_does(store, add_record):
    add_record(cal_type="wls", object="autocal-lfc-all-eve", read_speed="regular", mjd_start=60697.08)
    frame = {"mjd_start": 60697.5, "exposure_time": 864.0, "read_speed": "regular"}
    read = {"MJD-OBS": 60697.5, "EXPTIME": 864.0, "READSPED": "regular"}
    assert store.explain(frame, "wls").asked == store.explain(read, "wls").asked
    assert store.explain(frame, "wls").asked["mjd_mid"] == pytest.approx(60697.505, abs=1e-9)
    assert store.select(frame, "wls").session == "eve"


def test_a_chip_that_is_asked_for_is_in_capitals():
    assert KPFCalibration.normalise({"chip": "green"})["chip"] == "GREEN"


@pytest.mark.parametrize(
    "name",
    [
        "kpf_20250132_master_flat_GREEN_CCD.csv",
        "kpf_20259999_master_bias_autocal-bias.fits",
        "kpf_20250230_master_bias.fits",
    ],
)
def test_a_master_whose_name_has_an_impossible_date_is_told_so(name):
    with pytest.raises(HeaderError, match=r"of 2025\d+, which is no date\. Name it by its UT date"):
        KPFCalibration.values_from_header({"IMTYPE": "Bias"}, name)


def test_an_infinite_exposure_is_told_as_a_middle_that_is_derived():
    with pytest.raises(HeaderError, match=r"mjd_mid \(derived\) of .* is inf"):
        KPFCalibration.values_from_header({"MJD-OBS": 60700.5, "EXPTIME": float("inf")})
