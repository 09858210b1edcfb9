from __future__ import annotations

import math
import pickle
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from koa_middleware import HeaderError, InvalidPluginError, ORMCalibration, UnsafeFilenameError, fits_column
from koa_middleware.disk.names import check_filename
from sqlalchemy import Float, Integer, String
from sqlalchemy.orm import Mapped

from tests.conftest import DemoCalibration, dark_keywords, record, write_fits

COMMON = (
    "id",
    "filename",
    "cal_type",
    "datetime_obs",
    "mjd_start",
    "origin",
    "cal_version",
    "quality",
    "master_cal",
    "checksum",
    "file_size",
    "last_updated",
)


# -- the class ---------------------------------------------------------------------------------------------------------


def test_the_common_columns_come_first_under_their_documented_names() -> None:
    assert DemoCalibration.column_names()[: len(COMMON)] == COMMON
    assert DemoCalibration.column_names()[len(COMMON) :] == (
        "spectrograph",
        "lamp",
        "era",
        "amplifiers",
        "exposure_time",
        "mjd_mid",
        "cooled",
    )
    table = DemoCalibration.table()
    assert table.name == "demo_calibrations"
    assert [column.name for column in table.primary_key] == ["id"]
    assert table.c.filename.unique


def test_two_classes_share_no_metadata_and_may_have_one_name() -> None:
    def make(instrument: str) -> type[ORMCalibration]:
        class Calibration(ORMCalibration):
            instrument_name = instrument

        return Calibration

    one, other, again = make("one"), make("other"), make("one")
    assert set(one.metadata.tables) == {"one_calibrations"}
    assert set(other.metadata.tables) == {"other_calibrations"}
    assert one.table() is not again.table()
    assert one(filename="a.fits", cal_type="dark", mjd_start=60000.0).cal_type == "dark"


def test_an_abstract_class_between_gives_its_columns_to_each() -> None:
    class Cooled(ORMCalibration):
        __abstract__ = True
        temperature: Mapped[float | None] = fits_column("TEMP", Float, info={"unit": "K"})

    class Left(Cooled):
        instrument_name = "left"

    class Right(Cooled):
        instrument_name = "right"

    for each in (Left, Right):
        assert each.column_names() == (*COMMON, "temperature")
        assert each.values_from_header({"TEMP": "80.5"}) == {"temperature": 80.5}
        assert each.table().c.temperature.info["unit"] == "K"


def test_a_common_column_may_be_declared_again_with_other_keywords() -> None:
    class Other(ORMCalibration):
        instrument_name = "redeclared"
        cal_type: Mapped[str] = fits_column(("IMTYPE", "OBSTYPE"), String, fold=True, sort_order=-98)

    values = {"CALTYPE": "flat", "OBSTYPE": "Dark"}
    assert Other.values_from_header(values) == {"cal_type": "dark"}
    assert Other.column_names() == COMMON


@pytest.mark.parametrize("name", ["Demo", "9demo", "de-mo", "", "de mo", None, 7, "dé"])
def test_an_instruments_name_is_lower_case_letters_digits_and_underscores(name: Any) -> None:
    with pytest.raises(InvalidPluginError, match="instrument_name"):
        type("Bad", (ORMCalibration,), {"instrument_name": name})
    with pytest.raises(InvalidPluginError, match="instrument_name"):
        type("Nameless", (ORMCalibration,), {})


def test_a_version_family_names_columns() -> None:
    with pytest.raises(InvalidPluginError, match="spektrograph"):
        type("Bad", (ORMCalibration,), {"instrument_name": "bad", "version_family": ("spektrograph",)})


@pytest.mark.parametrize("setting", ["cal_types", "version_family"])
def test_text_in_place_of_a_tuple_names_the_forgotten_comma(setting: str) -> None:
    with pytest.raises(InvalidPluginError, match=rf"Bad has text as its {setting}.*\('cal_type',\), with the comma"):
        type("Bad", (ORMCalibration,), {"instrument_name": "bad", setting: ("cal_type")})


# -- a record ----------------------------------------------------------------------------------------------------------


