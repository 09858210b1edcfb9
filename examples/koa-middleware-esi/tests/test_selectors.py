import pytest

SETTING = {"binning": "1,1", "amplifiers": 2, "mode": "echellette", "slit": "1.00_arcsec"}


def test_an_arc_is_the_nearest_one_through_the_same_slit(store, add_record):
    nearest = add_record(cal_type="arc", mjd_start=60000.1, **SETTING)
    add_record(cal_type="arc", mjd_start=60000.4, **{**SETTING, "slit": "0.50_arcsec"})
    assert store.select({"mjd_start": 60000.5, **SETTING}, "arc").id == nearest.id


def test_a_flat_of_the_dome_wins_over_a_nearer_internal_one(store, add_record):
    dome = add_record(cal_type="flat", light="dome", mjd_start=60000.1, **SETTING)
    add_record(cal_type="flat", light="internal", mjd_start=60000.4, **SETTING)
    assert store.select({"mjd_start": 60000.5, **SETTING}, "flat").id == dome.id


@pytest.mark.parametrize(("word", "cal_type"), [("Line", "arc"), ("IntFlat", "flat")])
def test_the_headers_words_for_types_are_known(plugin, write_fits, word, cal_type):
    path = write_fits("e260212_0001.fits", {"OBSTYPE": word, "MJD-OBS": 61083.0})
    assert plugin.ORM.values_from_file(path)["cal_type"] == cal_type
