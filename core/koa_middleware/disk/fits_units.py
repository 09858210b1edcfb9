"""The units of a FITS file, each a header with its data, read in one pass: whether all is there and as it was written.

Lengths are those of FITS Standard 4.0, sections 4.4.1 and 6.1, equations 1, 2 and 4; DATASUM and CHECKSUM those of
section 4.4.2.7 and appendix J.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING

from .compression import beginning_of
from .fits import read_header

if TYPE_CHECKING:
    from astropy.io.fits import Header

_BLOCK = 2880
_CARD = 80
_AT_ONCE = 360 * _BLOCK
_LONGEST_HEADER = 100_000 * _BLOCK
_ONES = 0xFFFFFFFF
_MOST_BYTES = 2**63
"""As many as a file's position can tell."""
_END = b"END".ljust(8)
_SUMS = ("DATASUM", "CHECKSUM")
_SAYING = re.compile(rb"(NAXIS\d*|BITPIX|[PG]COUNT|GROUPS|DATASUM|CHECKSUM)", re.IGNORECASE)
"""Keywords of lengths and sums."""


def fault_of_fits(stream: IO[bytes], size: int | None) -> str:
    """Say how a FITS file is damaged; empty where it is whole.

    Parameters
    ----------
    stream : binary file
        At its beginning.
    size : int or None
        Bytes, where they are known; then data of which nobody wrote a sum are passed over.

    Raises
    ------
    ValueError
        When it is no FITS file.
    """
    end = number = 0
    while (block := stream.read(_BLOCK))[:8] == (b"XTENSION" if number else b"SIMPLE  "):
        cards = _header_from(block, stream)
        header = read_header(io.BytesIO(_saying(cards)))
        length = -(-_data_bytes(header) // _BLOCK) * _BLOCK
        said = {name: str(header.get(name, "")).strip() for name in _SUMS}
        end += len(cards) + length
        if size is None or any(said.values()):
            came, data_sum = _sum(stream, length)
        else:
            came, data_sum = min(length, size - end + length), 0
            stream.seek(came, io.SEEK_CUR)
        if came < length:
            return f"it is cut short: {end - length + came} bytes of the {end} that its headers announce"
        if wrong := _wrong_sum(said, cards, data_sum):
            return f"{f'its extension {number}' if number else 'its primary unit'} is not what its {wrong} says"
        number += 1
    if not number:
        raise ValueError(f"it {beginning_of(block)}")
    extra = len(block) + _sum(stream, None)[0]
    return f"{extra} extra bytes follow its last complete extension, which ends at byte {end}" if extra else ""


def headers_of_units(stream: IO[bytes]) -> Iterator[bytes]:
    """Give the header of each unit, whole blocks as they are in the file; the data are passed over.

    Parameters
    ----------
    stream : binary file
        At its beginning. When a header is given, it stands at the beginning of the data.

    Raises
    ------
    ValueError
        When it is no FITS file.
    """
    number = 0
    while (block := stream.read(_BLOCK))[:8] == (b"XTENSION" if number else b"SIMPLE  "):
        header = _header_from(block, stream)
        yield header
        stream.seek(length_of_data(header), io.SEEK_CUR)
        number += 1
    if not number:
        raise ValueError(f"it {beginning_of(block)}")


def cards_in(header: bytes) -> Iterator[tuple[str, bytes]]:
    """Give the cards of a header before its END, each by its keyword, a continued one with what continues it."""
    keyword, card = "", b""
    for start in range(0, len(header), _CARD):
        piece = header[start : start + _CARD]
        if piece[:8] == _END:
            break
        if piece[:8] == b"CONTINUE" and card:
            card += piece
            continue
        if card:
            yield keyword, card
        keyword, card = piece[:8].decode("latin-1").rstrip(), piece
    if card:
        yield keyword, card


def header_of(cards: bytes) -> bytes:
    """Give cards as a header: with its END, in whole blocks."""
    ended = cards + _END.ljust(_CARD)
    return ended.ljust(-(-len(ended) // _BLOCK) * _BLOCK)


def length_of_data(header: bytes) -> int:
    """Give the bytes of a unit's data, with what fills the last block.

    Raises
    ------
    ValueError, KeyError
        When the header does not say it.
    """
    said = {keyword: _number(card) for keyword, card in cards_in(_saying(header)) if keyword not in _SUMS}
    return -(-_data_bytes(said) // _BLOCK) * _BLOCK


def _number(card: bytes) -> int:
    """Give the whole number of a card, or 1 for what is true; astropy would take ten times as long."""
    text = card.partition(b"=")[2].partition(b"/")[0].strip()
    return int(text == b"T") if text in {b"T", b"F"} else int(text)


def sum_of(stream: IO[bytes], length: int) -> int:
    """Read so many bytes of data; give their sum, a DATASUM.

    Raises
    ------
    ValueError
        When there are fewer.
    """
    came, total = _sum(stream, length)
    if came < length:
        raise ValueError(f"it is cut short: {came} bytes of the {length} of its data are there")
    return total


def checksum_of(header: bytes, data_sum: int) -> str:
    """Give the CHECKSUM of a unit whose header has sixteen zeros in its place; see appendix J."""
    rest = _ONES - _added(data_sum, header)
    encoded = [""] * 16
    for byte in range(4):
        value = rest >> 8 * (3 - byte) & 0xFF
        quarters = [value // 4 + 48 + (value % 4 if n == 0 else 0) for n in range(4)]
        while any(_is_mark(each) for each in quarters):
            for n in (0, 2):
                if _is_mark(quarters[n]) or _is_mark(quarters[n + 1]):
                    quarters[n], quarters[n + 1] = quarters[n] + 1, quarters[n + 1] - 1
        for n in range(4):
            encoded[4 * n + byte] = chr(quarters[n])
    text = "".join(encoded)
    return text[-1] + text[:-1]


def _is_mark(code: int) -> bool:
    return 0x3A <= code <= 0x40 or 0x5B <= code <= 0x60


def _header_from(block: bytes, stream: IO[bytes]) -> bytes:
    """Give the blocks of a header from its first one to that of its END, or to the end of the file."""
    blocks = [block]
    while not any(block[start : start + 8] == _END for start in range(0, len(block), 80)):
        block = stream.read(_BLOCK)
        blocks.append(block)
        if not block or len(blocks) * _BLOCK > _LONGEST_HEADER:
            break
    return b"".join(blocks)


def _saying(cards: bytes) -> bytes:
    """Give of a header the cards of lengths and sums: to read them all takes ten times as long.

    One without an END is given as it is.
    """
    kept: list[bytes] = []
    for start in range(0, len(cards), 80):
        card = cards[start : start + 80]
        if card[:8] == _END:
            return b"".join([*kept, card]).ljust(-(-80 * (len(kept) + 1) // _BLOCK) * _BLOCK)
        if _SAYING.fullmatch(card[:8].partition(b"=")[0].strip()):
            kept.append(card)
    return cards


def _data_bytes(header: Header | Mapping[str, int]) -> int:
    """Give the length of a unit's data, without what fills its last block."""
    axes = int(header["NAXIS"])
    if not 0 <= axes <= 999:
        raise ValueError(f"NAXIS is {axes}")
    sizes = [int(header[f"NAXIS{axis}"]) for axis in range(1, axes + 1)]
    if sizes and sizes[0] == 0 and header.get("GROUPS", False):
        sizes = sizes[1:]
    bits = abs(int(header["BITPIX"])) * int(header.get("GCOUNT", 1))
    data = bits // 8 * (int(header.get("PCOUNT", 0)) + math.prod(sizes)) if axes else 0
    if min(sizes, default=0) < 0 or data < 0:
        raise ValueError("an axis has a negative length")
    if data >= _MOST_BYTES:
        raise ValueError("its axes are longer than any file can be")
    return data


def _sum(stream: IO[bytes], length: int | None) -> tuple[int, int]:
    """Read so many bytes, or all that are left: how many came, and their sum."""
    came = total = 0
    while piece := stream.read(_AT_ONCE if length is None else min(_AT_ONCE, length - came)):
        came += len(piece)
        total = _added(total, piece)
    return came, total


def _added(total: int, piece: bytes) -> int:
    """Add words of 32 bits in ones' complement."""
    import numpy as np

    words = np.frombuffer(piece.ljust(-(-len(piece) // 4) * 4, b"\0"), ">u4")
    return (total + int(words.sum(dtype=np.uint64))) % _ONES


def _wrong_sum(said: dict[str, str], cards: bytes, data_sum: int) -> str:
    """Give the keyword whose sum is not that of the unit; empty where none disagrees."""
    if said["DATASUM"] and int(said["DATASUM"]) % _ONES != data_sum:
        return "DATASUM"
    return "CHECKSUM" if said["CHECKSUM"] and _added(data_sum, cards) else ""
