from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st
from koa_middleware import HeaderError, ORMCalibration, fits_column
from koa_middleware.instrument.forms import is_wildcard
from koa_middleware.instrument.values import form_of, normal_form
from sqlalchemy import BigInteger, Boolean, Float, Integer, String, create_engine, text
from sqlalchemy.orm import Mapped

from tests.conftest import DemoCalibration

COLUMNS = DemoCalibration.table().c


def form(column: str, value: Any) -> Any:
    return normal_form(COLUMNS[column], value, "dark.fits")


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("spectrograph", "BSPEC   ", "BSPEC"),
        ("spectrograph", "  BSPEC", "BSPEC"),  # what some writers of headers put before a value
        ("spectrograph", "", None),
        ("spectrograph", "   ", None),
        ("spectrograph", 12, "12"),
        ("spectrograph", math.nan, None),
        ("lamp", "ThAr ", "thar"),
        ("cal_type", "BIAS", "bias"),
        ("amplifiers", "4", 4),
        ("amplifiers", 4.0, 4),
        ("amplifiers", np.int16(4), 4),
        ("amplifiers", " N/A ", None),
        ("amplifiers", math.nan, None),
        ("exposure_time", " 300.5 ", 300.5),
        ("exposure_time", 300, 300.0),
        ("exposure_time", np.float32(0.5), 0.5),
        ("exposure_time", "", None),
        ("exposure_time", math.nan, None),
        ("exposure_time", "nan", None),
        ("exposure_time", Decimal("sNaN"), None),
        ("spectrograph", Decimal("sNaN"), None),
        ("master_cal", True, True),
        ("master_cal", np.bool_(False), False),
        ("master_cal", "T", True),
        ("master_cal", "false", False),
        ("master_cal", 1, True),
        ("master_cal", 0.0, False),
        ("quality", " good", "GOOD"),
        ("quality", "Bad ", "BAD"),
        ("quality", "", None),
        ("origin", "keck", "REMOTE"),
        ("origin", "Local", "LOCAL"),
        ("cal_version", 1, "001"),
        ("cal_version", "12", "012"),
        ("cal_version", 999.0, "999"),
        ("cal_version", " ", None),
        ("datetime_obs", "2025-01-22T09:04:14.621Z", "2025-01-22T09:04:14.621"),
        ("datetime_obs", "2025-01-22 11:04:14.6214+02:00", "2025-01-22T09:04:14.621"),
        ("datetime_obs", "", None),
        ("datetime_obs", Time("2025-01-22T09:04:14.621"), "2025-01-22T09:04:14.621"),
        ("datetime_obs", np.datetime64("2025-01-22T09:04:14.621"), "2025-01-22T09:04:14.621"),
        ("exposure_time", np.ma.masked, None),
        ("exposure_time", np.ma.array([1.0, 2.0], mask=[True, False])[0], None),
        ("exposure_time", np.ma.array([1.0, 2.0], mask=[True, False])[1], 2.0),
        ("exposure_time", np.ma.array(1.0, mask=True), None),
        ("exposure_time", np.ma.array(1.0), 1.0),
        ("amplifiers", np.ma.masked, None),
        ("master_cal", np.ma.masked, None),
        ("spectrograph", np.ma.array("BSPEC", mask=True), None),
        ("mjd_start", Time(np.ma.array(60697.0, mask=True), format="mjd"), None),
        ("spectrograph", b"BSPEC ", "BSPEC"),
        ("spectrograph", bytearray(b"BSPEC"), "BSPEC"),
        ("spectrograph", memoryview("é".encode()), "é"),
        ("exposure_time", memoryview(b"2.5"), 2.5),
        ("filename", memoryview(b"dark.fits"), "dark.fits"),
        ("mjd_start", "60697.043256", 60697.043256),
    ],
)
def test_a_value_is_brought_into_the_form_that_is_stored(column: str, value: Any, expected: Any) -> None:
    found = form(column, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amplifiers", "four"),
        ("amplifiers", 2.5),
        ("amplifiers", math.inf),
        ("amplifiers", "1_000"),
        ("file_size", "1_000"),
        ("file_size", "\u0661"),
        ("mjd_start", "6_1083"),
        ("mjd_start", "\u0666\u0661\u0660\u0668\u0663"),
        ("cal_version", "\u0661"),
        ("file_size", Decimal("1e999999")),
        ("cal_version", Decimal("-1e999999")),
        ("exposure_time", "5 min"),
        ("exposure_time", [1.0]),
        ("exposure_time", True),
        ("exposure_time", np.bool_(False)),
        ("amplifiers", np.float64(2.5)),
        ("exposure_time", Time("2025-01-22T09:04:14.621")),
        ("exposure_time", 5 * units.m),
        ("amplifiers", 5 * units.s),
        ("spectrograph", 5 * units.s),
        ("datetime_obs", Time(["2025-01-22", "2025-01-23"])),
        ("spectrograph", memoryview(b"\xff")),
        ("master_cal", "perhaps"),
        ("master_cal", 2),
        ("quality", "EXCELLENT"),
        ("origin", "Lick"),
        ("cal_version", "1000"),
        ("cal_version", 0),
        ("cal_version", "new"),
        ("cal_version", 1.5),
        ("datetime_obs", "yesterday"),
        ("datetime_obs", "2025-02-30T00:00:00"),
        ("datetime_obs", np.datetime64("1850-02-01T00:00:00", "ns")),
    ],
)
def test_an_unusable_value_is_an_error_that_names_value_column_keyword_and_source(column: str, value: Any) -> None:
    with pytest.raises(HeaderError) as caught:
        form(column, value)
    error = caught.value
    assert (str(value) if isinstance(value, np.generic) else repr(value)) in str(error)
    assert "np." not in str(error)
    assert column in str(error)
    assert "dark.fits" in str(error)
    assert (error.column, error.source) == (column, "dark.fits")
    assert error.keywords == COLUMNS[column].info.get("keywords", ())