def test_a_record_of_the_least_has_defaults_and_nulls() -> None:
    made = DemoCalibration(filename="dark.fits", cal_type="dark", mjd_start=60000.5)
    assert made.to_dict() == {
        **dict.fromkeys(DemoCalibration.column_names()),
        "id": made.id,
        "filename": "dark.fits",
        "cal_type": "dark",
        "datetime_obs": "2023-02-25T12:00:00.000",
        "mjd_start": 60000.5,
        "origin": "LOCAL",
        "cal_version": "001",
        "quality": "UNKNOWN",
        "master_cal": False,
    }
    assert str(uuid.UUID(made.id)) == made.id
    assert uuid.UUID(made.id).version == 4
    assert made.id != DemoCalibration(filename="dark.fits", cal_type="dark", mjd_start=60000.5).id


def test_a_record_is_read_by_attribute_and_key() -> None:
    made = record("dark.fits", lamp="ThAr")
    assert made.lamp == made["lamp"] == made.get("lamp") == made.to_dict()["lamp"] == "thar"
    assert tuple(made.keys()) == tuple(made.to_dict()) == DemoCalibration.column_names()
    assert made.get("nonsense", "default") == "default"
    for name in ("nonsense", "to_dict", "metadata"):
        with pytest.raises(KeyError):
            made[name]
    assert repr(made).startswith("DemoCalibration(filename='dark.fits', cal_type='dark', ")


def test_records_are_equal_when_their_columns_are_and_are_known_by_their_id() -> None:
    one = record("a.fits")
    same, other = DemoCalibration(**one.to_dict()), DemoCalibration(**{**one.to_dict(), "quality": "BAD"})
    assert one == same
    assert one != other
    assert one != one.to_dict()
    assert len({one, same}) == 1
    assert len({one, other}) == 2


def test_an_unknown_column_is_an_error_with_the_known_ones() -> None:
    with pytest.raises(HeaderError, match=r"no column lampe.*lamp"):
        DemoCalibration(lampe="thar")


def test_a_record_can_be_pickled() -> None:
    made = record()
    assert pickle.loads(pickle.dumps(made)).to_dict() == made.to_dict()


# -- times -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_values", "expected"),
    [
        ({"mjd_start": 60000.5}, ("2023-02-25T12:00:00.000", 60000.5)),
        ({"datetime_obs": "2023-02-25T12:00:00"}, ("2023-02-25T12:00:00.000", 60000.5)),
        ({"datetime_obs": "2023-02-25T12:00:00Z", "mjd_start": 60001.0}, ("2023-02-25T12:00:00.000", 60001.0)),
        ({"datetime_obs": "2023-02-25", "mjd_start": 60000.5}, ("2023-02-25T12:00:00.000", 60000.5)),
        ({"datetime_obs": "", "mjd_start": "60000.5"}, ("2023-02-25T12:00:00.000", 60000.5)),
    ],
)
def test_one_time_gives_the_other_and_both_are_kept(given_values: dict[str, Any], expected: tuple[str, float]) -> None:
    values = DemoCalibration.normalise(given_values)
    assert (values["datetime_obs"], values["mjd_start"]) == expected


@given(
    mjd=st.none() | st.floats() | st.text(max_size=5),
    moment=st.none() | st.text(max_size=12) | st.sampled_from(["2023-02-25", "2023-02-25T12:00:00"]),
)
def test_any_times_become_times_or_a_header_error(mjd: Any, moment: Any) -> None:
    try:
        values = DemoCalibration.normalise({"mjd_start": mjd, "datetime_obs": moment}, "dark.fits")
    except HeaderError as error:
        assert "dark.fits" in str(error)  # noqa: PT017
        return
    assert DemoCalibration.normalise(values) == values
    assert not (values["mjd_start"] is not None and math.isnan(values["mjd_start"]))


def test_other_keys_than_columns_are_left_out() -> None:
    assert DemoCalibration.normalise({"lamp": "LFC", "telescope": "Keck I"}) == {"lamp": "lfc"}


# -- from headers ------------------------------------------------------------------------------------------------------


def test_the_first_keyword_that_says_something_counts() -> None:
    values = DemoCalibration.values_from_header
    assert values({"DATEOBS": "2023-02-25T12:00:00", "DATE-OBS": "2020-01-01"})["mjd_start"] == 60000.5
    assert values({"DATEOBS": "  ", "DATE-OBS": "2023-02-25T12:00:00"})["mjd_start"] == 60000.5
    assert values({"EXPMJDST": None, "MJD-OBS": 60000.5})["mjd_start"] == 60000.5
    assert values({"RED_CCD:MIDMJD": 60002.0}) == {"mjd_mid": 60002.0}
    assert values({"GREEN_CCD:MIDMJD": 60001.0, "RED_CCD:MIDMJD": 60002.0}) == {"mjd_mid": 60001.0}


