"""FITS headers as one mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk.fits import card_value, open_fits, reading_fits

if TYPE_CHECKING:
    from astropy.io.fits import Header


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
        extname, _, keyword = key.rpartition(":")
        header = self._find(extname)
        if header is None or keyword not in header:
            raise KeyError(key)
        value = card_value(header, keyword)
        if value is None:
            raise KeyError(key)
        return value

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


@contextmanager
def open_headers(path: Path) -> Iterator[Headers]:
    """Open a FITS file for its headers; extensions are read when a keyword asks for them.

    Raises
    ------
    SourceFileError
        When the file is missing, unreadable, empty, or not FITS.
    """
    with open_fits(path) as hdus:

        def find(extname: str) -> Header | None:
            with reading_fits(path):
                if not extname:
                    return hdus[0].header
                return hdus[extname].header if extname in hdus else None

        yield Headers(find)
