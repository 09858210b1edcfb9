"""What an instrument's class may declare: the rest is refused when the class is made."""

from __future__ import annotations

import datetime as dt
import enum
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore, InvalidPluginError, ORMCalibration, fits_column
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    func,
)
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship


class Mode(enum.Enum):
    HR = "hr"


def made(annotations: dict[str, Any] | None = None, **body: Any) -> type[ORMCalibration]:
    return type(
        "Made",
        (ORMCalibration,),
        {"instrument_name": "made", "__module__": __name__, "__annotations__": annotations or {}, **body},
    )


def column(name: str, kind: Any = String, **more: Any) -> dict[str, Any]:
    return {"annotations": {name: Mapped[str]}, name: fits_column("KEY", kind, **more)}


@pytest.mark.parametrize("kind", [String, String(5), Integer, BigInteger, Float, Boolean])
def test_each_type_whose_values_have_one_form_is_taken(kind: Any) -> None:
    assert made(**column("mode", kind)).column_names()[-1] == "mode"


@pytest.mark.parametrize(
    "body",
    [{"annotations": {"mode": Mapped[str | None]}}, {"mode": Column(String)}, {"mode": mapped_column(String)}],
    ids=["annotation", "Column", "mapped_column"],
)
def test_a_column_that_no_keyword_fills_may_be_declared_as_sqlalchemy_does(body: dict[str, Any]) -> None:
    assert made(**body).column_names()[-1] == "mode"


@pytest.mark.parametrize("kind", [Enum(Mode), Enum("a", "b"), DateTime, JSON, Text])
def test_another_type_is_refused(kind: Any) -> None:
    with pytest.raises(InvalidPluginError, match=r"The class Made has the column mode of the type .*Use one of String"):
        made(**column("mode", kind))


@pytest.mark.parametrize("kind", [dt.datetime, dict, Mode])
def test_another_python_type_is_refused(kind: Any) -> None:
    with pytest.raises(InvalidPluginError, match="mode"):
        made(annotations={"mode": Mapped[kind]})


@pytest.mark.parametrize(
    "name", ["metadata", "registry", "keys", "get", "to_dict", "selectors", "table", "filename_for"]
)
def test_a_column_named_as_an_attribute_of_the_base_is_refused(name: str) -> None:
    for declared in (column(name), {"annotations": {name: Mapped[str]}}, {name: Column(String)}):
        with pytest.raises(InvalidPluginError, match=f"a column named {name}, as an attribute of its base"):
            made(**declared)


@pytest.mark.parametrize("name", ["as_of", "date_time_start", "newest"])
def test_a_column_named_as_an_argument_of_a_query_is_refused(name: str) -> None:
    with pytest.raises(InvalidPluginError, match=rf"a column named {name}, as an argument of query\(\)"):
        made(**column(name))


@pytest.mark.parametrize("name", ["rowid", "OID"])
def test_a_column_that_would_hide_the_number_of_a_row_is_refused(name: str) -> None:
    with pytest.raises(InvalidPluginError, match=f"a column named {name}, as SQLite names the number of a row"):
        made(**column(name))


