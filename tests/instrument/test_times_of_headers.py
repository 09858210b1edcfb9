"""Which time a header tells: placeholders, scales, dates alone, and two times that disagree."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import HeaderError
from koa_middleware.choosing.frame import Frame
from koa_middleware.instrument.door import columns_of

from tests.conftest import DemoCalibration, dark_keywords, write_fits

NOON = "2026-02-12T12:00:00.000"
MJD_OF_NOON = 61083.5


def values(header: dict[str, Any], filename: str | None = None) -> dict[str, Any]:
    return DemoCalibration.values_from_header(header, filename)


def times(header: dict[str, Any]) -> tuple[Any, Any]:
    found = values(header)
    return found.get("datetime_obs"), found.get("mjd_start")


PLACEHOLDERS = [0, 0.0, -1, -999.0, 83.5, 2461084.0, MJD_OF_NOON * 86400, math.inf, 88069.0, "N/A", "soon", True]


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_placeholder_is_no_time_so_that_the_date_counts(placeholder: Any) -> None:
    assert times({"MJD-OBS": placeholder, "DATE-OBS": "2026-02-12T12:00:00"}) == (NOON, MJD_OF_NOON)
    given = {"mjd_start": placeholder, "datetime_obs": "2026-02-12T12:00:00"}
    assert DemoCalibration.normalise(given)["mjd_start"] == MJD_OF_NOON


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_the_next_keyword_counts_where_the_first_holds_a_placeholder(placeholder: Any) -> None:
    assert times({"EXPMJDST": placeholder, "MJD-OBS": MJD_OF_NOON}) == (NOON, MJD_OF_NOON)


@pytest.mark.parametrize("unusable", ["soon", "N/A", "", "0000-00-00T00:00:00", "0001-01-01T00:00:00", 0, "12/02/26"])
def test_a_date_that_is_none_does_not_hide_a_good_mjd(unusable: Any) -> None:
    assert times({"DATE-OBS": unusable, "MJD-OBS": MJD_OF_NOON}) == (NOON, MJD_OF_NOON)


@pytest.mark.parametrize("placeholder", [0.0, 2461084.0, "soon", math.inf])
def test_a_header_whose_only_time_is_none_is_refused_with_keyword_value_and_file(placeholder: Any) -> None:
    with pytest.raises(HeaderError, match=rf"mjd_start \(keyword MJD-OBS\) of dark\.fits is {placeholder!r}") as caught:
        values({"CALTYPE": "dark", "MJD-OBS": placeholder}, "dark.fits")
    assert caught.value.column == "mjd_start"


@pytest.mark.parametrize(("mjd", "is_one"), [(15019.99, False), (15020.0, True), (88068.99, True), (88069.0, False)])
def test_times_are_of_the_years_1900_to_2099(mjd: float, is_one: bool) -> None:
    assert ("mjd_start" in values({"MJD-OBS": mjd})) if is_one else _is_refused({"MJD-OBS": mjd})


def _is_refused(header: dict[str, Any]) -> bool:
    with pytest.raises(HeaderError, match="no time of the years 1900 to 2099"):
        values(header)
    return True


@pytest.mark.parametrize(
    "header",
    [
        {"MJD-OBS": MJD_OF_NOON, "DATE-OBS": "2026-02-13T12:00:01"},
        {"MJD-OBS": MJD_OF_NOON, "DATE-OBS": "2026-02-11T11:59:59"},
        {"MJD-OBS": MJD_OF_NOON, "DATE-OBS": "2026-02-14"},
        {"MJD-OBS": MJD_OF_NOON, "DATE-OBS": "2026-02-10"},
    ],
)
def test_two_times_more_than_a_day_apart_are_refused_and_both_named(header: dict[str, Any]) -> None:
    said = r"datetime_obs \(keyword DATE-OBS\) of a\.fits is 2026-02-1.*mjd_start \(keyword MJD-OBS\) 61083\.5"
    with pytest.raises(HeaderError, match=f"{said}.*more than a day") as caught:
        values(header, "a.fits")
    assert caught.value.keywords == ("DATE-OBS", "MJD-OBS")
    given = {"mjd_start": header["MJD-OBS"], "datetime_obs": header["DATE-OBS"]}
    with pytest.raises(HeaderError, match="more than a day"):
        DemoCalibration.complete_row({"filename": "a.fits", "cal_type": "dark", **given}, "a.fits")


@pytest.mark.parametrize("date", ["2026-02-13T12:00:00", "2026-02-11T12:00:00", "2026-02-11", "2026-02-13"])
def test_two_times_a_day_apart_are_let_be(date: str) -> None:
    assert values({"MJD-OBS": MJD_OF_NOON, "DATE-OBS": date})["mjd_start"] == MJD_OF_NOON


# TAI was 37 s ahead of UTC in 2026, TT is TAI + 32.184 s, GPS TAI - 19 s (IERS Bulletin C; FITS Standard 4.0, 9.2.1).
@pytest.mark.parametrize(
    ("scale", "there"),
    [
        ("UTC", "12:00:00.000"),
        ("utc ", "12:00:00.000"),
        ("UTC(NIST)", "12:00:00.000"),
        ("TAI", "12:00:37.000"),
        ("TT", "12:01:09.184"),
        ("TT(TAI)", "12:01:09.184"),
        ("GPS", "12:00:18.000"),
    ],
)
def test_a_time_in_another_scale_becomes_utc(scale: str, there: str) -> None:
    clock = [float(part) for part in there.split(":")]
    mjd = 61083 + clock[0] / 24 + clock[1] / 1440 + clock[2] / 86400
    assert values({"TIMESYS": scale, "DATE-OBS": f"2026-02-12T{there}"})["datetime_obs"] == NOON
    assert values({"TIMESYS": scale, "MJD-OBS": mjd})["datetime_obs"] == NOON
    extension = {"GREEN_CCD:TIMESYS": scale, "GREEN_CCD:MIDMJD": mjd}
    assert values(extension)["mjd_mid"] == pytest.approx(MJD_OF_NOON, abs=1e-8)


def test_tdb_is_tt_within_two_milliseconds() -> None:
    found = values({"TIMESYS": "TDB", "DATE-OBS": "2026-02-12T12:01:09.184"})["mjd_start"]
    assert found == pytest.approx(MJD_OF_NOON, abs=0.002 / 86400)


@pytest.mark.parametrize("keyword", ["MJD-OBS", "DATE-OBS"])
def test_an_unknown_scale_is_refused_where_a_time_is_read(keyword: str) -> None:
    with pytest.raises(HeaderError, match=r"TIMESYS of dark\.fits is 'LOCAL'.*TAI"):
        values({"TIMESYS": "LOCAL", keyword: MJD_OF_NOON if keyword == "MJD-OBS" else NOON}, "dark.fits")
    assert values({"TIMESYS": "LOCAL", "SPECTROG": "BSPEC"}) == {"spectrograph": "BSPEC"}


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"UTC": "12:00:00"}, NOON),
        ({"UT": "12:00:00.000"}, NOON),
        ({"TIME-OBS": "12:00"}, NOON),
        ({"UTC": "12:00:60"}, "2026-02-12T12:01:00.000"),
        ({"UTC": "N/A", "UT": "12:00:00"}, NOON),
        ({"UTC": "99:99:99"}, "2026-02-12"),
        ({"TIME-OBS": "2026-02-11T07:12:00"}, "2026-02-12"),
        ({}, "2026-02-12"),
    ],
)
def test_a_date_alone_is_joined_with_its_time_of_day(cards: dict[str, Any], expected: str) -> None:
    assert values({"DATE-OBS": "2026-02-12", **cards})["datetime_obs"] == expected


@pytest.mark.parametrize("cards", [{}, {"UT": "25:99:00"}])
def test_a_date_without_a_time_of_day_is_named_where_the_time_is_missed(cards: dict[str, Any]) -> None:
    dated = {"CALTYPE": "dark", "DATE-OBS": "2026-02-12", **cards}
    said = r"no mjd_start.*MJD-OBS.*DATE-OBS\) is the date 2026-02-12 alone.*UTC or UT or TIME-OBS"
    with pytest.raises(HeaderError, match=said):
        DemoCalibration.complete_row(values(dated, "dark.fits"), "dark.fits")
    columns = columns_of(DemoCalibration)
    with pytest.raises(HeaderError, match=said):
        Frame(DemoCalibration, columns, values(dated), "dark").needed("mjd_start")


@pytest.mark.parametrize("word", ["N/A", "  ", "unknown", ""])
def test_a_scale_that_is_no_word_is_none(word: str) -> None:
    assert times({"TIMESYS": word, "MJD-OBS": MJD_OF_NOON}) == (NOON, MJD_OF_NOON)


def test_a_leap_second_is_the_second_after_it_wherever_it_stands() -> None:
    assert values({"DATE-OBS": "2026-02-12T11:59:60.000"})["datetime_obs"] == NOON
    with pytest.raises(HeaderError, match="not a time"):
        values({"DATE-OBS": "2026-02-12T11:60"})


@pytest.mark.parametrize("text", ["2026-02-12T12.5", "2026-02-12T12:00.5", "2026-02-12_12:00:00", "2026-02-12T12h00"])
def test_odd_forms_of_a_time_are_refused_and_not_half_read(text: str) -> None:
    with pytest.raises(HeaderError, match="not a time"):
        values({"DATE-OBS": text})


@pytest.mark.parametrize("text", ["2026-02-12T12:00:00.000(UTC)", "2026-02-12T12:00:37(TAI)"])
def test_a_scale_behind_a_time_is_read(text: str) -> None:
    assert values({"DATE-OBS": text})["datetime_obs"] == NOON


@pytest.mark.parametrize("said", ["NaN", "nan", "-NAN", "NAN.0", "Inf", "-inf"])
def test_an_unquoted_nan_is_no_value(tmp_path: Path, said: str) -> None:
    path = write_fits(tmp_path / "dark.fits", {**dark_keywords(), "MJD-OBS": MJD_OF_NOON})
    content = path.read_bytes()
    at = content.index(b"EXPMJDST")
    path.write_bytes(content[:at] + f"EXPMJDST= {said}".ljust(80).encode() + content[at + 80 :])
    assert DemoCalibration.values_from_file(path)["mjd_start"] == MJD_OF_NOON
    at = content.index(b"MJD-OBS")
    path.write_bytes(path.read_bytes()[:at] + b"COMMENT ".ljust(80) + content[at + 80 :])
    with pytest.raises(HeaderError, match=r"no (datetime_obs|mjd_start).*dark\.fits"):
        DemoCalibration.complete_row(DemoCalibration.values_from_file(path), str(path))


def test_a_card_that_is_none_is_named_with_column_and_file(tmp_path: Path) -> None:
    path = write_fits(tmp_path / "dark.fits", {**dark_keywords(), "GRNAMPS": 4})
    content = path.read_bytes()
    at = content.index(b"GRNAMPS")
    path.write_bytes(content[:at] + b"GRNAMPS = two".ljust(80) + content[at + 80 :])
    with pytest.raises(HeaderError, match=r"GRNAMPS.*dark\.fits.*amplifiers"):
        DemoCalibration.values_from_file(path)
