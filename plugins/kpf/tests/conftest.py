import os
from pathlib import Path

import pytest
from koa_middleware.testing import add_record, clean_environment, store, write_fits  # noqa: F401  (pytest finds them here)
from koa_middleware_kpf import plugin


@pytest.fixture(name="plugin")
def kpf():
    return plugin


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