def test_a_column_of_a_mixin_is_checked_too() -> None:
    class Mixin:
        keys: Mapped[str] = fits_column("KEY", String)

    with pytest.raises(InvalidPluginError, match="keys"):
        type("Made", (Mixin, ORMCalibration), {"instrument_name": "made", "__module__": __name__})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"annotations": {"raw": Mapped["Made"]}, "raw": relationship()}, "has the relationship raw"),
        ({"twice": column_property(Column("once", Integer))}, "has the .* twice"),
        ({"mode": fits_column((), String, name="mod")}, "the column 'mod' under the name 'mode'"),
        ({**column("slit"), "Slit": mapped_column(String)}, "has the columns slit and Slit"),
        (column("mjd_start"), "declares mjd_start anew .* stays of the type Float"),
        ({"cal_types": "bias"}, r"text as its cal_types. Write \('bias',\)"),
        ({"version_family": "id"}, "text as its version_family"),
        ({"cal_types": None}, "cal_types None"),
        ({"cal_types": ("bias", 1)}, "cal_types"),
        ({"cal_types": ("Bias",)}, "'Bias' among its cal_types, which no calibration can have. Write 'bias'"),
        ({"version_family": ("lamp",)}, "names lamp in its version_family"),
        ({"instrument_name": "Made"}, "instrument_name 'Made'"),
        ({"__table_args__": (Index(None, "cal_type", "lamp"),)}, "lamp"),
        ({"caltypes": ("bias",)}, "has caltypes, which is no setting .*Did you mean cal_types?"),
        ({"instrume_value": ("MADE",)}, "Did you mean instrume_values?"),
        ({"version_famly": ("id",)}, "Did you mean version_family?"),
        ({"file_name_pattern": "x"}, "Did you mean filename_pattern?"),
        ({"Filename_For": classmethod(lambda cls, record: "x")}, "Did you mean filename_for?"),
        ({"filename_pattern": "("}, "filename_pattern that is no regular expression .missing"),
        ({"filename_pattern": re.compile("x")}, "filename_pattern that is of the type Pattern. Write one as text"),
        ({"filename_pattern": "[a-z]+"}, "filename_pattern without named groups"),
        (
            {"filename_pattern": "(?P<typ>[a-z]+)"},
            "the group typ in its filename_pattern, .*Name groups as columns: id,",
        ),
        ({"lamp": (fits_column("LAMP", String),)}, "a tuple as its column lamp. Remove the comma"),
        ({"cal_type": "bias"}, r"'bias' in the place of its column cal_type. Write cal_types = \('bias',\)"),
        ({"mjd_start": 3}, "3 in the place of its column mjd_start. Leave it out"),
        ({"derive": lambda cls, values: values}, r"derive that cannot be called with \(values\). Define it as a class"),
        ({"filename_for": classmethod(lambda cls: "x")}, r"filename_for that cannot be called with \(record\)"),
        (
            {"values_from_header": classmethod(lambda cls, header: {})},
            r"def values_from_header\(cls, header, filename\)",
        ),
        ({"values_from_file": 3}, r"has 3 as its values_from_file\. values_from_file is a method"),
        ({"table": 3}, "has 3 as its table"),
        ({"cal_types": ("",)}, "'' among its cal_types"),
        (column("arm", fold=True, default="Red"), "the default 'Red' of arm, which is stored as 'red'. Write 'red'"),
        (column("order", Integer, default="first"), "the default 'first' of order, which is .*Write a value that"),
        ({"normalise": classmethod(lambda cls, values, source: values)}, "overrides normalise. Override derive"),
        (
            {"complete_row": classmethod(lambda cls, values, source: {})},
            "overrides complete_row. Override one of derive",
        ),
        ({"with_defaults": classmethod(lambda cls, values: {})}, "overrides with_defaults"),
        ({"table": classmethod(lambda cls: None)}, "overrides table"),
        ({"to_dict": lambda self: {}}, "overrides to_dict"),
        ({"__tablename__": "other"}, "sets __tablename__. Leave it out; the table is named after the instrument"),
        (column("arm", primary_key=True), "arm as a primary key, beside id. Leave primary_key out"),
        (column("arm", server_default="red"), "the column arm with server_default. Leave it out; default gives"),
        (column("arm", onupdate="red"), "the column arm with onupdate"),
        ({"arm": mapped_column(String, ForeignKey("arms.id"))}, "the column arm with a ForeignKey"),
        ({"arm": mapped_column(Integer, Computed("mjd_start * 2"))}, "the column arm with server_default"),
        (column("arm", default=lambda: 1 / 0), "a default of arm that fails with ZeroDivisionError: division by zero"),
        (column("arm", default=lambda: sys.exit(3)), "a default of arm that fails with SystemExit"),
        (column("arm", Integer, default=lambda: "red"), "the default 'red' of arm"),
        (column("arm", default=func.now()), "a default of arm that is of the database"),
        ({"version_family": ("quality",)}, "names quality in its version_family. Leave it out: versions of one family"),
        ({"version_family": ("id",)}, "names id in its version_family"),
        ({"instrume_values": ("MADE", "-")}, r"the instrume_values .* Write what INSTRUME says, or \(\)"),
    ],
)
def test_what_no_class_may_declare_is_refused_when_it_is_made(body: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidPluginError, match=said) as caught:
        made(**body)
    assert caught.value.instrument.lower() == "made"


