import itertools
from pathlib import Path

import pytest
from koa_middleware import CalibrationStore
from koa_middleware_parvi import plugin


@pytest.fixture
def store(tmp_path):
    with CalibrationStore(orm_class=plugin.ORM, cache_dir=tmp_path / "cache") as store:
        yield store


@pytest.fixture
def write_fits(tmp_path):
    """Write a FITS file of these primary cards and, by name, extensions' cards; give its path."""
    from astropy.io import fits

    def write(name, primary=None, **extensions):
        path = Path(tmp_path) / name
        images = [fits.ImageHDU(None, _header(cards), name=extname) for extname, cards in extensions.items()]
        fits.HDUList([fits.PrimaryHDU(None, _header(primary)), *images]).writeto(path)
        return path

    def _header(cards):
        return cards if isinstance(cards, fits.Header) else fits.Header(cards or {})

    return write


@pytest.fixture
def add(store):
    """Put a record of these column values into the database, without a file; give it."""
    numbers = itertools.count()

    def add(**values):
        record = plugin.ORM(**{"filename": f"calibration{next(numbers)}.fits", **values})
        store.local_db.add(record)
        return record

    return add
