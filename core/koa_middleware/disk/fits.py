"""FITS files as astropy reads them, and what it says of bad ones in this package's errors.

astropy takes a quarter of a second to import, so it is imported when the first FITS file is opened.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..exceptions import HeaderError, SourceFileError
from .compression import DAMAGE, without_compression
from .reading import check_readable

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header

BEGINNING = b"SIMPLE  ="
"""First bytes of each FITS file, the tile-compressed ones too (FITS Standard 4.0, section 4.4.1.1)."""

_SUFFIXES = (".fits", ".fit", ".fts")


def is_fits_name(name: str) -> bool:
    """Whether a file of this name should be a FITS file."""
    return without_compression(name).removesuffix(".fz").endswith(_SUFFIXES)


@contextmanager
def open_fits(path: Path) -> Iterator[HDUList]:
    """Open a FITS file; its units are read when they are asked for."""
    check_readable(path)
    from astropy.io import fits

    with reading_fits(path):
        hdus = fits.open(path, mode="readonly", memmap=False, lazy_load_hdus=True)
    with hdus:
        yield hdus


@contextmanager
def reading_fits(path: Path) -> Iterator[None]:
    """Turn what astropy says of a bad file, as an error or as a warning, into ours."""
    from astropy.io.fits import VerifyError
    from astropy.utils.exceptions import AstropyWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            yield
    except (OSError, ValueError, TypeError, KeyError, IndexError, VerifyError, *DAMAGE) as error:
        raise SourceFileError(
            f"{path} cannot be read as FITS: {error}.", "Write or download it again.", path=path
        ) from error


def read_header(stream: IO[bytes]) -> Header:
    """Read the header that begins where a stream stands."""
    from astropy.io.fits import Header

    return Header.fromfile(stream)


def card_value(header: Header, keyword: str) -> Any:
    """Give the value of a card, text without its trailing blanks; None where it has none.

    Raises
    ------
    HeaderError
        When it is not a FITS card.
    """
    from astropy.io.fits import VerifyError
    from astropy.io.fits.card import Undefined

    try:
        value = header[keyword]
    except VerifyError as error:
        raise HeaderError(
            f"The card {keyword} is not a FITS card: {error}.",
            "Correct the header.",
            column="",
            keywords=(keyword,),
            source="the header",
        ) from error
    if isinstance(value, Undefined):
        return None
    return value.rstrip() if isinstance(value, str) else value