def test_a_start_that_is_no_number_says_what_it_may_be() -> None:
    with pytest.raises(HeaderError, match=r"which is neither a Modified Julian Date, .* nor an astropy Time"):
        form("mjd_start", "2025-01-22T09:04:14")


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["*", "N/A", "T", "1e400"])
)
STORED = st.sampled_from([name for name in COLUMNS.keys() if name not in {"filename", "last_updated"}])  # noqa: SIM118


@given(column=STORED, value=SCALARS)
def test_a_normal_form_is_its_own_normal_form(column: str, value: Any) -> None:
    try:
        once = form(column, value)
    except HeaderError:
        return
    assert form(column, once) == once
    assert once is None or type(once) is COLUMNS[column].type.python_type
    assert not (isinstance(once, float) and math.isnan(once))


@given(value=st.text(max_size=20), blanks=st.integers(0, 5))
def test_text_that_differs_in_trailing_blanks_is_one(value: str, blanks: int) -> None:
    assert form("spectrograph", value + " " * blanks) == form("spectrograph", value)
    assert form("lamp", value + " " * blanks) == form("lamp", value)


@pytest.mark.parametrize("value", [None, "", " ", "*", "%", "N/A", "n/a", "NA", "None", " null "])
def test_words_that_stand_for_any_or_unknown_say_nothing(value: Any) -> None:
    assert is_wildcard(value)


@pytest.mark.parametrize("value", [0, 0.0, False, "0", "BSPEC", "Nano", "-"])
def test_values_say_something(value: Any) -> None:
    assert not is_wildcard(value)


class SentinelCalibration(ORMCalibration):
    """A calibration of an instrument that writes numbers, and other words, for what it does not know."""

    instrument_name = "sentinels"
    gain: Mapped[int | None] = fits_column("GAIN", Integer, nulls=("-999", "99"))
    width: Mapped[int | None] = fits_column("WIDTH", BigInteger, nulls=(-999,), convert=lambda number: number * 2)
    mjd_end: Mapped[float | None] = fits_column("MJD-END", Float, nulls=(50000,))
    seeing: Mapped[float | None] = fits_column("SEEING", Float, nulls=(-999, "-1.5", float("inf")))
    cooled: Mapped[bool | None] = fits_column("COOLED", Boolean, nulls=(-1,))
    chip: Mapped[str | None] = fits_column("CHIP", String, fold="upper", nulls=("OUT", -999))


@pytest.mark.parametrize("written", [-999, "-999", -999.0, "-999.0", np.int16(-999), np.float32(-999)], ids=repr)
def test_a_number_that_means_no_value_is_compared_as_a_number(written: Any) -> None:
    header = {"GAIN": written, "WIDTH": written, "SEEING": written, "COOLED": -1}
    assert not SentinelCalibration.values_from_header(header).keys() & {"gain", "width", "seeing", "cooled"}
    columns = {"gain": written, "width": written, "seeing": written, "cooled": "-1"}
    found = SentinelCalibration.normalise({**columns, "mjd_end": 50000.0, "chip": -999})
    assert set(found.values()) == {None}


def test_other_numbers_stay_values_where_some_are_none() -> None:
    header = {"GAIN": -998, "WIDTH": 4, "SEEING": -1.0, "COOLED": True, "MJD-END": 50000.5, "CHIP": "red"}
    assert SentinelCalibration.values_from_header(header) == {
        "gain": -998,
        "width": 8,
        "seeing": -1.0,
        "cooled": True,
        "mjd_end": 50000.5,
        "chip": "RED",
    }
    assert SentinelCalibration.normalise({"seeing": "-1.5"}) == SentinelCalibration.normalise({"seeing": np.inf})


def test_sql_leaves_numbers_that_mean_no_value_to_python() -> None:
    numbers = {"gain": [-999, 99, 7], "mjd_end": [50000.0, 50001.0]}
    with create_engine("sqlite://").connect() as connection:
        for name, values in numbers.items():
            clause = form_of(SentinelCalibration.table().c[name]).in_form("x")
            said = [connection.scalar(text(f"SELECT {clause} FROM (SELECT {value} AS x)")) for value in values]
            assert said == [0] * (len(values) - 1) + [1]


@pytest.mark.parametrize("written", ["NaN", "nan", " NaN ", float("nan"), np.float64("nan")], ids=repr)
def test_nan_is_no_value_in_columns_of_any_type(written: Any) -> None:
    for name in ("spectrograph", "lamp", "amplifiers", "exposure_time", "cooled", "mjd_mid"):
        assert DemoCalibration.normalise({name: written})[name] is None
    assert SentinelCalibration.normalise({"chip": "NaN"})["chip"] == "NAN"  # its own words stand in their place


def test_text_that_is_folded_to_upper_case_is_so_however_it_is_given() -> None:
    for found in (
        SentinelCalibration.normalise({"chip": "red"}),
        SentinelCalibration.values_from_header({"CHIP": "Red"}),
    ):
        assert found["chip"] == "RED"
