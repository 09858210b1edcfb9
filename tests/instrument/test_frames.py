from __future__ import annotations

import bz2
import gzip
import lzma
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from koa_middleware import (
    CalibrationSelector,
    CalibrationStore,
    HeaderError,
    InvalidPluginError,
    ORMCalibration,
    SourceFileError,
    fits_column,
)
from koa_middleware.instrument.frames import column_values
from sqlalchemy import Float, String
from sqlalchemy.orm import Mapped

from tests.conftest import DemoCalibration, dark, dark_keywords, record

DARK = CalibrationSelector(cal_type="dark", match=("spectrograph", "lamp"))


@pytest.fixture
def filled(store: CalibrationStore[DemoCalibration], tmp_path: Path) -> CalibrationStore[DemoCalibration]:
    store.register_calibration(dark(tmp_path / "sources", "thar.fits", 60001.0, LAMP="ThAr"))
    store.register_calibration(dark(tmp_path / "sources", "lfc.fits", 60000.0, LAMP="LFC"))
    return store


class Attributed:
    """Metadata as a data model holds it: attributes, of which some are no columns."""

    mjd_start = 60000.0
    spectrograph = "BSPEC  "
    lamp = "THAR "
    telescope = "Keck I"


def header() -> Any:
    from astropy.io import fits

    return fits.Header(dark_keywords(60000.0, LAMP="THAR  "))


def time() -> Any:
    from astropy.time import Time

    return Time(2460000.5, format="jd", scale="utc").tai


COLUMNS = {"mjd_start": 60000.0, "spectrograph": "BSPEC ", "lamp": " THAR"[1:], "other": 1}


def hdu_list() -> Any:
    from astropy.io import fits

    return fits.HDUList([fits.PrimaryHDU(header=header()), fits.ImageHDU(name="SCI")])


def row_of_table(masked: bool = False) -> Any:
    from astropy.table import Table

    columns = {name: [value] for name, value in (dict(header()) if not masked else MASKED).items()}
    table = Table(columns, masked=masked)
    if masked:
        table["mjd_start"].mask = True
    return table[0]


def row_of_fits_table() -> Any:
    import numpy as np
    from astropy.io import fits

    types = [("mjd_start", "f8"), ("spectrograph", "S8"), ("lamp", "S8")]
    return fits.FITS_rec(np.array([(60000.0, b"BSPEC", b"THAR")], types))[0]


def nested_meta() -> Any:
    exposure = SimpleNamespace(start=60000.0)
    return SimpleNamespace(instrument=SimpleNamespace(spectrograph="BSPEC", lamp="ThAr"), exposure=exposure)


class NestedCalibration(ORMCalibration):
    """An instrument whose models have nested metadata."""

    instrument_name = "nested"
    mjd_start: Mapped[float] = fits_column(("MJD-OBS", "exposure.start"), Float, sort_order=-96)
    spectrograph: Mapped[str | None] = fits_column(("SPECTROG", "instrument.spectrograph"), String)
    lamp: Mapped[str | None] = fits_column(("LAMP", "instrument.lamp"), String, fold=True)


MASKED = {"mjd_start": 1.0, "datetime_obs": "2023-02-25T00:00:00", "spectrograph": "BSPEC", "lamp": "THAR"}
BY_EXTENSION = {"PRIMARY": {"LAMP": "ThAr", "SPECTROG": "BSPEC", "EXPMJDST": 60000.0}, "SCI": {"LAMP": "une"}}

