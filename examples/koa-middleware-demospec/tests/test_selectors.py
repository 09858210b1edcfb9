def test_an_arc_is_the_last_good_one_through_the_same_grating(store, add_record, write_fits):
    arc = {"cal_type": "arc", "grating": "red", "binning": 2, "quality": "GOOD"}
    add_record(**arc, mjd_start=60000.0)
    last = add_record(**arc, mjd_start=60001.0)
    add_record(**{**arc, "grating": "blue"}, mjd_start=60002.0)
    add_record(**{**arc, "quality": "UNKNOWN"}, mjd_start=60002.5)
    add_record(**arc, mjd_start=60003.1)
    frame = write_fits("frame.fits", {"MJD-OBS": 60003.0, "GRATNAME": "Red", "CCDBIN": 2})
    assert store.select(frame, "arc").id == last.id
