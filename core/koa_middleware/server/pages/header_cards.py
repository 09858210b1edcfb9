"""The headers of a FITS file as they stand in it, for reading."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ...disk.compression import is_compressed_name, open_content
from ...disk.fits import reading_fits
from ...disk.fits_units import cards_in, headers_of_units

#: Most units, and most cards of each, that are shown.
_UNITS, _CARDS = 40, 2000

_CARD = 80


class Unit(NamedTuple):
    """A unit of a file: what it is called, and its cards as lines of text."""

    name: str
    lines: list[str]


def headers_in(path: Path) -> list[Unit]:
    """Read the headers of a FITS file; of a compressed one the first, since the others stand behind all data.

    Raises
    ------
    SourceFileError
        When it is none, or damaged.
    """
    most = 1 if is_compressed_name(path.name) else _UNITS
    with reading_fits(path), open_content(path) as stream:
        return [_unit(number, header) for number, header in enumerate(islice(headers_of_units(stream), most))]


def _unit(number: int, header: bytes) -> Unit:
    named = {keyword: card for keyword, card in cards_in(header) if keyword == "EXTNAME"}
    name = named["EXTNAME"].decode("latin-1").partition("=")[2].split("/")[0].strip(" '") if named else ""
    return Unit(name or ("PRIMARY" if not number else f"extension {number}"), list(islice(_lines(header), _CARDS)))


def _lines(header: bytes) -> Iterator[str]:
    for start in range(0, len(header), _CARD):
        line = header[start : start + _CARD].decode("latin-1").rstrip()
        if line == "END":
            return
        yield line
