"""Fixtures for the tests of a plugin.

A plugin's ``conftest.py`` imports those that its tests use, and says which plugin it is about::

    import pytest
    from koa_middleware.testing import add_record, clean_environment, store, write_fits  # noqa: F401
    from koa_middleware_demospec import plugin

    @pytest.fixture(name="plugin")
    def demospec():
        return plugin
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from .. import CalibrationStore, InstrumentPlugin, ORMCalibration
from ..settings import VARIABLES


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test meets the settings of whoever runs it; a test may set variables of its own."""
    for name in VARIABLES:
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
