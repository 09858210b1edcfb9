import pytest
from koa_middleware import HeaderError
from koa_middleware_parvi import PARVICalibration

# 2026-02-12T03:15:00 UTC, in nanoseconds since 1970
START = "1770866100000000000"


def values(name=None, **cards):
    return PARVICalibration.values_from_header(cards, name)


def test_the_start_is_read_from_unix_nanoseconds_written_as_text():
    found = values("science_20260101000000.fits", TIMEI00=START, EXPTIME=300.0, FIBER=1)
    assert found["mjd_start"] == pytest.approx(61083 + 3.25 / 24, abs=1e-9)
    assert found["datetime_obs"] == "2026-02-12T03:15:00.000"


def test_a_start_in_days_wins_over_unix_nanoseconds():
    assert values(TIMEI00=START, **{"MJD-OBS": 61000.0})["mjd_start"] == 61000.0


def test_a_date_alone_does_not_become_midnight_where_nanoseconds_stand():
    assert values(TIMEI00=START, **{"DATE-OBS": "2026-02-12"})["datetime_obs"] == "2026-02-12T03:15:00.000"


def test_a_start_that_is_no_number_is_an_error_that_names_keyword_and_file():
    with pytest.raises(HeaderError, match=r"TIMEI00\) of science\.fits"):
        values("science.fits", TIMEI00="soon")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("master_dark_300.0s.fits", {"cal_type": "dark", "exptime": 300.0}),
        ("master_dark_60s.fits", {"cal_type": "dark", "exptime": 60.0}),
        ("master_dark_20260212_60s.003.fits", {"cal_type": "dark", "exptime": 60.0, "cal_version": "003"}),
        ("master_fullflat_20260212.fits", {"cal_type": "fullflat", "mjd_start": 61083.0}),
        ("master_fiberflat_20260212_fiber3.fits", {"cal_type": "fiberflat", "fiber": 3, "mjd_start": 61083.0}),
        (
            "master_lfc_20260212_fiber1.fits",
            {"cal_type": "lfc", "fiber": 1, "datetime_obs": "2026-02-12T00:00:00.000"},
        ),
    ],
)
def test_a_master_without_keywords_is_told_by_its_name(name, expected):
    found = values(name)
    assert expected.items() <= found.items()
    assert found["master_cal"] is True


def test_keywords_win_over_the_name():
    found = values("master_fiberflat_20260101_fiber3.fits", TIMEI00=START, FIBER="1", EXPTIME=10)
    assert (found["fiber"], found["exptime"], found["datetime_obs"]) == (1, 10.0, "2026-02-12T03:15:00.000")


def test_a_raw_frame_has_no_type_and_falls_back_on_the_stamp_in_its_name():
    found = values("dark_20260212031500.fits")
    assert "cal_type" not in found
    assert found["datetime_obs"] == "2026-02-12T03:15:00.000"


def test_exposure_times_are_rounded_to_milliseconds():
    assert values(EXPTIME=299.99999999)["exptime"] == values(EXPTIME="300")["exptime"] == 300.0


def test_frames_and_masters_that_name_no_era_are_of_the_same_one():
    era = values("science_20260212031500.fits")["instrument_era"]
    assert era == values("master_fullflat_20260212.fits")["instrument_era"]
    assert PARVICalibration(filename="a.fits").instrument_era == era


def test_an_undated_dark_without_a_time_is_refused(store, write_fits):
    with pytest.raises(HeaderError, match=r"master_dark_300\.0s\.fits"):
        store.register_calibration(write_fits("master_dark_300.0s.fits"))


def test_a_raw_frame_is_refused_as_a_calibration(store, write_fits):
    with pytest.raises(HeaderError, match="cal_type"):
        store.register_calibration(write_fits("dark_20260212031500.fits", {"EXPTIME": 300.0}))


def test_a_version_of_an_undated_dark_bears_its_date():
    record = PARVICalibration(
        filename="master_dark_300.0s.fits", datetime_obs="2026-02-12T03:15:00", cal_version="002", cal_type="dark"
    )
    assert PARVICalibration.filename_for(record) == "master_dark_20260212_300.0s.002.fits"


def test_fibres_and_exposure_times_have_versions_of_their_own(store, write_fits):
    names = ["master_lfc_20260212_fiber1.fits", "master_lfc_20260212_fiber3.fits"]
    records = [store.register_calibration(write_fits(name, {"OBSERVER": name[-11:-5]})).calibration for name in names]
    assert [record.cal_version for record in records] == ["001", "001"]


@pytest.mark.parametrize("start", ["9" * 400, "-1", "0", "1", True, "inf"])
def test_a_start_that_is_none_leaves_the_name_to_tell_it(start):
    values = PARVICalibration.values_from_header({"TIMEI00": start}, "master_lfc_20260212_fiber3.fits")
    assert values["datetime_obs"] == "2026-02-12T00:00:00.000"
    with pytest.raises(HeaderError, match=r"TIMEI00\) of x\.fits|TIMEI00 of x\.fits"):
        PARVICalibration.values_from_header({"TIMEI00": start}, "x.fits")


def test_a_mapping_gets_the_era_of_headers_that_name_none(store, add_record):
    chosen = add_record(cal_type="fullflat", mjd_start=61083.0)
    assert store.select({"mjd_start": 61083.5}, "fullflat").id == chosen.id


def test_an_exposure_time_with_a_unit_is_in_seconds():
    from astropy import units

    assert PARVICalibration.normalise({"exptime": 5 * units.min})["exptime"] == 300.0


def test_a_frame_of_hispec_is_refused(store, write_fits):
    path = write_fits("HB.20260212.43200.00.fits", {"INSTRUME": "HISPEC", "MJD-OBS": 61083.5, "EXPTIME": 300.0})
    with pytest.raises(HeaderError, match=r"HISPEC.*not of parvi"):
        store.select(path, "dark")