INPUTS = {
    "list of HDUs": hdu_list,
    "HDU": lambda: hdu_list()[0],
    "mapping of keywords": lambda: dict(header()),
    "mapping of keywords in lower case": lambda: {name.lower(): value for name, value in header().items()},
    "mapping of keywords with a column": lambda: {**dict(header()), "filename": "frame.fits", "lamp": "THAR"},
    "mapping of headers by extension": lambda: BY_EXTENSION,
    "mapping of astropy's headers by extension": lambda: {"PRIMARY": header(), "SCI": header()},
    "model with headers by extension": lambda: SimpleNamespace(headers=BY_EXTENSION),
    "model whose header maps extensions": lambda: SimpleNamespace(header=BY_EXTENSION),
    "model whose meta holds a header": lambda: SimpleNamespace(meta={"header": header(), "other": 1}),
    "model whose meta has columns and keywords": lambda: SimpleNamespace(meta={**dict(header()), "lamp": "THAR"}),
    "row of a table": row_of_table,
    "row of a table with masked values": lambda: row_of_table(masked=True),
    "row of a FITS table": row_of_fits_table,
    "series of column values": lambda: pd.Series({**MASKED, "mjd_start": math.nan, "era": math.nan}),
    "series of keywords": lambda: pd.Series({**dict(header()), "MJD-OBS": math.nan}),
    "mapping of a Time and bytes": lambda: {**MASKED, "mjd_start": None, "datetime_obs": time(), "lamp": b"THAR"},
    "header": header,
    "mapping of columns": lambda: COLUMNS,
    "time as text": lambda: {**COLUMNS, "mjd_start": None, "datetime_obs": "2023-02-25T00:00:00Z"},
    "record": lambda: record("frame.fits", lamp="ThAr"),
    "model with a header": lambda: SimpleNamespace(header=header()),
    "model whose meta is a header": lambda: SimpleNamespace(meta=header()),
    "model whose meta maps columns": lambda: SimpleNamespace(meta=COLUMNS),
    "model whose meta maps keywords": lambda: SimpleNamespace(meta=dict(header())),
    "model whose meta has attributes": lambda: SimpleNamespace(meta=Attributed()),
    "model with both": lambda: SimpleNamespace(header=header(), meta={}),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_each_kind_of_input_is_understood(filled: CalibrationStore[DemoCalibration], kind: str) -> None:
    assert filled.select(INPUTS[kind](), DARK).filename == "thar.fits"


NESTED = {
    "attributes": nested_meta,
    "mappings": lambda: {"exposure": {"start": 60000.0}, "instrument": {"spectrograph": "BSPEC", "lamp": "ThAr"}},
    "flat with dots": lambda: {
        "meta.exposure.start": 60000.0,
        "meta.instrument.spectrograph": "BSPEC",
        "instrument.lamp": "ThAr",
    },
    "flat by column": lambda: {"mjd_start": 60000.0, "SPECTROG": "BSPEC", "instrument": {"lamp": "ThAr"}},
}


@pytest.mark.parametrize("kind", NESTED)
def test_nested_metadata_are_read_by_dotted_keywords(kind: str) -> None:
    meta = NESTED[kind]()
    found = column_values(NestedCalibration, SimpleNamespace(meta=meta))
    assert (found["mjd_start"], found["spectrograph"], found["lamp"]) == (60000.0, "BSPEC", "thar")
    if isinstance(meta, dict):
        assert dict(column_values(NestedCalibration, meta)) == dict(found)


def test_a_row_of_pandas_is_a_frame_and_its_table_are_many(filled: CalibrationStore[DemoCalibration]) -> None:
    rows = [dict(header()), {**dict(header()), "LAMP": "LFC"}, {"LAMP": None, "SPECTROG": "BSPEC", "EXPMJDST": 60000.0}]
    table = pd.DataFrame(rows)
    assert filled.select(table.iloc[0], DARK).filename == "thar.fits"
    chosen = filled.select_many(table, DARK, return_exceptions=True)
    assert [getattr(each, "filename", type(each).__name__) for each in chosen] == [
        "thar.fits",
        "lfc.fits",
        "HeaderError",
    ]


@pytest.mark.parametrize("kind", INPUTS)
def test_one_frame_is_not_taken_for_several(filled: CalibrationStore[DemoCalibration], kind: str) -> None:
    assert [each.filename for each in filled.select_many(INPUTS[kind](), DARK)] == ["thar.fits"]  # type: ignore[union-attr]


def test_the_rows_of_a_table_are_several_frames(filled: CalibrationStore[DemoCalibration]) -> None:
    from astropy.table import Table

    table = Table({"EXPMJDST": [60000.0] * 2, "SPECTROG": ["BSPEC"] * 2, "LAMP": ["LFC", "ThAr"]})
    chosen = filled.select_many(table, DARK)
    assert [each.filename for each in chosen] == ["lfc.fits", "thar.fits"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        (".fits", bytes),
        (".fit", bytes),
        (".fts", bytes),
        (".fits.gz", gzip.compress),
        (".fit.gz", gzip.compress),
        (".fits.bz2", bz2.compress),
        (".fits.xz", lzma.compress),
    ],
)
def test_a_file_is_read_whatever_its_form(
    filled: CalibrationStore[DemoCalibration], tmp_path: Path, suffix: str, compress: Any
) -> None:
    plain = dark(tmp_path, "frame.fits", LAMP="THAR")
    packed = tmp_path / f"packed{suffix}"
    packed.write_bytes(compress(plain.read_bytes()))
    assert filled.select(packed, DARK).filename == "thar.fits"


