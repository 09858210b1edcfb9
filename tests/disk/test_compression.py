"""Compressed FITS files that are cut short, opened for their headers."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from koa_middleware import SourceFileError
from koa_middleware.instrument.headers import open_headers

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda content: gzip.compress(content, 1),
    ".bz2": lambda content: bz2.compress(content, 1),
    ".xz": lambda content: lzma.compress(content, preset=0),
}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give a FITS file with an image that compresses badly, and another extension behind it."""
    image = np.random.default_rng(7).integers(0, 2**15, 250_000, dtype=np.int16)
    path = tmp_path_factory.mktemp("made") / "whole.fits"
    primary = fits.PrimaryHDU(header=fits.Header({"ERA": "1"}))
    extension = fits.ImageHDU(name="GREEN_CCD", header=fits.Header({"ERA": "2"}))
    fits.HDUList([primary, fits.ImageHDU(image), extension]).writeto(path)
    return path.read_bytes()


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_what_comes_before_a_cut_is_read_and_what_may_come_after_it_is_not_said_to_be_missing(
    tmp_path: Path, content: bytes, ending: str
) -> None:
    path = tmp_path / f"cut.fits{ending}"
    packed = COMPRESSIONS[ending](content)
    path.write_bytes(packed)
    with open_headers(path) as headers:
        assert (headers["ERA"], headers["GREEN_CCD:ERA"]) == ("1", "2")
    path.write_bytes(packed[: len(packed) * 3 // 4])
    with open_headers(path) as headers:
        assert headers["ERA"] == "1"
        with pytest.raises(SourceFileError, match="compressed data are cut short"):
            headers.get("GREEN_CCD:ERA")


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_a_cut_before_the_end_of_the_header_is_said(tmp_path: Path, content: bytes, ending: str) -> None:
    path = tmp_path / f"cut.fits{ending}"
    path.write_bytes(COMPRESSIONS[ending](content[:5760])[:15])
    with pytest.raises(SourceFileError, match="compressed data are cut short"), open_headers(path):
        pass
    path.write_bytes(content)
    with (
        pytest.raises(SourceFileError, match=r"its name says \w+, but it begins with b'SIMPLE"),
        open_headers(path),
    ):
        pass
