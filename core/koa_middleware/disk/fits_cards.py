"""Single cards of FITS files: some are read from all units, some are written into the first one.

A product may have hundreds of cards and many units. Those that are asked for are picked by their keywords before any
is parsed, and a file that is written keeps all other bytes.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from ..exceptions import SourceFileError
from .compression import is_compressed_name, open_content
from .fits import BEGINNING, card_value, open_fits, primary_header, read_header, reading_fits
from .fits_units import cards_in, checksum_of, header_of, headers_of_units, length_of_data, sum_of
from .reading import check_readable
from .writing import WRITTEN_AT_ONCE, sweep_beside, whole_file

if TYPE_CHECKING:
    from astropy.io.fits import Header

#: Says that text is continued; programs that check a header want it where CONTINUE stands.
_LONG_TEXT = "LONGSTRN"
_NO_SUM = "0" * 16


def cards_of_all_units(path: Path, is_wanted: Callable[[str], bool]) -> list[list[tuple[str, Any]]]:
    """Read some cards of a file; no data are read.

    Parameters
    ----------
    path : pathlib.Path
    is_wanted : callable
        Says by its keyword whether a card is wanted.

    Returns
    -------
    list of list of tuple
        For each unit, keyword and value of each wanted card that has one, in their order.

    Raises
    ------
    SourceFileError
        When it cannot be read, or is no FITS file.
    """
    check_readable(path)
    with reading_fits(path), open_content(path) as stream:
        picked = [
            [card for keyword, card in cards_in(header) if is_wanted(keyword)] for header in headers_of_units(stream)
        ]
        return [_values(b"".join(cards)) if cards else [] for cards in picked]


def _values(cards: bytes) -> list[tuple[str, Any]]:
    """Give keyword and value of each card, also of keywords that occur twice."""
    found = []
    for keyword, card in cards_in(cards):
        value = card_value(_header(card), keyword)
        if value is not None:
            found.append((keyword, value))
    return found


def _header(cards: bytes) -> Header:
    return read_header(io.BytesIO(header_of(cards)))


def new_header() -> Header:
    """Give a header without a card."""
    return _header(b"")


def put_cards(header: Header, cards: Header, is_replaced: Callable[[str], bool]) -> None:
    """Put cards into a header, as a block in the place of those that they replace, or else at its end.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Is changed.
    cards : astropy.io.fits.Header
    is_replaced : callable
        Says by its keyword whether a card of the header goes.
    """
    places = [number for number, card in enumerate(header.cards) if is_replaced(card.keyword)]
    for number in reversed(places):
        del header[number]
    new = [card for card in cards.cards if card.keyword != _LONG_TEXT or _LONG_TEXT not in header]
    for number, card in enumerate(new):
        if places:
            header.insert(places[0] + number, card)
        else:
            header.append(card, end=False)


def write_cards(path: Path, cards: Header, is_replaced: Callable[[str], bool]) -> None:
    """Put cards into the primary header of a file, as `put_cards` does; all its other bytes stay.

    The file is written anew beside its place and takes it in one step. Its CHECKSUM is brought up to date where it has
    one, and its permissions stay.

    Raises
    ------
    SourceFileError
        When it is no FITS file, is damaged, or is compressed otherwise than with gzip.
    CacheError
        When it cannot be written.
    """
    _check_writable(path)
    path = Path(os.path.realpath(path))
    sweep_beside(path.parent)
    with open_content(path) as stream:
        with reading_fits(path):
            old = next(headers_of_units(stream))
            place = stream.tell()
            new = _spliced(old, cards, is_replaced)
            has_sum = any(keyword == "CHECKSUM" for keyword, _ in cards_in(new))
            if has_sum:
                new = _summed(new, sum_of(stream, length_of_data(old)))
            stream.seek(place)
        with whole_file(path, replace=True) as sink:
            with _as_compressed(path, sink) as target:
                target.write(new)
                for piece in _pieces(path, stream):
                    target.write(piece)
            os.fchmod(sink.fileno(), stat.S_IMODE(path.stat().st_mode))


def _pieces(path: Path, stream: IO[bytes]) -> Iterator[bytes]:
    """Give what is left of a file; an error of it is not taken for one of the file that is written."""
    while True:
        with reading_fits(path):
            piece = stream.read(WRITTEN_AT_ONCE)
        if not piece:
            return
        yield piece


def _check_writable(path: Path) -> None:
    """Check that cards can be written into the primary header of a file, and would be found there."""
    check_readable(path)
    if is_compressed_name(path.name) and path.suffix.lower() != ".gz":
        said = f"No cards can be written into {path}, which is compressed otherwise than with gzip."
        raise SourceFileError(said, "Uncompress it first.", path=path)
    with reading_fits(path), open_content(path) as stream:
        beginning = stream.read(len(BEGINNING))
    if beginning != BEGINNING:
        raise SourceFileError(f"{path} is no FITS file.", "Name a FITS file.", path=path)
    with open_fits(path) as hdus:
        with reading_fits(path):
            is_packed = primary_header(hdus) is not hdus[0].header
        if is_packed:
            said = f"{path} is packed (fpack): a header that is written into it would be lost with funpack."
            raise SourceFileError(said, "Write the cards into the unpacked file, and pack that.", path=path)


def _spliced(header: bytes, cards: Header, is_replaced: Callable[[str], bool]) -> bytes:
    """Give a header, as bytes, in which cards stand as a block; see `put_cards`."""
    kept: list[tuple[str, bytes]] = []
    place = None
    for keyword, card in cards_in(header):
        if is_replaced(keyword):
            place = len(kept) if place is None else place
        else:
            kept.append((keyword, card))
    if place is None:
        place = len(kept)
        while place and not kept[place - 1][1].strip():  # blank cards, which a program kept for later ones
            place -= 1
    has_long_text = any(keyword == _LONG_TEXT for keyword, _ in kept)
    new = [str(card).encode("ascii") for card in cards.cards if card.keyword != _LONG_TEXT or not has_long_text]
    before, after = ([card for _, card in part] for part in (kept[:place], kept[place:]))
    return header_of(b"".join([*before, *new, *after]))


def _summed(header: bytes, data_sum: int) -> bytes:
    """Give a header whose CHECKSUM is right.

    Raises
    ------
    ValueError
        When its DATASUM is not.
    """
    said = dict(_values(b"".join(card for keyword, card in cards_in(header) if keyword == "DATASUM")))
    if said and int(said["DATASUM"]) % (2**32 - 1) != data_sum:
        raise ValueError("its data are not what its DATASUM says")

    def with_sum(text: str) -> bytes:
        card = f"CHECKSUM= '{text}'   / HDU checksum".ljust(80).encode("ascii")
        return header_of(b"".join(card if keyword == "CHECKSUM" else each for keyword, each in cards_in(header)))

    return with_sum(checksum_of(with_sum(_NO_SUM), data_sum))


@contextmanager
def _as_compressed(path: Path, sink: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give what compresses into a file as its name says."""
    if path.suffix.lower() != ".gz":
        yield sink
        return
    with gzip.GzipFile("", "wb", fileobj=sink, mtime=0) as target:
        yield cast("IO[bytes]", target)


def long_text_card() -> tuple[str, str, str]:
    """Give the card that says that text is continued."""
    return (_LONG_TEXT, "OGIP 1.0", "long text is continued")


def is_keyword(text: Any) -> bool:
    """Whether this may be the keyword of a card of one's own (FITS Standard 4.0, section 4.1.2.1)."""
    return isinstance(text, str) and re.fullmatch(r"[A-Z0-9_-]{1,8}", text) is not None and not _is_structure(text)


def _is_structure(keyword: str) -> bool:
    return keyword in _STRUCTURE or re.fullmatch(r"NAXIS\d+|T(FORM|TYPE)\d+", keyword) is not None


_STRUCTURE = frozenset(
    {"SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "GROUPS", "EXTEND", "EXTNAME", "EXTVER", "END"}
    | {"COMMENT", "HISTORY", "CONTINUE", "HIERARCH", "CHECKSUM", "DATASUM", "BSCALE", "BZERO", "TFIELDS", _LONG_TEXT}
)
