"""Headers as one mapping, whatever holds them: FITS files and astropy's objects, mappings, metadata of models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk.fits import card_value, open_fits, primary_header, reading_fits
from .plain import is_missing

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header

#: Where a mapping by extension, or metadata that hold a header, have the primary one.
_PRIMARY = ("PRIMARY", "HEADER", "HEADERS")


class Headers(Mapping[str, Any]):
    """The headers of one file: ``"KEY"`` in the primary header, ``"EXTNAME:KEY"`` in an extension.

    Text has no trailing blanks. Of a keyword that occurs twice, the first counts. A keyword without a value, or with
    one that is masked or NaN, is as one that is not there.

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
        if is_missing(value):
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        header = self._find("")
        return iter(()) if header is None else iter(dict.fromkeys(header))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Held(Mapping[str, Any]):
    """What a mapping or an object holds, as headers: letter case of keywords does not count.

    ``"KEY"`` is found in the mapping itself, else in its entry ``PRIMARY`` or ``header``; ``"EXTNAME:KEY"`` in the
    entry of that name; ``"a.b"`` in the entry, or attribute, `a`.

    Parameters
    ----------
    holder : mapping or object with attributes
    """

    def __init__(self, holder: Any) -> None:
        self._holder = holder
        self._keys: dict[str, Any] = {}
        for key in holder if isinstance(holder, Mapping) else ():
            self._keys.setdefault(_fold(key), key)

    def spelling(self, name: str) -> Any:
        """Give the mapping's own key that is a name in any letter case, the first of several; None where none is."""
        return self._keys.get(_fold(name))

    def __getitem__(self, key: str) -> Any:
        for value in self._found(key):
            if not is_missing(value) and not _holds_more(value):
                if isinstance(value, bytes):
                    value = value.decode(errors="surrogateescape")
                return value.rstrip() if isinstance(value, str) else value
        raise KeyError(key)

    def _found(self, key: str) -> Iterator[Any]:
        """Values in the order in which they count."""
        yield self._entry(key)
        if "." in key:
            yield self._entry(f"meta.{key}")
            first, _, rest = key.partition(".")
            yield _inside(self._entry(first), rest)
        extname, _, keyword = key.rpartition(":")
        for name in [extname] if extname else _PRIMARY:
            yield _inside(self._entry(name), keyword)

    def _entry(self, name: str) -> Any:
        if isinstance(self._holder, Mapping):
            folded = _fold(name)
            return self._holder[self._keys[folded]] if folded in self._keys else None
        return getattr(self._holder, name, getattr(self._holder, name.lower(), None))

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def headers_of(header: Any) -> Mapping[str, Any]:
    """Headers as one mapping: of an astropy `Header` or `HDUList`, of a mapping, of an object with attributes."""
    if isinstance(header, Headers | Held):
        return header
    if is_header(header):
        extname = str(header.get("EXTNAME", "")).strip()
        return Headers(lambda name: header if name in {"", extname} else None)
    if is_hdu_list(header):
        return Headers(cache(lambda name: _header_in(header, name)))
    return Held(header)


def is_header(given: Any) -> bool:
    """Whether this is a FITS header of astropy."""
    return hasattr(given, "cards")


def is_hdu_list(given: Any) -> bool:
    """Whether this is an `HDUList` of astropy."""
    return isinstance(given, list) and hasattr(given, "index_of")


@contextmanager
def open_headers(path: Path) -> Iterator[Headers]:
    """Open a FITS file for its headers; extensions are read when a keyword asks for them.

    Raises
    ------
    SourceFileError
        When the file is missing, unreadable, empty, or not FITS.
    """
    with open_fits(path) as hdus:

        @cache
        def find(extname: str) -> Header | None:
            with reading_fits(path):
                return _header_in(hdus, extname)

        yield Headers(find)


def _header_in(hdus: HDUList, extname: str) -> Header | None:
    if not extname:
        return primary_header(hdus)
    return hdus[extname].header if extname in hdus else None


def _fold(key: object) -> str:
    return str(key).strip().upper().removeprefix("HIERARCH ")


def _holds_more(value: Any) -> bool:
    return isinstance(value, Mapping) or is_header(value)


def _inside(holder: Any, key: str) -> Any:
    """Give what an entry holds under a key; None where it is no mapping, header or object, or has no such key."""
    if holder is None or isinstance(holder, str | bytes | float | int):
        return None
    return headers_of(holder).get(key)
