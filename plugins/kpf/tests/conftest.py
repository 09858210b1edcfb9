import itertools
import os
from pathlib import Path

import pytest
from koa_middleware import CalibrationStore
from koa_middleware_kpf import plugin


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


@pytest.fixture
def real():
    """The folder of real KPF headers and listings, which are not part of this repository.

    KOA_TEST_KPF_DATA names it; else it is ``shared/data/kpf`` in a folder above.
    """
    given = os.environ.get("KOA_TEST_KPF_DATA")
    folders = [Path(given)] if given else [parent / "shared/data/kpf" for parent in Path(__file__).parents]
    for folder in folders:
        if folder.is_dir():
            return folder
    pytest.skip("real KPF headers are not here")


@pytest.fixture
def real_header(real):
    """Give one of the real headers, a text of FITS cards, as an astropy header."""
    from astropy.io import fits

    def read(name):
        lines = (real / name).read_text().splitlines()
        cards = [line for line in lines if not line.startswith(("HDU number", "Number of header", "..."))]
        header = fits.Header.fromstring("".join(line.ljust(80) for line in cards))
        for keyword in ("XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "EXTNAME"):
            header.remove(keyword, ignore_missing=True, remove_all=True)
        return header

    return read