def packed_image(path: Path, *, was_primary: bool, more: bool = False) -> Path:
    """Write an image as fpack does: behind an empty primary header."""
    import numpy as np
    from astropy.io import fits

    image = np.zeros((8, 8), "float32")
    cards = fits.PrimaryHDU(image, header()).header if was_primary else header()
    cards["DATAQUAL"] = "BAD"
    hdus = [fits.PrimaryHDU(), fits.CompImageHDU(image, cards), *([fits.ImageHDU(image)] if more else [])]
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.mark.parametrize(("was_primary", "more"), [(True, False), (False, False), (True, True)])
def test_a_packed_image_keeps_its_header(tmp_path: Path, was_primary: bool, more: bool) -> None:
    from astropy.io import fits

    path = packed_image(tmp_path / "a.fits.fz", was_primary=was_primary, more=more)
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store:
        registered = store.register_calibration(path).calibration
    assert (registered.quality, registered.lamp, registered.mjd_start) == ("BAD", "thar", 60000.0)
    with fits.open(path) as hdus:
        assert column_values(DemoCalibration, hdus)["lamp"] == "thar"


def test_a_primary_header_of_its_own_is_not_replaced_by_a_packed_extension(tmp_path: Path) -> None:
    import numpy as np
    from astropy.io import fits

    image = fits.CompImageHDU(np.zeros((8, 8), "float32"), fits.Header({"LAMP": "une"}))
    primary = fits.PrimaryHDU(header=fits.Header({"SPECTROG": "RSPEC"}))
    fits.HDUList([primary, image]).writeto(tmp_path / "a.fits.fz")
    assert column_values(DemoCalibration, tmp_path / "a.fits.fz") == {"filename": "a.fits.fz", "spectrograph": "RSPEC"}


@pytest.mark.parametrize("given", [b"frame.fits", b"SIMPLE  = "], ids=repr)
def test_what_is_no_frame_is_told_with_what_to_give(filled: CalibrationStore[DemoCalibration], given: Any) -> None:
    with pytest.raises(HeaderError, match="Give the path"):
        filled.select(given, DARK)
    with pytest.raises(HeaderError, match="select_many"):
        filled.select([given], DARK)


