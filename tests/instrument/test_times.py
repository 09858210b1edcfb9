from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from koa_middleware.instrument.times import iso_from_mjd, mjd_from_iso, now_iso, parse_iso

#: Times that a millisecond's rounding does not push out of the calendar.
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))


@pytest.mark.parametrize(
    ("mjd", "iso"),
    [
        (40587.0, "1970-01-01T00:00:00.000"),  # by definition
        (51544.5, "2000-01-01T12:00:00.000"),  # J2000.0
        (60697.377947, "2025-01-22T09:04:14.621"),  # MIDMJD and DATE-MID of a master of KPF
        (0.0, "1858-11-17T00:00:00.000"),
    ],
)
def test_modified_julian_dates_are_those_of_the_almanac(mjd: float, iso: str) -> None:
    assert iso_from_mjd(mjd) == iso
    assert mjd_from_iso(iso) == pytest.approx(mjd, abs=1e-8)


@given(moment=MOMENTS)
def test_a_time_of_milliseconds_survives_the_way_to_mjd_and_back(moment: datetime) -> None:
    text = moment.isoformat(timespec="milliseconds")
    assert iso_from_mjd(mjd_from_iso(text)) == text


@given(moment=st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31)))
def test_mjd_is_the_exact_number_of_days_to_two_microseconds(moment: datetime) -> None:
    exact = 40587 + Fraction((moment - datetime(1970, 1, 1)) // timedelta(microseconds=1), 86_400_000_000)
    assert abs(Fraction(mjd_from_iso(moment.isoformat())) - exact) <= 2 / Fraction(86_400_000_000)


@given(moment=MOMENTS, hours=st.integers(-14, 14), half=st.booleans())
def test_a_zone_is_converted_and_none_is_utc(moment: datetime, hours: int, half: bool) -> None:
    zone = timezone(timedelta(hours=hours, minutes=30 * half))
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    there = moment.replace(tzinfo=UTC).astimezone(zone)
    assert parse_iso(there.isoformat()).text == moment.isoformat(timespec="milliseconds")
    assert parse_iso(f"{moment.isoformat()}Z").text == parse_iso(f" {moment.isoformat()} ").text


@given(moment=MOMENTS)
def test_rounding_is_to_the_nearest_millisecond(moment: datetime) -> None:
    rounded = datetime.fromisoformat(parse_iso(moment.isoformat()).text)
    assert abs(rounded - moment) <= timedelta(microseconds=500)


@pytest.mark.parametrize(
    ("text", "has_clock"),
    [
        ("2026-02-12", False),
        ("20260212", False),
        ("2026-W07-4", False),
        ("2026-02-12T00:00:00", True),
        ("2026-02-12 00:00", True),
        ("2026-02-12T00:00:00Z", True),
        ("2026-02-12t00:00:00", True),
        ("20260212T000000", True),
    ],
)
def test_a_date_alone_is_told_from_midnight(text: str, has_clock: bool) -> None:
    assert parse_iso(text).has_clock is has_clock
    assert parse_iso(text).text == "2026-02-12T00:00:00.000"


def test_a_leap_second_is_the_second_after_it() -> None:
    assert parse_iso("2016-12-31T23:59:60.250").text == "2017-01-01T00:00:00.250"
    assert parse_iso("20161231T235960Z").text == "2017-01-01T00:00:00.000"


@given(
    text=st.text() | st.from_regex(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?", fullmatch=True)
)
@example("9999-12-31T23:59:59.9999")
@example("0001-01-01T00:00:00+14:00")
@example("9999-12-31T23:59:60")
def test_text_is_a_time_or_a_value_error(text: str) -> None:
    try:
        found = parse_iso(text)
    except ValueError:
        return
    assert parse_iso(found.text).text == found.text
    assert len(found.text) == len("YYYY-MM-DDTHH:MM:SS.sss")


@given(mjd=st.floats())
@example(1e300)
@example(-1e9)
def test_a_number_is_a_date_of_the_calendar_or_a_value_error(mjd: Any) -> None:
    try:
        text = iso_from_mjd(mjd)
    except ValueError:
        assert not math.isfinite(mjd) or not -678000 < mjd < 2973000  # the years 1 to 9999
    else:
        assert mjd_from_iso(text) == pytest.approx(mjd, abs=0.51e-3 / 86400 + 1e-9)


def test_now_is_utc_with_microseconds() -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    text = now_iso()
    assert before <= datetime.fromisoformat(text) <= datetime.now(UTC).replace(tzinfo=None)
    assert len(text) == len("YYYY-MM-DDTHH:MM:SS.ssssss")
