"""FITS files as astropy reads them, and what it says of bad ones in this package's errors.

astropy takes a quarter of a second to import, so it is imported when the first FITS file is opened.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..exceptions import ConfigurationError, HeaderError, SourceFileError
from ..importing import importing
from .compression import DAMAGE, NOT_READ, is_compressed_name, open_content, without_compression
from .reading import check_readable

if TYPE_CHECKING:
    from astropy.io.fits import Card, HDUList, Header

BEGINNING = b"SIMPLE  ="
"""First bytes of each FITS file, the tile-compressed ones too (FITS Standard 4.0, section 4.4.1.1)."""

_SUFFIXES = (".fits", ".fit", ".fts")

#: What a card without quotes may say in the place of a number, which FITS has no word for.
_NO_NUMBER = re.compile(r"[+-]?(?:nan|inf|infinity)(?:\.0*)?", re.IGNORECASE)

#: What astropy advises its own callers, in a sentence with an argument of one of its functions.
_ADVICE = re.compile(r" [^.]*\b\w+=\w+\.?$")

#: Keywords that say nothing of what was observed: those of a primary header that is only there because one must be.
_STRUCTURE = frozenset({"SIMPLE", "BITPIX", "NAXIS", "EXTEND", "CHECKSUM", "DATASUM", "COMMENT", "HISTORY", "DATE", ""})


def is_fits_name(name: str) -> bool:
    """Whether a file of this name should be a FITS file."""
    return without_compression(name).removesuffix(".fz").endswith(_SUFFIXES)


def is_fits(path: Path) -> bool:
    """Whether a file should be a FITS file: by its name, or where that does not say by its first bytes.

    Raises
    ------
    SourceFileError
        When it is one that is compressed in a way that is not read here.
    """
    if path.suffix.lower() in NOT_READ and is_fits_name(path.stem):
        raise SourceFileError(
            f"{path} is compressed in a way that is not read here ({path.suffix}).",
            "Uncompress it, or compress it with gzip, bzip2 or xz.",
            path=path,
        )
    return is_fits_name(path.name) or _begins_as_fits(path)


def _begins_as_fits(path: Path) -> bool:
    try:
        with open_content(path) as stream:
            return stream.read(len(BEGINNING)) == BEGINNING
    except (OSError, *DAMAGE):  # whoever reads it says so
        return False


@contextmanager
def open_fits(path: Path) -> Iterator[HDUList]:
    """Open a FITS file; its units are read when they are asked for."""
    check_readable(path)
    with importing:
        from astropy.io import fits

    with ExitStack() as stack:
        with reading_fits(path):
            source = stack.enter_context(_unpacked(path)) if is_compressed_name(path.name) else path
            hdus = stack.enter_context(fits.open(source, mode="readonly", memmap=False, lazy_load_hdus=True))
        yield hdus


def _unpacked(path: Path) -> IO[bytes]:
    """Open a compressed file whose beginning can be read; astropy would only say that it is empty or corrupt."""
    stream = open_content(path)
    try:
        stream.read(len(BEGINNING))
        stream.seek(0)
    except BaseException:
        stream.close()
        raise
    return stream


@contextmanager
def reading_fits(path: Path) -> Iterator[None]:
    """Turn what astropy says of a bad file, as an error or as a warning, into ours."""
    with importing:
        from astropy.io.fits import VerifyError
        from astropy.utils.exceptions import AstropyWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            yield
    except (OSError, ValueError, TypeError, KeyError, IndexError, VerifyError, *DAMAGE) as error:
        said = _ADVICE.sub("", str(error)).rstrip(".")
        raise SourceFileError(
            f"{path} cannot be read as FITS: {said}.", "Write or download it again.", path=path
        ) from error


def read_header(stream: IO[bytes]) -> Header:
    """Read the header that begins where a stream stands."""
    with importing:
        from astropy.io.fits import Header

    return Header.fromfile(stream)


def primary_header(hdus: HDUList) -> Header:
    """Give the primary header of a file; of an image that was packed (fpack), that of the image.

    That is the first extension, behind a primary header that says nothing, where the image was the primary one or
    there is nothing else in the file.
    """
    header = hdus[0].header
    if not all(keyword in _STRUCTURE for keyword in header) or not _has(hdus, 1):
        return header
    first = hdus[1]
    is_image = hasattr(first, "compression_type") and ("SIMPLE" in first.header or not _has(hdus, 2))
    return first.header if is_image else header


def _has(hdus: HDUList, number: int) -> bool:
    try:
        hdus[number]
    except IndexError:
        return False
    return True


def card_value(header: Header, keyword: str) -> Any:
    """Give the value of a card, text without its trailing blanks; None where it has none, or is an unquoted NaN.

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
        if _is_no_number(header.cards[keyword]):
            return None
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


def _is_no_number(card: Card) -> bool:
    """Whether a card that is none of FITS says NaN or infinity without quotes."""
    from astropy.io.fits import VerifyError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written = str(copy(card))  # a copy, because astropy mends a card that it writes
    except (VerifyError, ValueError):  # it cannot be mended
        return False
    return _NO_NUMBER.fullmatch(written.partition("=")[2].partition("/")[0].strip(" '")) is not None


def check_header(given: object) -> None:
    """Check that something is a header of astropy.

    Raises
    ------
    ConfigurationError
    """
    from astropy.io.fits import Header

    if not isinstance(given, Header):
        said = f"A header is to have the cards, and a {type(given).__name__} is given."
        raise ConfigurationError(said, "Give a header of astropy, such as hdus[0].header.", setting="header")
