"""Fixtures for the tests of a plugin.

A plugin's ``conftest.py`` imports those that its tests use, and says which plugin it is about::

    import pytest
    from koa_middleware.testing import add_record, clean_environment, store, write_fits  # noqa: F401
    from koa_middleware_myspec import plugin

    @pytest.fixture(name="plugin")
    def myspec():
        return plugin
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .. import CalibrationStore, HeaderError, InstrumentPlugin, ORMCalibration, former_names
from ..instrument.door import columns_of
from ..instrument.values import normal_form
from ..settings import VARIABLES


class DemoNight(NamedTuple):
    """A plugin's demo night, registered.

    Attributes
    ----------
    store : CalibrationStore
    calibrations : list of ORMCalibration
        In the order in which the demo names them.
    frames : list of pathlib.Path
    """

    store: CalibrationStore[Any]
    calibrations: list[Any]
    frames: list[Path]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test meets the settings of whoever runs it; a test may set variables of its own."""
    for name in (*VARIABLES, *former_names.VARIABLES, *former_names.WITHOUT_MEANING):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(plugin: InstrumentPlugin, tmp_path: Path) -> Iterator[CalibrationStore[Any]]:
    """A store of the plugin on an empty cache folder."""
    with CalibrationStore(plugin.ORM, tmp_path / "cache") as opened:
        yield opened


@pytest.fixture
def add_record(plugin: InstrumentPlugin, store: CalibrationStore[Any]) -> Callable[..., ORMCalibration]:
    """A function that puts a record of some columns' values into the store, without a file, and gives it."""
    numbers = itertools.count()

    def add(**values: Any) -> ORMCalibration:
        record = plugin.ORM(**{"filename": f"calibration{next(numbers)}.fits", **values})
        store.local_db.add(record)
        return record

    return add


@pytest.fixture
def write_fits(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a FITS file and gives its path.

    Its arguments are a file name, the primary header's cards, and by name the cards of each extension:
    ``write_fits("dark.fits", {"EXPTIME": 300.0}, GREEN_CCD={"NFRAMES": 5})``. Cards are a mapping or an astropy header.
    """
    from astropy.io import fits

    def header(cards: Mapping[str, Any] | None) -> fits.Header:
        return cards if isinstance(cards, fits.Header) else fits.Header(dict(cards or {}))

    def write(name: str, primary: Mapping[str, Any] | None = None, **extensions: Mapping[str, Any]) -> Path:
        images = [fits.ImageHDU(None, header(cards), name=extname) for extname, cards in extensions.items()]
        fits.HDUList([fits.PrimaryHDU(None, header(primary)), *images]).writeto(tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def demo_store(plugin: InstrumentPlugin, store: CalibrationStore[Any], tmp_path: Path) -> DemoNight:
    """The store with the plugin's demo night registered in it; see `DemoNight`."""
    if plugin.demo is None:
        pytest.skip("the plugin brings no demo")
    night = tmp_path / "night"
    night.mkdir()
    calibrations, frames = plugin.demo(night)
    return DemoNight(store, [store.register_calibration(path).calibration for path in calibrations], frames)


@pytest.fixture
def write_columns(plugin: InstrumentPlugin, write_fits: Callable[..., Path]) -> Callable[..., Path]:
    """A function that writes a small FITS file whose headers say some columns' values, and gives its path.

    ``write_columns("dark.fits", cal_type="dark", mjd_start=60000.5)``. Each value stands under the first keyword of
    its column.

    Raises
    ------
    HeaderError
        When no keyword fills a column, or another value is read back.
    """

    def write(name: str, **values: Any) -> Path:
        headers: dict[str, dict[str, Any]] = {"": {"INSTRUME": plugin.name.upper()}}
        for column, value in values.items():
            keyword = _first_keyword(plugin.ORM, column)
            extension, _, key = keyword.rpartition(":")
            headers.setdefault(extension, {})[key] = value
        path = write_fits(name, headers.pop(""), **headers)
        read = plugin.ORM.values_from_file(path)
        for column, value in values.items():
            form = normal_form(columns_of(plugin.ORM)[column], value, name)
            if read.get(column) != form:
                said = f"The {column} of {name} is read as {read.get(column)!r}, and was written as {form!r}."
                raise _unwritable(said, "Write its keywords with write_fits.", column)
        return path

    return write


@pytest.fixture
def make_frame(write_columns: Callable[..., Path]) -> Callable[..., Path]:
    """A function that writes a frame of some columns' values and gives its path: ``make_frame(mjd_start=60000.5)``."""
    numbers = itertools.count()

    def make(**values: Any) -> Path:
        return write_columns(f"frame{next(numbers)}.fits", **{"mjd_start": 60000.5, **values})

    return make


def _first_keyword(orm_class: type[ORMCalibration], column: str) -> str:
    columns = columns_of(orm_class)
    keywords: tuple[str, ...] = columns[column].info.get("keywords", ()) if column in columns else ()
    if not keywords:
        raise _unwritable(f"No keyword fills {column}, so that no header can hold it.", "Leave it out.", column)
    return keywords[0]


def _unwritable(said: str, hint: str, column: str) -> HeaderError:
    return HeaderError(said, hint, column=column, keywords=(), source="the test")