@pytest.mark.parametrize(
    ("annotation", "declared", "lacks"),
    [
        ("quality", {"nullable": True, "default": "UNKNOWN"}, "nullable=False"),
        ("quality", {"nullable": False}, "a default"),
        ("origin", {"nullable": False}, "a default"),
        ("cal_version", {"nullable": False}, "a default"),
        ("checksum", {"nullable": False}, "nullable=True"),
        ("filename", {"nullable": False}, "unique=True"),
        ("id", {"primary_key": True}, "a default"),
    ],
)
def test_a_common_column_stays_needed_unique_and_given_where_it_is_declared_anew(
    annotation: str, declared: dict[str, Any], lacks: str
) -> None:
    with pytest.raises(InvalidPluginError, match=f"declares {annotation} anew without {lacks}. Give it {lacks}"):
        made(**{annotation: mapped_column(String, **declared)})
    with pytest.raises(InvalidPluginError, match="quality anew without nullable=False"):
        made({"quality": Mapped[str | None]}, quality=fits_column("Q", String, default="GOOD"))
    assert made({"quality": Mapped[str]}, quality=fits_column("Q", String, default="GOOD")).table().c.quality.default


@pytest.mark.parametrize("keyword", ["A:B:C", "X:", ":X", "X*", "X?", "A...", " X", "X ", "A: X"])
def test_a_keyword_that_no_header_can_hold_is_refused(keyword: str) -> None:
    with pytest.raises(InvalidPluginError, match="which no header can hold"):
        fits_column(("FINE", keyword), String)


@pytest.mark.parametrize("keyword", ["X", "GREEN_CCD:MJD-OBS", "exposure.start", "ESO DET NAME", "lower"])
def test_keywords_of_headers_extensions_and_models_are_taken(keyword: str) -> None:
    assert fits_column(keyword, String).column.info["keywords"] == (keyword,)


def test_an_index_that_the_base_brings_or_that_stands_there_twice_is_made_once(tmp_path: Path) -> None:
    orm_class = made(
        **column("lamp"),
        __table_args__=(
            Index(None, "cal_type", "mjd_start"),
            Index(None, "cal_type", "lamp", "mjd_start"),
            Index(None, "cal_type", "lamp", "mjd_start"),
        ),
    )
    with CalibrationStore(orm_class, tmp_path) as store:
        assert indexes_of(store) == [
            "ix_made_calibrations_cal_type_lamp_mjd_start",
            "ix_made_calibrations_cal_type_mjd_start",
            "ix_made_calibrations_datetime_obs_id",
        ]


def test_indexes_are_made_in_the_same_order_in_every_database(
    tmp_path: Path, open_demo: Callable[..., CalibrationStore[Any]]
) -> None:
    orders = {tuple(indexes_of(open_demo(tmp_path / str(number)))) for number in range(5)}
    assert len(orders) == 1
    (order,) = orders
    assert len(order) == 4


def indexes_of(store: CalibrationStore[Any]) -> list[str]:
    """Names of the table's indexes, but those of file names, in the order of their creation."""
    with store.local_db.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'ix_%'"
            " AND tbl_name LIKE '%_calibrations' AND name NOT LIKE '%_filename_%' ORDER BY rowid"
        )
        return list(found.scalars())


@pytest.mark.parametrize(
    ("arguments", "more", "said"),
    [
        (((3,), String), {}, r"has the keywords \(3,\). Write \"KEY\""),
        ((3, String), {}, "has the keywords 3"),
        (("", String), {}, "has the keywords ''"),
        (("LAMP", str), {}, "The column of LAMP has the type <class 'str'>. Write String"),
        (("LAMP", None), {}, "type None. Write String, Integer"),
        (("LAMP", String), {"folds": True}, "The column of LAMP cannot be declared with folds .*Did you mean fold?"),
        (("LAMP", String), {"convert": 3}, "has the convert 3. Write a function"),
        (("LAMP", String), {"fold": "yes"}, "has the fold 'yes'"),
        (("LAMP", String), {"nulls": (None,)}, r"has the nulls \(None,\). Write a tuple of words"),
        (("LAMP", String), {"nulls": 3}, "has the nulls 3"),
        (("LAMP", String), {"nulls": "NONE"}, r"text as its nulls. Write \('NONE',\)"),
    ],
)
def test_an_argument_of_a_column_that_cannot_be_is_refused(arguments: Any, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidPluginError, match=said):
        fits_column(*arguments, **more)


def test_an_info_that_is_no_mapping_is_refused_when_the_column_is_declared() -> None:
    with pytest.raises(InvalidPluginError, match=r"The column of ARM has the info None\. Write a dict"):
        fits_column("ARM", String, info=None)
