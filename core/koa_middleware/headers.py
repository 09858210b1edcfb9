"""FITS files: their headers as one mapping, and whether they are whole. The only user of astropy.

astropy takes a quarter of a second to import, so it is imported when the first FITS file is opened.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .exceptions import HeaderError, SourceFileError

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header

FITS_SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz")


class Headers(Mapping[str, Any]):
    """The headers of one FITS file: ``"KEY"`` in the primary header, ``"EXTNAME:KEY"`` in an extension.

    Values are those of FITS, text without its trailing blanks. Of a keyword that occurs twice, the first counts.
    A keyword without a value is as one that is not there.

    Parameters
    ----------
    find : callable
        Gives the header of an extension by its EXTNAME, of the primary one for ``""``, or None.
    """

    def __init__(self, find: Callable[[str], Header | None]) -> None:
        self._find = find

    def __getitem__(self, key: str) -> Any:
        from astropy.io.fits import VerifyError
        from astropy.io.fits.card import Undefined

        extname, _, keyword = key.rpartition(":")
        header = self._find(extname)
        if header is None or keyword not in header:
            raise KeyError(key)
        try:
            value = header[keyword]
        except VerifyError as error:
            raise HeaderError(
                f"The card {key} is not a FITS card: {error}.",
                "Correct the header.",
                column="",
                keywords=(key,),
                source="the header",
            ) from error
        if isinstance(value, Undefined):
            raise KeyError(key)
        return value.rstrip() if isinstance(value, str) else value

    def __iter__(self) -> Iterator[str]:
        header = self._find("")
        return iter(()) if header is None else iter(dict.fromkeys(header))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def headers_of(header: Any) -> Mapping[str, Any]:
    """`Headers` of one `astropy.io.fits.Header`; any other mapping is returned as it is."""
    if not hasattr(header, "cards"):
        return header if isinstance(header, Mapping) else dict(header)
    extname = str(header.get("EXTNAME", "")).strip()
    return Headers(lambda name: header if name in {"", extname} else None)


def is_fits_name(name: str) -> bool:
    """Whether a file of this name should be a FITS file."""
    return name.lower().endswith(FITS_SUFFIXES)


@contextmanager
def open_headers(path: Path) -> Iterator[Headers]:
    """Open a FITS file for its headers; extensions are read when a keyword asks for them.

    Raises
    ------
    SourceFileError
        When the file is missing, unreadable, empty, or not FITS.
    """
    with _open(path) as hdus:

        def find(extname: str) -> Header | None:
            with _reading(path):
                if not extname:
                    return hdus[0].header
                return hdus[extname].header if extname in hdus else None

        yield Headers(find)


def check_whole(path: Path) -> None:
    """Check that a file is complete, as far as its kind lets one know.

    FITS: its length is the one that its headers say. CSV: text, with the same number of fields in each line.
    JSON: it parses. Compressed files are read to their end. Nothing is known of other kinds but that they aren't empty.

    Raises
    ------
    SourceFileError
        Says what is wrong.
    """
    name = path.name.lower()
    if is_fits_name(name):
        _check_fits(path)
        return
    check_readable(path)
    try:
        with gzip.open(path, "rb") if name.endswith(".gz") else path.open("rb") as stream:
            if name.removesuffix(".gz").endswith(".csv"):
                _check_csv(path, stream.read())
            elif name.removesuffix(".gz").endswith(".json"):
                json.load(stream)
            elif name.endswith(".gz"):
                _length(stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, f"its compressed data are spoilt or end early ({error})") from error
    except ValueError as error:
        raise _damaged(path, f"it is not what its name says ({error})") from error


def user_path(given: str | os.PathLike[str]) -> Path:
    """Give a path whose ``~`` is expanded.

    Raises
    ------
    SourceFileError
        When there is no such user.
    """
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise SourceFileError(
            f"{given} cannot be read: {error}", "Check the user's name after the tilde.", path=Path(given)
        ) from error


def check_readable(path: Path) -> None:
    """Check that a file is there, can be read, and is not empty.

    Raises
    ------
    SourceFileError
    """
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except (OSError, ValueError) as error:  # ValueError: the path holds a NUL
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceFileError(
            f"{path} cannot be read: {reason}.",
            "Check the path and its permissions.",
            path=path,
        ) from error
    if empty:
        raise SourceFileError(f"{path} is empty.", "Make the file again.", path=path)


def _check_csv(path: Path, content: bytes) -> None:
    text = content.decode("utf-8")
    if "\0" in text or text.lstrip().startswith("<"):
        raise _damaged(path, "it is not a CSV file")
    widths = {len(row) for row in csv.reader(text.splitlines(), strict=True) if row and not row[0].startswith("#")}
    if len(widths) != 1:
        raise _damaged(path, f"its lines have {', '.join(map(str, sorted(widths)))} fields, not one number of them")


def _check_fits(path: Path) -> None:
    with _open(path) as hdus, _reading(path):
        whole = [hdu for hdu in hdus if hasattr(hdu, "fileinfo")]
        if len(whole) != len(hdus):
            raise _damaged(path, f"its extension {len(whole)} has a header that is not one of FITS")
        info = whole[-1].fileinfo()
        if path.name.lower().endswith(".gz"):
            with gzip.open(path) as stream:
                found = _length(stream)
        else:
            found = path.stat().st_size
    expected = info["datLoc"] + info["datSpan"]
    if found < expected:
        raise _damaged(path, f"it is cut short: {found} bytes of the {expected} that its headers say")
    if found > expected:
        raise _damaged(path, f"{found - expected} bytes follow its last whole extension at byte {expected}")


def _length(stream: gzip.GzipFile | IO[bytes]) -> int:
    """Length of a stream in bytes, read to its end."""
    while stream.read(1 << 20):
        pass
    return stream.tell()


def _damaged(path: Path, found: str) -> SourceFileError:
    return SourceFileError(f"{path} is damaged: {found}.", "Make or fetch the file again.", path=path)


@contextmanager
def _open(path: Path) -> Iterator[HDUList]:
    check_readable(path)
    from astropy.io import fits

    with _reading(path):
        hdus = fits.open(path, mode="readonly", memmap=False, lazy_load_hdus=True)
    with hdus:
        yield hdus


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what astropy says of a bad file, as an error or as a warning, into ours."""
    from astropy.io.fits import VerifyError
    from astropy.utils.exceptions import AstropyWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            yield
    except SourceFileError:
        raise
    except (OSError, EOFError, ValueError, TypeError, KeyError, IndexError, VerifyError, zlib.error) as error:
        raise SourceFileError(
            f"{path} cannot be read as FITS: {error}.", "Make or fetch the file again.", path=path
        ) from error
