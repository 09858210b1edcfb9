from __future__ import annotations

import numpy as np
from koa_middleware import CalibrationStore
from koa_middleware.display import render

from tests.conftest import DemoCalibration, record


def test_a_table_shows_each_cell_as_it_is() -> None:
    text = render(("name", "reason"), [("[bold]a.fits[/bold]", ":smile: 5 > 3"), ("b", "")], title="two of [them]")
    assert text.splitlines()[0] == "two of [them]"
    assert "[bold]a.fits[/bold]" in text
    assert ":smile: 5 > 3" in text
    assert "\x1b" not in text


def test_what_is_not_seen_is_written_out() -> None:
    text = render(("name", "reason"), [("a\x1b[2Jb\rc", "\u202eyz\nnext")], title="\x07two")
    assert text.splitlines()[0] == r"\x07two"
    assert r"a\x1b[2Jb\rc   \u202eyz" in text
    assert text.splitlines()[-1].strip() == "next"


NAME = "HB.20260212.00000.00.mastercal-dark.001.fits"
WORDS = "it was taken with the other lamp, which no frame of this night was taken with"


def test_a_table_is_no_wider_than_asked_and_no_name_is_broken() -> None:
    rows = [(NAME, "lamp", WORDS), (NAME[::-1], "max_age", "")]
    for width in range(len(NAME) + 2, 200):
        lines = render(("name", "rule", "reason"), rows, title=f"{NAME} {WORDS}", width=width).splitlines()
        assert max(map(len, lines)) <= width
        assert sum(NAME in line for line in lines) == 2
        assert sum(NAME[::-1] in line for line in lines) == 1
        assert all(sum(line.split().count(word) for line in lines) >= 2 for word in WORDS.split())


def test_where_there_is_no_room_for_columns_the_cells_of_a_row_stand_below_each_other() -> None:
    text = render(("name", "rule", "reason"), [(NAME, "lamp", WORDS)], width=60)
    assert text.splitlines()[1:4] == [
        f"  {NAME}",
        "    rule     lamp",
        "    reason   it was taken with the other lamp, which no",
    ]
    assert render(("name", "rule", "reason"), [(NAME, "lamp", WORDS)], width=200).splitlines()[0].split() == [
        "name",
        "rule",
        "reason",
    ]


def test_a_name_that_is_nearly_as_long_as_the_terminal_is_wide_gets_a_line_of_its_own() -> None:
    rows = [("1", WORDS, NAME), (NAME, "", "short")]
    lines = render(("number", "reason", "calibration"), rows, width=len(NAME) + 1).splitlines()
    assert max(map(len, lines)) <= len(NAME) + 1
    assert f" {NAME}" in lines
    assert lines[lines.index(f" {NAME}") - 1] == "    calibration"
    assert "    calibration   short" in lines


def test_a_name_that_is_longer_than_the_terminal_is_wide_stays_whole() -> None:
    assert NAME in render(("name", "reason"), [(NAME, WORDS)], width=30)


def test_records_as_an_astropy_table_have_units_types_and_masks(store: CalibrationStore[DemoCalibration]) -> None:
    store.local_db.add([record("a.fits", 60000.0, exposure_time=300.0, amplifiers=4), record("b.fits", 60001.0)])
    table = store.to_table(store.query())
    assert set(table.colnames) == set(DemoCalibration.column_names())
    assert table.colnames[:5] == ["filename", "cal_type", "datetime_obs", "quality", "spectrograph"]
    assert table.colnames[-2:] == ["id", "checksum"]
    assert {name: str(table[name].unit) for name in ("mjd_start", "exposure_time", "file_size")} == {
        "mjd_start": "d",
        "exposure_time": "s",
        "file_size": "byte",
    }
    assert table["cal_type"].unit is None
    assert list(table["filename"]) == ["a.fits", "b.fits"]
    assert table["mjd_start"].dtype.kind == "f"
    assert table["master_cal"].dtype.kind == "b"
    assert list(table["amplifiers"].mask) == [False, True]
    assert table["amplifiers"][0] == 4
    assert table["exposure_time"][1] is np.ma.masked
    assert "a.fits" in table._repr_html_()


def test_no_records_are_a_table_of_all_columns_and_no_rows(store: CalibrationStore[DemoCalibration]) -> None:
    table = store.to_table([])
    assert (len(table), set(table.colnames)) == (0, set(DemoCalibration.column_names()))
    assert "mjd_start" in table._repr_html_()
    assert str(table["exposure_time"].unit) == "s"
    assert store.to_table([], times=True)["mjd_start"].shape == (0,)


def test_times_of_a_table_are_astropys_where_that_is_asked_for(store: CalibrationStore[DemoCalibration]) -> None:
    store.local_db.add([record("a.fits", 60000.25), record("b.fits", 60001.5)])
    table = store.to_table(store.query(), times=True)
    assert (table["datetime_obs"][1] - table["mjd_start"][0]).to_value("d") == 1.25
    assert table["datetime_obs"].isot[0] == "2023-02-25T06:00:00.000"
    assert {table["datetime_obs"].scale, table["mjd_start"].scale} == {"utc"}