def test_columns_of_which_a_header_says_nothing_are_left_out() -> None:
    assert DemoCalibration.values_from_header({}) == {}
    assert DemoCalibration.values_from_header({"LAMP": "", "GRNAMPS": "  "}, "a.fits") == {"filename": "a.fits"}


@pytest.mark.parametrize("word", ["Palomar Observatory", "STScI", "", "NOAO-IRAF FITS Image Kernel"])
def test_an_institution_in_origin_is_no_origin(word: str) -> None:
    assert DemoCalibration.values_from_header({"ORIGIN": word}) == {}
    assert DemoCalibration.values_from_header({"ORIGIN": " keck "}) == {"origin": "REMOTE"}


def test_a_subclass_may_fill_what_no_keyword_says(tmp_path: Path) -> None:
    class Named(ORMCalibration):
        instrument_name = "named"
        fiber: Mapped[int | None] = fits_column((), Integer)

        @classmethod
        def values_from_header(cls, header: Any, filename: str | None = None) -> dict[str, Any]:
            found = re.search(r"fiber(\d)", filename or "")
            return super().values_from_header(header, filename) | ({"fiber": int(found[1])} if found else {})

    path = write_fits(tmp_path / "lfc_fiber3.fits", dark_keywords())
    assert Named.values_from_file(path)["fiber"] == 3
    assert Named.values_from_file(tmp_path / "lfc_fiber2.csv")["fiber"] == 2


def test_a_complete_row_has_every_column_in_order() -> None:
    row = DemoCalibration.complete_row({"filename": "a.fits", "cal_type": "DARK", "mjd_start": "60000.5"}, "a.fits")
    assert tuple(row) == DemoCalibration.column_names()
    assert (row["cal_type"], row["mjd_start"], row["cal_version"]) == ("dark", 60000.5, "001")


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"cal_type": None}, HeaderError, r"no cal_type \(keyword CALTYPE\) in a\.fits"),
        ({"mjd_start": math.nan}, HeaderError, "datetime_obs|mjd_start"),
        ({"cal_type": "sky"}, HeaderError, r"'sky' \(keyword CALTYPE\).*demo.*bias, dark, flat, wls"),
        ({"filename": "../a.fits"}, UnsafeFilenameError, "separator"),
        ({"filename": None}, HeaderError, "filename"),
    ],
)
def test_a_row_that_may_not_be_stored_is_refused(values: dict[str, Any], error: type[Exception], said: str) -> None:
    row = {"filename": "a.fits", "cal_type": "dark", "mjd_start": 60000.0, **values}
    with pytest.raises(error, match=said):
        DemoCalibration.complete_row(row, "a.fits")


# -- names of versions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("HB.20260226.03605.43.mastercal-gain.fits", "HB.20260226.03605.43.mastercal-gain.007.fits"),
        ("HB.20260212.00000.00.mastercal-dark.001.fits", "HB.20260212.00000.00.mastercal-dark.007.fits"),
        ("kpf_20250122_master_bias_autocal-bias.fits", "kpf_20250122_master_bias_autocal-bias.007.fits"),
        ("dark.fits.gz", "dark.007.fits.gz"),
        ("dark.002.fits.fz", "dark.007.fits.fz"),
        ("mask.csv", "mask.007.csv"),
        ("no_suffix", "no_suffix.007"),
        ("dark.1234.fits", "dark.1234.007.fits"),
    ],
)
def test_a_version_stands_before_the_suffix_in_place_of_one_that_is_there(filename: str, expected: str) -> None:
    made = record(filename, cal_version="007")
    assert DemoCalibration.filename_for(made) == expected


@given(name=st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,30}[A-Za-z0-9_-]", fullmatch=True))
def test_each_version_of_a_name_has_a_safe_name_of_its_own(name: str) -> None:
    try:
        check_filename(name)
    except UnsafeFilenameError:
        return
    made = [DemoCalibration.filename_for(record(name, cal_version=version)) for version in (1, 2, 999)]
    assert len(set(made)) == 3
    assert all(check_filename(each) for each in made)
    assert [DemoCalibration.filename_for(record(each, cal_version=1)) for each in made] == [made[0]] * 3