@pytest.mark.parametrize("as_given", [str, Path, lambda path: f"~/{path.name}", lambda path: path.name])
def test_a_path_is_read(
    filled: CalibrationStore[DemoCalibration], tmp_path: Path, monkeypatch: Any, as_given: Any
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    frame = dark(tmp_path, "frame.fits", LAMP="THAR")
    assert filled.select(as_given(frame), DARK).filename == "thar.fits"


@pytest.mark.parametrize(
    "given", [None, 42, pytest.param(object(), id="object()"), ["frame.fits"], SimpleNamespace(meta=None)], ids=repr
)
def test_what_is_no_frame_is_said(filled: CalibrationStore[DemoCalibration], given: Any) -> None:
    with pytest.raises(HeaderError, match=type(given).__name__):
        filled.select(given, DARK)


@pytest.mark.parametrize("path", ["missing.fits", "~nosuchuser/frame.fits", "a\0b.fits"])
def test_a_missing_frame_is_a_source_file_error(filled: CalibrationStore[DemoCalibration], path: str) -> None:
    for call in (filled.select, filled.explain, filled.get_calibration):
        with pytest.raises(SourceFileError, match="cannot be read"):
            call(path, DARK)


def test_a_frame_that_lacks_a_keyword_is_named_with_it(
    filled: CalibrationStore[DemoCalibration], tmp_path: Path
) -> None:
    with pytest.raises(HeaderError, match=r"frame\.fits.*lamp.*LAMP"):
        filled.select(dark(tmp_path, "frame.fits"), DARK)


def test_frames_and_calibrations_go_through_the_same_door(tmp_path: Path) -> None:
    source = dark(tmp_path, LAMP="ThAr   ", EXPTIME=300, GRNAMPS=4, COOLED=True)
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store:
        registered = store.register_calibration(source).calibration.to_dict()
    frame = column_values(DemoCalibration, source)
    assert frame == {name: registered[name] for name in frame}
    assert {"lamp", "exposure_time", "amplifiers", "cooled"} <= set(frame)


def test_an_open_file_is_known_by_its_name_as_its_path_is(
    store: CalibrationStore[DemoCalibration], tmp_path: Path
) -> None:
    from astropy.io import fits

    path = dark(tmp_path / "sources", "a.fits", 60000.0, LAMP="thar")
    store.register_calibration(path)
    store.register_calibration(dark(tmp_path / "sources", "b.fits", 60001.0, LAMP="thar"))
    with fits.open(path) as hdus:
        assert store.select(hdus, DARK).filename == store.select(path, DARK).filename == "b.fits"


def test_bytes_under_keywords_are_text(filled: CalibrationStore[DemoCalibration]) -> None:
    given = {"SPECTROG": b"BSPEC", "LAMP": b"THAR ", "MJD-OBS": 60000.0, "TIMESYS": b"UTC"}
    assert filled.select(given, DARK).filename == "thar.fits"


def test_a_list_without_units_is_no_frame(filled: CalibrationStore[DemoCalibration]) -> None:
    from astropy.io import fits

    with pytest.raises(HeaderError, match="HDUList is not a frame"):
        filled.select(fits.HDUList(), DARK)


def test_bare_text_as_nulls_is_refused() -> None:
    with pytest.raises(InvalidPluginError, match="comma"):
        fits_column("LAMP", String, nulls="N/A")


class Opened:
    """A pipeline's model that tells by a method from which file it was read."""

    def __init__(self, path: Path) -> None:
        self.header = header()
        self._path = path

    def filename(self) -> Path:
        return self._path


class Asking:
    """A model with a method of that name that asks for something."""

    header = property(lambda _: header())

    def filename(self, level: str) -> str:
        return f"{level}.fits"


@pytest.mark.parametrize("name", ["a.fits", "/data/night/a.fits", Path("/data/night/a.fits")])
def test_a_model_that_tells_its_file_never_gets_this_file(
    filled: CalibrationStore[DemoCalibration], tmp_path: Path, name: Any
) -> None:
    filled.register_calibration(dark(tmp_path / "sources", "a.fits", 60000.1, LAMP="thar"))
    assert filled.select(SimpleNamespace(header=header()), DARK).filename == "a.fits"
    for model in (SimpleNamespace(header=header(), filename=name), Opened(Path(name))):
        assert filled.select(model, DARK).filename == "thar.fits"
    assert filled.select(Asking(), DARK).filename == "a.fits"


class Failing:
    """A model whose file name fails."""

    header = property(lambda _: header())

    @property
    def filename(self) -> str:
        raise KeyError("path")


def test_a_model_whose_file_name_fails_is_told(filled: CalibrationStore[DemoCalibration]) -> None:
    with pytest.raises(HeaderError, match="The filename of a Failing failed with KeyError"):
        filled.select(Failing(), DARK)


def test_the_metadata_of_a_model_name_its_file_before_the_model_does() -> None:
    model = SimpleNamespace(meta={"filename": "first.fits"}, filename="second.fits")
    assert column_values(DemoCalibration, model)["filename"] == "first.fits"
    assert "filename" not in column_values(DemoCalibration, SimpleNamespace(header=header(), filename=None))


def tables() -> Any:
    import numpy as np
    from astropy.io import fits
    from astropy.table import Table

    rows = np.zeros(2, [("mjd_start", "f8")])
    return [Table(rows, meta={"mjd_start": 60000.0}), rows, fits.FITS_rec(rows)]


@pytest.mark.parametrize("table", tables(), ids=lambda table: type(table).__name__)
def test_a_whole_table_is_no_frame_and_its_row_is_asked_for(
    filled: CalibrationStore[DemoCalibration], table: Any
) -> None:
    with pytest.raises(HeaderError, match=r"is not a frame.*table\[0\]; select_many"):
        filled.select(table, DARK)


def test_what_astropy_advises_its_own_callers_is_not_passed_on(tmp_path: Path) -> None:
    (tmp_path / "text.fits").write_text("no header\n")
    with pytest.raises(SourceFileError, match="No SIMPLE card found") as raised:
        column_values(DemoCalibration, tmp_path / "text.fits")
    assert "ignore_missing" not in str(raised.value)
