import pytest
from koa_middleware import HeaderError
from koa_middleware_hispec import HISPECCalibration


def test_a_master_without_keywords_is_told_by_its_name():
    values = HISPECCalibration.values_from_header({}, "HB.20260212.00000.00.mastercal-dark.001.fits")
    assert values == {
        "filename": "HB.20260212.00000.00.mastercal-dark.001.fits",
        "cal_type": "dark",
        "spectrograph": "BSPEC",
        "master_cal": True,
        "cal_version": "001",
        "datetime_obs": "2026-02-12T00:00:00.000",
        "mjd_start": 61083.0,
    }


def test_a_name_without_a_version_is_of_the_first():
    values = HISPECCalibration.values_from_header({}, "HB.20260226.03605.43.mastercal-gain.fits")
    assert (values["cal_type"], values["cal_version"]) == ("gain", "001")
    assert values["datetime_obs"] == "2026-02-26T01:00:05.430"


def test_the_prefix_hr_is_the_red_spectrograph_and_cal_no_master():
    values = HISPECCalibration.values_from_header({}, "HR.20260212.03605.43.cal-lfc_wavesol.012.fits")
    assert values["spectrograph"] == "RSPEC"
    assert values["cal_type"] == "lfc_wavesol"
    assert values["master_cal"] is False
    assert values["cal_version"] == "012"


def test_a_frame_has_a_spectrograph_and_a_start_but_no_type():
    values = HISPECCalibration.values_from_header({"INSTERA": "1.0.0"}, "HR.20260212.03605.43.fits")
    assert values["spectrograph"] == "RSPEC"
    assert values["instrument_era"] == "1.0.0"
    assert values["datetime_obs"] == "2026-02-12T01:00:05.430"
    assert "cal_type" not in values


@pytest.mark.parametrize(
    ("keyword", "value", "column", "expected"),
    [
        ("SPECTROG", "RSPEC   ", "spectrograph", "RSPEC"),
        ("SPECTROG", "rspec", "spectrograph", "RSPEC"),
        ("CALTYPE", "BIAS", "cal_type", "bias"),
        ("CALVER", 7, "cal_version", "007"),
        ("MASTCAL", False, "master_cal", False),
        ("EXPMJDST", 61000.25, "mjd_start", 61000.25),
        ("MJD-OBS", 61000.25, "datetime_obs", "2025-11-21T06:00:00.000"),
        ("DATEOBS", "2025-11-21T06:00:00", "mjd_start", 61000.25),
        ("ORIGIN", "KECK", "origin", "REMOTE"),
        ("DATAQUAL", "bad", "quality", "BAD"),
        ("CALID", "some-id", "id", "some-id"),
        ("KOAID", "HB.20260212.00000.00.fits", "koa_id", "HB.20260212.00000.00.fits"),
        ("KOAPATH", "/koadata/HISPEC/20260212", "koa_filepath", "/koadata/HISPEC/20260212"),
        ("DRPSOFTV", "1.2.3", "drp_version", "1.2.3"),
        ("LASTPROC", "2026-02-13", "last_processed", "2026-02-13"),
        ("INSTERA", "2.0.1", "instrument_era", "2.0.1"),
    ],
)
def test_a_keyword_wins_over_the_name(keyword, value, column, expected):
    values = HISPECCalibration.values_from_header({keyword: value}, "HB.20260212.00000.00.mastercal-dark.001.fits")
    assert values[column] == expected


def test_the_start_of_the_first_exposure_wins_over_that_of_the_frame():
    values = HISPECCalibration.values_from_header({"MJD-OBS": 61000.5, "EXPMJDST": 61000.25})
    assert values["mjd_start"] == 61000.25


def test_a_date_alone_does_not_become_midnight():
    values = HISPECCalibration.values_from_header({"DATE-OBS": "2026-02-12"}, "HB.20260212.43200.00.fits")
    assert values["mjd_start"] == 61083.5
    assert values["datetime_obs"] == "2026-02-12T12:00:00.000"


@pytest.mark.parametrize("name", ["dark.fits", "HX.20260212.00000.00.fits", "HB.20261332.00000.00.fits"])
def test_a_name_that_is_none_of_ours_gives_no_time(name):
    assert "mjd_start" not in HISPECCalibration.values_from_header({}, name)


def test_an_unknown_type_is_refused_and_the_known_ones_are_told(store, write_fits):
    with pytest.raises(HeaderError, match=r"moonlight.*lfc_wavesol"):
        store.register_calibration(write_fits("HB.20260212.00000.00.mastercal-moonlight.001.fits"))
    assert len(store.local_db) == 0


def test_both_spectrographs_have_a_first_version_of_the_same_second(store, write_fits):
    for prefix in ("HB", "HR"):
        path = write_fits(f"{prefix}.20260212.00000.00.mastercal-dark.fits", {"OBSERVER": prefix})
        _, record = store.register_calibration(path)
        assert record.cal_version == "001"


def test_a_new_version_stands_before_the_suffix_in_place_of_the_old_one(store, write_fits):
    first = write_fits("HB.20260212.00000.00.mastercal-dark.001.fits", {"MJD-OBS": 61083.0})
    store.register_calibration(first)
    first.unlink()
    second = write_fits("HB.20260212.00000.00.mastercal-dark.001.fits", {"MJD-OBS": 61083.0, "OBSERVER": "somebody"})
    path, record = store.register_calibration(second, new_version=True)
    assert path.name == "HB.20260212.00000.00.mastercal-dark.002.fits"
    assert record.cal_version == "002"


def test_a_mapping_is_told_by_its_name_as_a_header_is(store, add_record):
    chosen = add_record(cal_type="dark", spectrograph="RSPEC", master_cal=True, mjd_start=61083.0)
    frame = {"filename": "HR.20260212.43200.00.fits", "instrument_era": "0.0.1"}
    assert store.select(frame, "dark").id == chosen.id


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".fz"])
def test_a_packed_files_name_says_the_same(suffix):
    values = HISPECCalibration.values_from_header({}, f"HR.20260212.03605.43.mastercal-dark.fits{suffix}")
    assert (values["cal_type"], values["spectrograph"]) == ("dark", "RSPEC")


def test_the_spectrograph_is_in_capitals_however_it_is_given():
    assert HISPECCalibration.normalise({"spectrograph": "bspec"})["spectrograph"] == "BSPEC"
    assert HISPECCalibration.values_from_header({"SPECTROG": "bspec"})["spectrograph"] == "BSPEC"
